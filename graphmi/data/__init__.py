"""Data: interactions from files and tables, filters, splits, graphs, user groups and named sources.

Names load when they are first used: named sources and files need no graph library.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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
    from graphmi.data.loader import InteractionLoader
    from graphmi.data.reading import read_interactions, read_table
    from graphmi.data.split import GivenSplit, HeldOutUsers, LeaveOneOut, RandomSplit, Split, TemporalSplit
    from graphmi.data.vocabulary import Vocabulary

__all__ = [
    "Categories",
    "DataError",
    "Dataset",
    "GivenSplit",
    "HeldOutUsers",
    "InteractionLoader",
    "Interactions",
    "LeaveOneOut",
    "RandomSplit",
    "Split",
    "TemporalSplit",
    "Vocabulary",
    "category_entropy",
    "controlled_groups",
    "deduplicate",
    "distinct_categories",
    "k_core",
    "min_weight",
    "quantile_groups",
    "read_interactions",
    "read_table",
    "simpson",
    "to_graph",
]

_MODULES = {
    "categories": ("Categories",),
    "dataset": ("Dataset",),
    "errors": ("DataError",),
    "filter": ("deduplicate", "k_core", "min_weight"),
    "graph": ("to_graph",),
    "groups": ("category_entropy", "controlled_groups", "distinct_categories", "quantile_groups", "simpson"),
    "interactions": ("Interactions",),
    "loader": ("InteractionLoader",),
    "planted": ("planted",),
    "reading": ("read_interactions", "read_table"),
    "sources": ("SOURCES", "load", "open_data"),
    "split": ("GivenSplit", "HeldOutUsers", "LeaveOneOut", "RandomSplit", "Split", "TemporalSplit"),
    "vocabulary": ("Vocabulary",),
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'graphmi.data' has no attribute {name!r}")
    value = getattr(import_module(f"graphmi.data.{_HOMES[name]}"), name)
    globals()[name] = value  # also hides a submodule of the same name
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
