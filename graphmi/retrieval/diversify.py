"""Lists that trade score for variety."""

import torch
from torch import Tensor

from graphmi.ranges import at_least

__all__ = ["diversified"]

_MOST = 1e30  # beyond it what items lose would leave float32


@torch.no_grad()
def diversified(scores: Tensor, categories: Tensor, k: int, weight: float) -> Tensor:
    r"""Return which candidates make a list of varied categories, in the order in which they are picked.

    One after the other, the candidate with the highest

    .. math:: s_i - \lambda \cdot \operatorname{mean}_{c \in C(i)} n_c

    is picked, where :math:`n_c` counts how many of category :math:`c` were picked before. With one category per item
    this is the controllable aggregation of ComiRec (`Cen et al., KDD 2020 <https://arxiv.org/abs/2005.09347>`_) in its
    greedy form, published; the mean over several categories is graphmi's own. An item without a category loses nothing.

    Args:
        scores: ``[batch, num_candidates]``, ``-inf`` for what is no candidate.
        categories: Numbers of the categories of each candidate from 0, each once, ``[batch, num_candidates,
            most_categories]`` int64, ``-1`` where a candidate has no more.
        k: How many to pick, at least 1; at most ``num_candidates`` are.
        weight: :math:`\lambda` in units of the scores, at least 0, which is the order of the scores.

    Returns:
        Places of the candidates, ``[batch, min(k, num_candidates)]``; of equal values the first one. ``-1`` where no
        candidate is left.

    Raises:
        ValueError: If ``k`` or ``weight`` is out of its range.

    Example:
        >>> scores = torch.tensor([[5.0, 4.9, 4.0, 3.9]])
        >>> categories = torch.tensor([[[0], [0], [1], [2]]])
        >>> diversified(scores, categories, k=3, weight=2.0)
        tensor([[0, 2, 3]])
    """
    at_least(1, k=k)
    at_least(0, weight=weight)
    weight = min(weight, _MOST)
    labels = categories + 1  # 0 for none, of which none is ever picked
    number = (labels > 0).sum(-1).clamp_min(1).to(scores)
    counts = scores.new_zeros(len(scores), 1 + (int(labels.max()) if labels.numel() else 0))  # picked so far, of each
    left, picked = scores.clone(), [labels.new_zeros(len(scores), 0)]
    for _ in range(min(k, scores.size(1))):
        before = counts.gather(1, labels.flatten(1)).view(labels.shape).sum(-1) / number  # [batch, num_candidates]
        best, place = (left - weight * before).max(1, keepdim=True)  # [batch, 1]
        picked.append(place.masked_fill(best == -torch.inf, -1))
        own = labels.take_along_dim(place.unsqueeze(-1), 1).squeeze(1)  # [batch, most_categories]
        counts.scatter_add_(1, own, (own > 0).to(counts))
        left.scatter_(1, place, -torch.inf)
    return torch.cat(picked, 1)
