"""How diverse the interests of each user are, measured on training interactions."""

import torch
from torch import Tensor

from graphmi.data.errors import DataError
from graphmi.data.interactions import Interactions

__all__ = ["category_entropy", "distinct_categories", "simpson"]


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
