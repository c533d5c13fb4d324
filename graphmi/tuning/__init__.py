"""Searches with Optuna; needs ``pip install "graphmi[tuning]"``.

``python tuning/study.py`` searches the presets; :class:`Search` searches any configuration, with any model.
"""

from graphmi.tuning.finish import finish, mean_and_interval, write_best
from graphmi.tuning.options import get_option, with_options
from graphmi.tuning.same import Space, require_searchable
from graphmi.tuning.search import Search

__all__ = [
    "Search",
    "Space",
    "finish",
    "get_option",
    "mean_and_interval",
    "require_searchable",
    "with_options",
    "write_best",
]
