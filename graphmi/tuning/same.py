"""What all trials of a search have in common: it is written down with the first, and others are refused."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, distribution_to_json
from optuna.trial import TrialState

from graphmi.tuning.options import difference, get_option
from graphmi.usage import UsageError

__all__ = ["Space", "require_same", "require_same_space", "require_searchable"]

Space = Mapping[str, BaseDistribution]
"""Where to search: the distribution of each option, by its name on the command line."""

# all trials are compared on the same data, by the same measure
_DATA = ("data", "columns", "filter", "split", "groups", "k", "repeat", "valid_users", "replicates", "refit", "seed")


def require_same(
    study: optuna.Study,
    out: Path,
    name: str,
    value: Mapping[str, Any],
    what: str = "",
    completed: Callable[[Mapping[str, Any]], Mapping[str, Any]] = dict,
) -> None:
    """Write down what all trials have in common, or refuse to mix them with others.

    Args:
        study: The search.
        out: Its folder.
        name: What the value is kept as.
        value: What JSON can say.
        what: Stands before the name of an entry in the message.
        completed: Adds to what was written down the entries that there have been only since.

    Raises:
        UsageError: If the search began with another value; the message names the first entry that differs.
    """
    value = json.loads(json.dumps(value))  # as the storage gives it back
    kept = study.user_attrs.get(name)
    if kept is None:
        study.set_user_attr(name, value)
    elif different := difference(completed(kept), value):
        raise UsageError(
            f"{what}'{different}' is not what the search in '{out}' began with, and its trials could not be "
            "compared: name another folder"
        )


def require_searchable(values: Mapping[str, Any], space: Space) -> None:
    """Check that there are such options, and that all trials may differ in them.

    Raises:
        UsageError: If not.
    """
    if values["refit"]:
        raise UsageError("'refit' is on, and a search chooses by validation: search without it, and refit the best")
    for name in space:
        if name.partition(".")[0] in _DATA:
            raise UsageError(f"'{name}' decides on the data or the measure, which all trials must share")
        get_option(values, name)


def require_same_space(study: optuna.Study, out: Path, space: Space) -> None:
    """Write down the ranges, or refuse others: Optuna cannot draw from a list of values that has changed.

    Raises:
        UsageError: If the search began with other ranges.
    """
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if complete and "space" not in study.user_attrs:  # a search of before ranges were written down
        require_same(study, out, "space", _written(complete[0].distributions))
    require_same(study, out, "space", _written(space), "the range of ")


def _written(space: Space) -> dict[str, str]:
    return {name: distribution_to_json(distribution) for name, distribution in space.items()}
