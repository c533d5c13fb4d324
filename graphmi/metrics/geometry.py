"""Where interests lie: close to one another, close to their items, or spread over the sphere."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from graphmi.typing import ItemTable

__all__ = ["alignment", "interest_cosine", "uniformity"]

_PAIRS = 2**14  # pairs of user and item looked at at once


def interest_cosine(interests: Tensor, interest_mask: Tensor | None = None) -> Tensor:
    r"""Return the mean cosine between two active interests of each user.

    .. math:: \frac{2}{K (K - 1)} \sum_{j < k} \cos(V_j, V_k)

    How to read it: 1 where all interests of a user are one, 0 where they are unrelated. High values say that several
    interests do what one could. A graph model with ``score="symmetric"`` has a common half in all interests of a user,
    which raises it. An interest of length 0 has cosine 0 with all.

    Args:
        interests: ``[num_users, num_interests, dim]``.
        interest_mask: ``[num_users, num_interests]``, False where an interest is inactive.

    Returns:
        Values in ``[-1, 1]``, ``[num_users]``; NaN for fewer than two active interests.
    """
    unit = _unit(interests)
    if interest_mask is None:
        count = unit.new_full((len(unit),), unit.size(1))
    else:
        unit, count = unit * interest_mask.unsqueeze(-1), interest_mask.sum(dim=1).to(unit)
    # The sum over all ordered pairs is the squared length of the sum, less what each has with itself.
    pairs = unit.sum(dim=1).square().sum(dim=1) - unit.square().sum(dim=(1, 2))
    return (pairs / (count * (count - 1)).where(count > 1, torch.nan)).clamp(-1.0, 1.0)


def alignment(
    interests: Tensor,
    items: Tensor | ItemTable,
    edge_label_index: Tensor,
    interest_mask: Tensor | None = None,
) -> Tensor:
    r"""Return how far each user's relevant items are from the interest that scores best on them.

    .. math:: \operatorname{mean}_{i} \|\hat v - \hat e_i\|^2

    on vectors of length one. `Wang and Isola, ICML 2020 <https://arxiv.org/abs/2005.10242>`_.

    How to read it: 0 where an interest lies on every relevant item, 2 where they are unrelated. Low is good, but only
    together with low :func:`uniformity`: a model that puts everything into one point has perfect alignment.

    Args:
        interests: ``[num_users, num_interests, dim]``.
        items: Item vectors, ``[num_items, num_vectors * dim]``; where an item has several, the best pair counts.
        edge_label_index: Row and item id of the relevant items, ``[2, num_relevant]``.
        interest_mask: ``[num_users, num_interests]``, False where an interest is inactive.

    Returns:
        Values in ``[0, 4]``, ``[num_users]``; NaN without a relevant item or an active interest.
    """
    size = (len(interests),)
    total, count = interests.new_zeros((2, *size), dtype=_wide(interests)).unbind()
    for row, item in zip(*(index.split(_PAIRS) for index in edge_label_index), strict=True):
        mask = None if interest_mask is None else interest_mask[row]
        total = total.index_add(0, row, _distances(interests[row], items[item], mask))
        count = count.index_add(0, row, torch.ones_like(row, dtype=count.dtype))
    active = count > 0 if interest_mask is None else (count > 0) & interest_mask.any(dim=1)
    return total / count.where(active, torch.nan)


def uniformity(vectors: Tensor) -> Tensor:
    r"""Return how far vectors are from an even spread over the sphere.

    .. math:: \log \operatorname{mean}_{a \ne b} e^{-2 \|\hat x_a - \hat x_b\|^2}

    `Wang and Isola, ICML 2020 <https://arxiv.org/abs/2005.10242>`_.

    How to read it: 0 where all vectors point the same way; about -4 where many dimensions are used evenly. Low is
    good, together with low :func:`alignment`: vectors that are spread keep users apart.

    Args:
        vectors: ``[num_vectors, dim]``; every pair is compared.

    Returns:
        A scalar in ``[-8, 0]``; NaN for fewer than two vectors.
    """
    size = len(vectors)
    unit = _unit(vectors)
    length = unit.square().sum(dim=1, keepdim=True)  # 1, or 0 for a vector of zeros
    one = torch.ones_like(length)
    # One product has all exponents, which are too close to 0 to need their maximum.
    exponent = torch.cat([2 * unit, -2 * length, one], dim=1) @ torch.cat([2 * unit, one, -2 * length], dim=1).T
    total = exponent.fill_diagonal_(-math.inf).exp_().sum()
    return (total / (size * (size - 1))).log().clamp(max=0.0)  # of fewer than two 0 / 0


def _distances(interests: Tensor, vectors: Tensor, mask: Tensor | None) -> Tensor:
    """Return the squared distance of the best pair of interest and item vector, ``[num_pairs]``."""
    dim = interests.size(-1)
    vectors = vectors.view(len(vectors), vectors.size(1) // dim, dim)  # [num_pairs, num_vectors, dim]
    scores = interests @ vectors.transpose(1, 2)
    if mask is not None:
        scores = scores.masked_fill(~mask.unsqueeze(-1), -math.inf)
    best = scores.flatten(1).argmax(dim=1)
    row = torch.arange(len(best), device=best.device)
    interest, item = interests[row, best // vectors.size(1)], vectors[row, best % vectors.size(1)]
    return (_unit(interest) - _unit(item)).square().sum(dim=-1)


def _unit(vectors: Tensor) -> Tensor:
    """Return vectors at length one, or 0, in full precision: half has no number for what torch divides 0 by."""
    return F.normalize(vectors.to(_wide(vectors)), dim=-1)


def _wide(vectors: Tensor) -> torch.dtype:
    return torch.promote_types(vectors.dtype, torch.float32)
