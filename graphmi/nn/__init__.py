"""Layers: graph convolutions, selectors, readouts and similarities. They know tensors only."""

from graphmi.nn.conv import (
    CAGCNWeight,
    CenterAggregator,
    EdgeWeight,
    LightGCNWeight,
    MultiInterestConv,
    VirtualInterestGenerator,
)
from graphmi.nn.readout import ExpectedReadout, LogSumExpReadout, Readout, Scores, SelectReadout
from graphmi.nn.select import (
    ArgmaxSelector,
    InverseDistanceSelector,
    LabelAwareSelector,
    MeanSelector,
    SampledSelector,
    Selector,
    SoftmaxSelector,
)
from graphmi.nn.similarity import Cosine, InnerProduct, NegativeDistance, ProjectedInnerProduct, Similarity
from graphmi.nn.sparse import Adjacency, propagate

__all__ = [
    "Adjacency",
    "ArgmaxSelector",
    "CAGCNWeight",
    "CenterAggregator",
    "Cosine",
    "EdgeWeight",
    "ExpectedReadout",
    "InnerProduct",
    "InverseDistanceSelector",
    "LabelAwareSelector",
    "LightGCNWeight",
    "LogSumExpReadout",
    "MeanSelector",
    "MultiInterestConv",
    "NegativeDistance",
    "ProjectedInnerProduct",
    "Readout",
    "SampledSelector",
    "Scores",
    "SelectReadout",
    "Selector",
    "Similarity",
    "SoftmaxSelector",
    "VirtualInterestGenerator",
    "propagate",
]
