"""How diverse the interests of each user are, and how they drift, measured on training interactions.

The paper that groups users by the diversity of their interests (`WWW 2024 <https://arxiv.org/abs/2402.13495>`_) could
not be had in full, so the measures are a reconstruction; drift and residual are graphmi's own.

Measures are rounded to 9 decimals, so that the order in which a sum was taken does not decide who is more diverse.
"""

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from graphmi.data.errors import DataError, given_as
from graphmi.data.interactions import Interactions
from graphmi.data.order import by_user, chronological

__all__ = ["category_drift", "category_entropy", "distinct_categories", "embedding_spread", "residual", "simpson"]


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
    user, _, count = _category_counts(train)
    total = _sum(user, count, train.num_users)
    share = count / total[user]
    return _rounded(_sum(user, -share * share.log(), train.num_users), total > 0)


def distinct_categories(train: Interactions) -> Tensor:
    """Return the number of categories that each user met, ``[num_users]`` float64.

    NaN for users without categorised items.

    Raises:
        DataError: If the interactions have no categories.
    """
    user, _, count = _category_counts(train)
    distinct = _sum(user, torch.ones_like(count), train.num_users)
    return _rounded(distinct, distinct > 0)


def simpson(train: Interactions) -> Tensor:
    """Return the Simpson diversity of each user's categories, ``[num_users]`` float64.

    ``1 - sum_c p_uc ** 2`` is the chance that two labels drawn with replacement differ. Labels count as in
    :func:`category_entropy`; NaN for users without categorised items.

    Raises:
        DataError: If the interactions have no categories.
    """
    user, _, count = _category_counts(train)
    total = _sum(user, count, train.num_users)
    return _rounded(1 - _sum(user, (count / total[user]) ** 2, train.num_users), total > 0)


def category_drift(train: Interactions) -> Tensor:
    r"""Return how far each user's categories moved over time, ``[num_users]`` float64.

    That is the total variation between the categories of the earlier and of the later half of a user's interactions
    (the later one has one more where their number is odd), in time order where there are times, else as they come:

    .. math::
        \frac{1}{2} \sum_c \lvert p_{uc}^{\text{earlier}} - p_{uc}^{\text{later}} \rvert

    Halves of few interactions differ by chance, so compare users of similar activity.

    Args:
        train: Training interactions with categories.

    Returns:
        0 for users who go on as they began, to 1 for those with nothing in common; NaN where a half has no category.

    Raises:
        DataError: If the interactions have no categories.
    """
    rows, rowptr = by_user(train, chronological(train))
    user = train.user[rows]
    earlier = torch.arange(len(rows)) - rowptr[user] < rowptr.diff()[user] // 2
    shares, keys, known = [], [], torch.ones(train.num_users, dtype=torch.bool)
    for sign, half in ((-1, rows[earlier]), (1, rows[~earlier])):
        who, category, count = _category_counts(train.take(half))
        total = _sum(who, count, train.num_users)
        shares.append(sign * count / total[who])
        keys.append(torch.stack([who, category]))
        known &= total > 0
    key, place = torch.unique(torch.cat(keys, 1), dim=1, return_inverse=True)
    moved = _sum(place, torch.cat(shares), key.size(1)).abs() / 2
    return _rounded(_sum(key[0], moved, train.num_users), known)


def embedding_spread(train: Interactions, vectors: Tensor) -> Tensor:
    r"""Return the mean cosine distance between the items of each user, ``[num_users]`` float64.

    With ``n`` different items, each as a vector :math:`e_i` of length one, all pairs are in the length of one sum:

    .. math::
        \frac{1}{n (n - 1)} \sum_{i \ne j} (1 - e_i^\top e_j) = 1 - \frac{\lVert \sum_i e_i \rVert^2 - n}{n (n - 1)}

    How to read it: 0 for a user whose items all point one way, about 1 for items that have nothing in common. It
    says as much of the vectors as of the user: take those of one frozen model, trained on the same training
    interactions, name it, and use it for all the models that are compared, never each model's own.

    Args:
        train: Training interactions; repeated pairs count once.
        vectors: One per item, ``[num_items, dim]``; a vector of zeros has cosine 0 with all.

    Returns:
        Values from 0 to 2; NaN for users with fewer than two items.

    Raises:
        ValueError: If there is not a vector per item.
    """
    if vectors.dim() != 2 or len(vectors) != train.num_items:
        raise ValueError(f"'vectors' must have a row per item, {train.num_items} (got {tuple(vectors.shape)})")
    unit = torch.nn.functional.normalize(vectors.detach().cpu().double(), dim=-1)
    pairs = torch.unique(train.pairs())
    place = (pairs // train.num_items).numpy(), (pairs % train.num_items).numpy()
    met = sp.csr_array((np.ones(len(pairs)), place), shape=(train.num_users, train.num_items))
    number = torch.from_numpy(met.sum(axis=1))
    itself = torch.from_numpy(met @ unit.square().sum(dim=1).numpy())  # n, less where a vector is zero
    cosines = torch.from_numpy(met @ unit.numpy()).square().sum(dim=1) - itself
    return _rounded((1 - cosines / (number * (number - 1))).clamp(min=0), number > 1)


def residual(values: Tensor, activity: Tensor) -> Tensor:
    """Return what is left of a measure when activity is taken out, ``[num_users]`` float64.

    That is the residual of the least-squares line over the logarithm of activity. A line is enough: on MovieLens,
    MovieTweetings and Amazon Toys the rank correlation of category entropy and activity is 0.5 to 0.8, and that of its
    residual at most 0.08 away from zero, no more than with curves or with means within strata.

    How to read it: above 0 for users with broader taste than others who are as active, below 0 for narrower. Its mean
    is the same at every activity, but not its width: diversity varies more among users with few items, and the
    extremes of the residual are theirs. So groups are made by :func:`~graphmi.data.groups.controlled_groups`, and the
    residual is for correlations.

    Args:
        values: One value per user; NaN means none.
        activity: What to control for, such as the number of training interactions, ``[num_users]``; above 0 for
            users with a value.

    Returns:
        Values with mean 0 and no linear correlation with the logarithm of activity; NaN where the value is.

    Raises:
        ValueError: If the shapes differ or an activity is not above 0.
    """
    if values.shape != activity.shape:
        raise ValueError(f"'activity' must have the shape of 'values' (got {tuple(activity.shape)})")
    known = ~values.isnan()
    if (activity[known] <= 0).any():
        raise ValueError(f"'activity' must be above 0 for users with a value (got {activity[known].min().item()})")
    left = torch.full(values.shape, torch.nan, dtype=torch.float64, device=values.device)
    x, y = activity[known].double().log(), values[known].double()
    x, y = x - x.mean(), y - y.mean()
    slope = (x @ y) / (x @ x).clamp(min=torch.finfo(torch.float64).tiny)
    left[known] = y - slope * x
    return left


def _category_counts(train: Interactions) -> tuple[Tensor, Tensor, Tensor]:
    """Return the users, categories and label counts of all pairs of user and category that occur."""
    categories = train.categories
    if categories is None:
        raise DataError(
            f"the interactions have no item categories; name their column with {given_as('category', 'NAME')}, or add "
            "them with 'with_categories'"
        )
    by_item = torch.argsort(categories.item, stable=True)
    labels = categories.item.bincount(minlength=train.num_items)
    starts = labels.cumsum(0) - labels
    repeats = labels[train.item]  # labels per row
    row = torch.repeat_interleave(repeats)
    within = torch.arange(len(row)) - (repeats.cumsum(0) - repeats)[row]
    category = categories.category[by_item[starts[train.item[row]] + within]]
    key, count = torch.unique(train.user[row] * len(categories) + category, return_counts=True)
    return key // len(categories), key % len(categories), count.double()


def _rounded(values: Tensor, known: Tensor) -> Tensor:
    """Return the values of a measure without the noise of their sums, and NaN where none is known."""
    return values.round(decimals=9).where(known, torch.nan)


def _sum(place: Tensor, values: Tensor, size: int) -> Tensor:
    return torch.zeros(size, dtype=torch.float64).index_add_(0, place, values)
