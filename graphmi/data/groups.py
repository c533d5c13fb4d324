"""Groups of users by the diversity of their interests, measured on training interactions."""

import torch
from torch import Tensor

from graphmi.data.errors import DataError
from graphmi.data.interactions import Interactions

__all__ = ["category_entropy", "controlled_groups", "distinct_categories", "quantile_groups", "simpson"]


def category_entropy(train: Interactions) -> Tensor:
    r"""Return the entropy of each user's category counts in nats, ``[num_users]`` float64.

    Every label of every interaction counts once, so an item with two categories counts in both.

    .. math::
        H_u = -\sum_c p_{uc} \log p_{uc}, \qquad p_{uc} = n_{uc} / \sum_c n_{uc}

    Args:
        train: Training interactions with categories.

    Returns:
        Values in ``[0, log(num_categories)]``; NaN for users without categorised items.

    Raises:
        DataError: If the interactions have no categories.
    """
    user, count = _category_counts(train)
    total = _sum(user, count, train.num_users)
    share = count / total[user]
    return _sum(user, -share * share.log(), train.num_users).where(total > 0, torch.nan)


def distinct_categories(train: Interactions) -> Tensor:
    """Return the number of categories that each user met, ``[num_users]`` float64.

    NaN for users without categorised items.

    Raises:
        DataError: If the interactions have no categories.
    """
    user, count = _category_counts(train)
    distinct = _sum(user, torch.ones_like(count), train.num_users)
    return distinct.where(distinct > 0, torch.nan)


def simpson(train: Interactions) -> Tensor:
    """Return the Simpson diversity of each user's categories, ``[num_users]`` float64.

    ``1 - sum_c p_uc ** 2`` is the chance that two labels drawn with replacement differ. Labels count as in
    :func:`category_entropy`; NaN for users without categorised items.

    Raises:
        DataError: If the interactions have no categories.
    """
    user, count = _category_counts(train)
    total = _sum(user, count, train.num_users)
    return (1 - _sum(user, (count / total[user]) ** 2, train.num_users)).where(total > 0, torch.nan)


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
    if min(num_groups, num_strata) < 1:
        raise ValueError(f"'num_groups' and 'num_strata' must be at least 1 (got {num_groups} and {num_strata})")
    if values.shape != activity.shape:
        raise ValueError(f"'activity' must have the shape of 'values' (got {tuple(activity.shape)})")
    users = (~values.isnan()).nonzero().flatten()
    num_strata = min(num_strata, max(1, len(users) // num_groups))
    stratum = _equal_parts(activity[users].argsort(stable=True), num_strata)
    groups = torch.full(values.shape, -1, dtype=torch.int64, device=values.device)
    by_value = values[users].argsort(stable=True)
    for number in range(num_strata):
        members = users[by_value[stratum[by_value] == number]]
        groups[members] = torch.arange(len(members), device=values.device) * num_groups // max(1, len(members))
    return groups


def _equal_parts(order: Tensor, num_parts: int) -> Tensor:
    part = torch.empty_like(order)
    part[order] = torch.arange(len(order), device=order.device) * num_parts // max(1, len(order))
    return part


def _category_counts(train: Interactions) -> tuple[Tensor, Tensor]:
    """Return the users and label counts of all pairs of user and category that occur."""
    categories = train.categories
    if categories is None:
        raise DataError("the interactions have no item categories; add them with with_categories")
    by_item = torch.argsort(categories.item, stable=True)
    labels = categories.item.bincount(minlength=train.num_items)
    starts = labels.cumsum(0) - labels
    repeats = labels[train.item]  # labels per row
    row = torch.repeat_interleave(repeats)
    within = torch.arange(len(row)) - (repeats.cumsum(0) - repeats)[row]
    category = categories.category[by_item[starts[train.item[row]] + within]]
    key, count = torch.unique(train.user[row] * len(categories) + category, return_counts=True)
    return key // len(categories), count.double()


def _sum(user: Tensor, values: Tensor, num_users: int) -> Tensor:
    return torch.zeros(num_users, dtype=torch.float64).index_add_(0, user, values)
