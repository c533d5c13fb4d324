"""Graph convolutions and their edge weights."""

from graphmi.nn.conv.center_aggregator import CenterAggregator
from graphmi.nn.conv.multi_interest_conv import MultiInterestConv
from graphmi.nn.conv.virtual_interest_generator import VirtualInterestGenerator
from graphmi.nn.conv.weights import CAGCNWeight, EdgeWeight, LightGCNWeight

__all__ = [
    "CAGCNWeight",
    "CenterAggregator",
    "EdgeWeight",
    "LightGCNWeight",
    "MultiInterestConv",
    "VirtualInterestGenerator",
]
