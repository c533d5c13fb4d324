"""Groups of users by the diversity of their interests, measured on training interactions."""

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from graphmi.data.communities import item_communities
from graphmi.data.diversity import category_drift, category_entropy, distinct_categories, simpson
from graphmi.data.interactions import Interactions
from graphmi.ranges import at_least, one_of

__all__ = ["DiversityGroups", "controlled_groups", "quantile_groups"]

_MEASURES = {
    "entropy": category_entropy,
    "distinct": distinct_categories,
    "simpson": simpson,
    "drift": category_drift,
}
_LABELS = ("auto", "categories", "communities", "none")


@dataclass(frozen=True)
class DiversityGroups:
    """Equal groups of users from narrow to broad taste, from training interactions only.

    A reconstruction of the groups of `WWW 2024 <https://arxiv.org/abs/2402.13495>`_, whose full text could not be had;
    controlled groups, drift and communities are graphmi's own.

    ``diversity`` are equal parts by the measure; ``diversity-controlled`` are those within users of similar activity.
    How to read them: active users meet more of everything, so the first mix two things, and a metric that differs
    between them may do so because of activity alone. What also differs in the second does not come from activity.

    Args:
        num_groups: Number of groups, at least 2.
        measure: Entropy of the labels of a user's items, the number of distinct ones, Simpson's index, or how far they
            drift from the earlier to the later half of the items (then from steady to drifting taste).
        by: Labels of the items: ``categories``, the ``communities`` of items that the same users met, or ``none``
            for no groups; ``auto`` takes categories where the data has them, else communities.
        max_items: ``auto`` finds communities for up to this many items, and makes no groups beyond. So many take
            20 to 40 seconds of one core, once per run.
        seed: Seed of the communities, in ``[0, 2**63)``. It is not that of a run, so that all runs have the same
            groups.

    Raises:
        ValueError: If a number is out of its range, or ``measure`` or ``by`` unknown.

    Example:
        >>> from graphmi.data import planted
        >>> groups = DiversityGroups(num_groups=2)(planted(num_users=10))
        >>> groups["diversity"].bincount()
        tensor([5, 5])
    """

    num_groups: int = 5
    measure: Literal["entropy", "distinct", "simpson", "drift"] = "entropy"
    by: Literal["auto", "categories", "communities", "none"] = "auto"
    max_items: int = 50_000
    seed: int = 0

    def __post_init__(self) -> None:
        at_least(2, num_groups=self.num_groups)
        at_least(0, max_items=self.max_items, seed=self.seed)
        one_of([*_MEASURES], measure=self.measure)
        one_of(_LABELS, by=self.by)

    def __call__(self, train: Interactions) -> dict[str, Tensor]:
        """Return the groups, ``[num_users]`` int64 each, -1 for users without a value; none where nobody has one.

        Raises:
            DataError: If groups by categories are asked for, and there are none.
        """
        return self.cut(self.values(train), train)

    def values(self, train: Interactions) -> Tensor:
        """Return the diversity of each user, ``[num_users]`` float64; NaN for none.

        Raises:
            DataError: If groups by categories are asked for, and there are none.
        """
        source = self._source(train)
        if source == "none":
            return torch.full((train.num_users,), torch.nan, dtype=torch.float64)
        if source == "communities":
            train = replace(train, categories=item_communities(train, seed=self.seed))
        return _MEASURES[self.measure](train)

    def cut(self, values: Tensor, train: Interactions, users: Tensor | None = None) -> dict[str, Tensor]:
        """Return the groups of what :meth:`values` returned, which is what takes time.

        Args:
            values: The diversity of each user, ``[num_users]``.
            train: The interactions that it was measured on.
            users: Those who are evaluated, who alone are in groups, so that these are equal; all when omitted.
        """
        if users is not None:
            values = torch.full_like(values, torch.nan).index_copy(0, users, values[users])
        if values.isnan().all():
            return {}
        activity = train.user.bincount(minlength=train.num_users)
        return {
            "diversity": quantile_groups(values, self.num_groups),
            "diversity-controlled": controlled_groups(values, activity, self.num_groups),
        }

    def protocol(self, train: Interactions) -> str:
        """Return how the groups are made, for results: only groups made alike can be compared."""
        source = self._source(train)
        if source == "none":
            return "none"
        seed = f" (seed {self.seed})" if source == "communities" else ""
        return f"{self.num_groups} by {self.measure} of {source}{seed}"

    def _source(self, train: Interactions) -> str:
        if self.by != "auto":
            return self.by
        if train.categories is not None:
            return "categories"
        return "communities" if train.num_items <= self.max_items else "none"


def quantile_groups(values: Tensor, num_groups: int = 5) -> Tensor:
    """Return equal-sized groups by value, 0 for the smallest, ``[num_users]`` int64.

    Equal values are ordered by user index, so sizes differ by at most one. With fewer users than groups some
    groups stay empty.

    Args:
        values: One value per user; NaN means none.
        num_groups: Number of groups, at least 1.

    Returns:
        Groups in ``[0, num_groups)``; -1 where the value is NaN.

    Raises:
        ValueError: If ``num_groups`` is below 1.
    """
    return controlled_groups(values, torch.zeros_like(values), num_groups, num_strata=1)


def controlled_groups(values: Tensor, activity: Tensor, num_groups: int = 5, num_strata: int = 10) -> Tensor:
    """Return groups by value that have the same distribution of activity, ``[num_users]`` int64.

    Users are cut into equal-sized strata by activity and ranked by value within each; the groups are equal
    shares of every stratum. So a difference between groups does not come from their activity.

    Args:
        values: One value per user; NaN means none.
        activity: What to control for, such as the number of training interactions, ``[num_users]``.
        num_groups: Number of groups, at least 1.
        num_strata: Number of strata, at least 1; fewer where a stratum would hold fewer users than groups.

    Returns:
        Groups in ``[0, num_groups)``; -1 where the value is NaN.

    Raises:
        ValueError: If a number is below 1 or the shapes differ.
    """
    at_least(1, num_groups=num_groups, num_strata=num_strata)
    if values.shape != activity.shape:
        raise ValueError(f"'activity' must have the shape of 'values' (got {tuple(activity.shape)})")
    users = (~values.isnan()).nonzero().flatten()
    num_strata = min(num_strata, max(1, len(users) // num_groups))
    stratum = _equal_parts(activity[users].argsort(stable=True), num_strata)
    groups = torch.full(values.shape, -1, dtype=torch.int64, device=values.device)
    by_value = values[users].argsort(stable=True)
    for number in range(num_strata):
        members = users[by_value[stratum[by_value] == number]]
        groups[members] = torch.arange(len(members), device=values.device) * num_groups // len(members)
    return groups


def _equal_parts(order: Tensor, num_parts: int) -> Tensor:
    part = torch.empty_like(order)
    part[order] = torch.arange(len(order), device=order.device) * num_parts // len(order)
    return part
