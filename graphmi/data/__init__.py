"""Data: interactions from files and tables, filters, splits, graphs, user groups and named sources."""

from graphmi.data.attributes import with_attributes
from graphmi.data.categories import Categories
from graphmi.data.communities import item_communities
from graphmi.data.dataset import Dataset
from graphmi.data.diversity import (
    category_drift,
    category_entropy,
    distinct_categories,
    embedding_spread,
    residual,
    simpson,
)
from graphmi.data.ego import ego_graph
from graphmi.data.errors import DataError
from graphmi.data.filter import Filter, deduplicate, k_core, min_weight
from graphmi.data.graph import to_graph
from graphmi.data.groups import DiversityGroups, controlled_groups, quantile_groups
from graphmi.data.interactions import Interactions
from graphmi.data.loader import BatchLoader, InteractionLoader, UserLoader
from graphmi.data.planted import planted
from graphmi.data.prefix_loader import PrefixLoader
from graphmi.data.reading import read_interactions, read_table
from graphmi.data.sequence import Histories
from graphmi.data.sequence_file import read_sequences
from graphmi.data.sources import SOURCES, load, open_data
from graphmi.data.split import GivenSplit, HeldOutUsers, LeaveOneOut, RandomSplit, Split, TemporalSplit
from graphmi.data.target_loader import TargetLoader
from graphmi.data.vocabulary import Vocabulary

__all__ = [
    "SOURCES",
    "BatchLoader",
    "Categories",
    "DataError",
    "Dataset",
    "DiversityGroups",
    "Filter",
    "GivenSplit",
    "HeldOutUsers",
    "Histories",
    "InteractionLoader",
    "Interactions",
    "LeaveOneOut",
    "PrefixLoader",
    "RandomSplit",
    "Split",
    "TargetLoader",
    "TemporalSplit",
    "UserLoader",
    "Vocabulary",
    "category_drift",
    "category_entropy",
    "controlled_groups",
    "deduplicate",
    "distinct_categories",
    "ego_graph",
    "embedding_spread",
    "item_communities",
    "k_core",
    "load",
    "min_weight",
    "open_data",
    "planted",
    "quantile_groups",
    "read_interactions",
    "read_sequences",
    "read_table",
    "residual",
    "simpson",
    "to_graph",
    "with_attributes",
]
