"""How interests read histories: from one item, or from many.

The functions take routing weights ``[num_users, num_interests, length]``, at least 0. What counts is which part of
an interest comes from which position, so each interest's weights are divided by their sum over the real positions;
for dynamic routing, whose weights sum to one over the interests, this makes a difference.
"""

import torch
from torch import Tensor

__all__ = ["routing_collapse", "routing_entropy"]


def routing_collapse(
    routing: Tensor, mask: Tensor | None = None, interest_mask: Tensor | None = None, threshold: float = 0.9
) -> Tensor:
    """Return the share of each user's active interests that rest on one item of the history.

    An interest rests on one item if more than ``threshold`` of its weight is there. This is the collapse that REMI's
    penalty is against (`Xie et al., RecSys 2023 <https://arxiv.org/abs/2302.14532>`_).

    How to read it: 0 is no collapse; at 1 every interest is one item, and the model recommends what goes with single
    items. Watch it over the epochs: it often grows with training.

    Args:
        routing: Routing weights, ``[num_users, num_interests, length]``.
        mask: ``[num_users, length]``, True where the history is real.
        interest_mask: ``[num_users, num_interests]``, False where an interest is inactive.
        threshold: In ``[0.5, 1)``, so that at most one item can be above it.

    Returns:
        Values in ``[0, 1]``, ``[num_users]``; NaN for histories of fewer than two items and users without an active
        interest that has any weight.

    Raises:
        ValueError: If the threshold is out of range.
    """
    if not 0.5 <= threshold < 1:
        raise ValueError(f"'threshold' must be at least 0.5 and below 1 (got {threshold})")
    weights, length = _over_positions(routing, mask)
    return _mean((weights > threshold).any(dim=2).to(routing), weights, length, interest_mask)


def routing_entropy(routing: Tensor, mask: Tensor | None = None, interest_mask: Tensor | None = None) -> Tensor:
    r"""Return how evenly the active interests of each user read the history.

    .. math:: \operatorname{mean}_k -\frac{1}{\log n} \sum_{l \le n} a_{kl} \log a_{kl}

    How to read it: 0 where each interest rests on one item, 1 where each is the mean of the history, so that all are
    equal. Interests that have specialised lie in between.

    Args:
        routing: Routing weights, ``[num_users, num_interests, length]``.
        mask: ``[num_users, length]``, True where the history is real.
        interest_mask: ``[num_users, num_interests]``, False where an interest is inactive.

    Returns:
        Values in ``[0, 1]``, ``[num_users]``; NaN as in :func:`routing_collapse`.
    """
    weights, length = _over_positions(routing, mask)
    entropy = torch.special.entr(weights).sum(dim=2) / length.log().clamp(min=1e-9).unsqueeze(1)
    return _mean(entropy, weights, length, interest_mask)


def _over_positions(routing: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return weights that sum to one over the real positions, or are all 0, and the lengths ``[num_users]``."""
    if mask is None:
        length = routing.new_full((len(routing),), routing.size(2))
    else:
        routing, length = routing * mask.unsqueeze(1), mask.sum(dim=1).to(routing)
    total = routing.sum(dim=2, keepdim=True)
    return routing / total.where(total > 0, 1.0), length


def _mean(values: Tensor, weights: Tensor, length: Tensor, interest_mask: Tensor | None) -> Tensor:
    """Average ``[num_users, num_interests]`` over the interests that have any weight."""
    counted = weights.any(dim=2)
    if interest_mask is not None:
        counted = counted & interest_mask
    mean = (values * counted).sum(dim=1) / counted.sum(dim=1)
    return mean.where(length > 1, torch.nan)
