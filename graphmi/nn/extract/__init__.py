"""Extractors: from a history to several interests."""

from graphmi.nn.extract.base import Extractor, Interests
from graphmi.nn.extract.dynamic_routing import DynamicRoutingExtractor
from graphmi.nn.extract.last_query import LastQueryExtractor
from graphmi.nn.extract.pooling import LastPosition, MeanPooling
from graphmi.nn.extract.recent import RecentPositions
from graphmi.nn.extract.self_attentive import SelfAttentiveExtractor
from graphmi.nn.extract.user_towers import UserTowers

__all__ = [
    "DynamicRoutingExtractor",
    "Extractor",
    "Interests",
    "LastPosition",
    "LastQueryExtractor",
    "MeanPooling",
    "RecentPositions",
    "SelfAttentiveExtractor",
    "UserTowers",
]
