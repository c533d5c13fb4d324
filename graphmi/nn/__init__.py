"""Layers: graph convolutions, selectors, readouts and similarities. They know tensors only."""

from graphmi.nn.conv import (
    CAGCNWeight,
    CenterAggregator,
    EdgeWeight,
    LightGCNWeight,
    MultiInterestConv,
    VirtualInterestGenerator,
)
from graphmi.nn.readout import LogSumExpReadout, Readout, Scores, SelectReadout
from graphmi.nn.select import ArgmaxSelector, MeanSelector, Selector
from graphmi.nn.similarity import Cosine, InnerProduct, NegativeDistance, Similarity
from graphmi.nn.sparse import Adjacency, propagate

__all__ = [
    "Adjacency",
    "ArgmaxSelector",
    "CAGCNWeight",
    "CenterAggregator",
    "Cosine",
    "EdgeWeight",
    "InnerProduct",
    "LightGCNWeight",
    "LogSumExpReadout",
    "MeanSelector",
    "MultiInterestConv",
    "NegativeDistance",
    "Readout",
    "Scores",
    "SelectReadout",
    "Selector",
    "Similarity",
    "VirtualInterestGenerator",
    "propagate",
]
