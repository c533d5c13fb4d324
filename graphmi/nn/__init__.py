"""Layers: graph convolutions, encoders and extractors of histories, selectors and readouts. They know tensors only."""

from graphmi.nn.adjacency import Adjacency
from graphmi.nn.conv import (
    CAGCNWeight,
    CenterAggregator,
    EdgeWeight,
    LightGCNWeight,
    MultiInterestConv,
    VirtualInterestGenerator,
)
from graphmi.nn.encode import Encoder, GRUEncoder, IdentityEncoder, TransformerEncoder
from graphmi.nn.extract import (
    DynamicRoutingExtractor,
    Extractor,
    Interests,
    LastPosition,
    LastQueryExtractor,
    MeanPooling,
    RecentPositions,
    SelfAttentiveExtractor,
    UserTowers,
)
from graphmi.nn.inactive import mask_interests
from graphmi.nn.item_tower import FeatureSum, ItemTower, Tower, TowerTable
from graphmi.nn.readout import (
    ExpectedReadout,
    JointReadout,
    LogSumExpReadout,
    MixtureReadout,
    Readout,
    Scores,
    SelectReadout,
)
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
from graphmi.nn.sparse import propagate
from graphmi.nn.sparse_table import SparseTable

__all__ = [
    "Adjacency",
    "ArgmaxSelector",
    "CAGCNWeight",
    "CenterAggregator",
    "Cosine",
    "DynamicRoutingExtractor",
    "EdgeWeight",
    "Encoder",
    "ExpectedReadout",
    "Extractor",
    "FeatureSum",
    "GRUEncoder",
    "IdentityEncoder",
    "InnerProduct",
    "Interests",
    "InverseDistanceSelector",
    "ItemTower",
    "JointReadout",
    "LabelAwareSelector",
    "LastPosition",
    "LastQueryExtractor",
    "LightGCNWeight",
    "LogSumExpReadout",
    "MeanPooling",
    "MeanSelector",
    "MixtureReadout",
    "MultiInterestConv",
    "NegativeDistance",
    "ProjectedInnerProduct",
    "Readout",
    "RecentPositions",
    "SampledSelector",
    "Scores",
    "SelectReadout",
    "Selector",
    "SelfAttentiveExtractor",
    "Similarity",
    "SoftmaxSelector",
    "SparseTable",
    "Tower",
    "TowerTable",
    "TransformerEncoder",
    "UserTowers",
    "VirtualInterestGenerator",
    "mask_interests",
    "propagate",
]
