"""Layers: graph convolutions, selectors, readouts and similarities. They know tensors only."""

from graphmi.nn.readout import LogSumExpReadout, Readout, Scores, SelectReadout
from graphmi.nn.select import ArgmaxSelector, MeanSelector, Selector
from graphmi.nn.similarity import Cosine, InnerProduct, NegativeDistance, Similarity

__all__ = [
    "ArgmaxSelector",
    "Cosine",
    "InnerProduct",
    "LogSumExpReadout",
    "MeanSelector",
    "NegativeDistance",
    "Readout",
    "Scores",
    "SelectReadout",
    "Selector",
    "Similarity",
]
