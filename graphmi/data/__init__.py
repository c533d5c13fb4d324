"""Data: interactions from files and tables, filters, splits, graphs, user groups and named sources."""

from graphmi.data.categories import Categories
from graphmi.data.dataset import Dataset
from graphmi.data.errors import DataError
from graphmi.data.filter import deduplicate, k_core, min_weight
from graphmi.data.graph import to_graph
from graphmi.data.groups import (
    category_entropy,
    controlled_groups,
    distinct_categories,
    quantile_groups,
    simpson,
)
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
    "category_entropy",
    "controlled_groups",
    "deduplicate",
    "distinct_categories",
    "k_core",
    "load",
    "min_weight",
    "open_data",
    "planted",
    "quantile_groups",
    "read_interactions",
    "read_sequences",
    "read_table",
    "simpson",
    "to_graph",
]
