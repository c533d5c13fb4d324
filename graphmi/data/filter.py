"""Filters: each takes interactions and returns fewer, without users and items that lost all rows."""

from dataclasses import dataclass
from typing import get_args

import torch
from torch import Tensor

from graphmi.data.errors import DataError, given_as
from graphmi.data.interactions import Interactions, Keep
from graphmi.ranges import at_least, one_of

__all__ = ["Filter", "deduplicate", "k_core", "min_weight"]


@dataclass(frozen=True)
class Filter:
    """Which interactions are kept, in the order of the arguments.

    Args:
        min_weight: Least weight of an interaction, such as 4 for ratings from 4 on; all when omitted.
        keep: Which of repeated pairs is kept, ``"first"`` or ``"last"`` in time.
        k_core: Interactions that every user and item must have, at least 1.
        iterate: Count again until all that are left have ``k_core``. Otherwise once, as ComiRec does.

    Raises:
        ValueError: If an argument is out of its range.
        DataError: In use, if nothing is left, or there is a ``min_weight`` and the interactions have no weights.

    Example:
        >>> import polars as pl
        >>> from graphmi.data import Interactions
        >>> table = pl.DataFrame({"user_id": [1, 1, 2, 2], "item_id": [7, 7, 7, 8], "rating": [5, 4, 4, 1]})
        >>> left = Filter(min_weight=4)(Interactions.from_frame(table))  # without the low rating and the repeated pair
        >>> left.weight
        tensor([5., 4.])
    """

    min_weight: float | None = None
    keep: Keep = "first"
    k_core: int = 1
    iterate: bool = True

    def __post_init__(self) -> None:
        one_of(get_args(Keep), keep=self.keep)
        at_least(1, k_core=self.k_core)

    def __call__(self, interactions: Interactions) -> Interactions:
        """Return the interactions that are left."""
        if self.min_weight is not None:
            interactions = min_weight(interactions, self.min_weight)
        return k_core(deduplicate(interactions, self.keep), self.k_core, iterate=self.iterate)


def k_core(interactions: Interactions, k: int, *, iterate: bool = True) -> Interactions:
    """Keep users and items with at least ``k`` interactions.

    Args:
        interactions: The interactions; repeated pairs count each time.
        k: Interactions that a user and an item need, at least 1.
        iterate: Repeat until all that are left have ``k``. Otherwise users and items are counted once and
            both filtered by that, as ComiRec does, after which some may have fewer.

    Raises:
        ValueError: If ``k`` is below 1.
        DataError: If nothing is left.
    """
    at_least(1, k=k)
    user, item = interactions.user, interactions.item
    users, items = user.bincount(), item.bincount()  # how many rows of each are kept
    kept = torch.ones(len(interactions), dtype=torch.bool)
    while True:
        before, kept = kept, (users >= k).index_select(0, user) & (items >= k).index_select(0, item)
        lost = (before & ~kept).nonzero().squeeze(1)
        if not len(lost) or not iterate:
            return _keep(interactions, kept, f"{k} interactions per user and item")
        users -= user[lost].bincount(minlength=len(users))
        items -= item[lost].bincount(minlength=len(items))


def deduplicate(interactions: Interactions, keep: Keep = "first") -> Interactions:
    """Keep one row of each user-item pair.

    Args:
        interactions: The interactions.
        keep: ``"first"`` or ``"last"`` in time, ties (and all, where there are no times) by row.

    Raises:
        ValueError: If ``keep`` is neither.
    """
    one_of(get_args(Keep), keep=keep)
    rows = interactions.distinct_rows(keep)
    return interactions.take(torch.zeros(len(interactions), dtype=torch.bool).index_fill_(0, rows, True))


def min_weight(interactions: Interactions, threshold: float) -> Interactions:
    """Keep interactions whose weight is at least ``threshold``, such as ratings from 4 on.

    Raises:
        DataError: If the interactions have no weights, or nothing is left.
    """
    if interactions.weight is None:
        raise DataError(f"the interactions have no weights; name the column with {given_as('weight', 'NAME')}")
    return _keep(interactions, interactions.weight >= threshold, f"weights of at least {threshold}")


def _keep(interactions: Interactions, rows: Tensor, condition: str) -> Interactions:
    kept = interactions.take(rows)
    if not len(kept):
        raise DataError(f"none of {len(interactions):,} interactions is left by {condition}; lower the limit")
    return kept.compact()
