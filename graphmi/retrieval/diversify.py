"""Lists that trade score for variety."""

import torch
from torch import Tensor

__all__ = ["diversified"]


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
        categories: True where a candidate belongs to a category, ``[batch, num_candidates, num_categories]`` bool.
        k: How many to pick, at least 1; at most ``num_candidates`` are.
        weight: :math:`\lambda` in units of the scores, at least 0, which is the order of the scores.

    Returns:
        Places of the candidates, ``[batch, k]``; of equal values the first one. Who has fewer than ``k`` candidates is
        given others at the end.

    Raises:
        ValueError: If ``k`` or ``weight`` is out of its range.

    Example:
        >>> scores = torch.tensor([[5.0, 4.9, 4.0, 3.9]])
        >>> categories = torch.tensor([[[1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]]).bool()
        >>> diversified(scores, categories, k=3, weight=2.0)
        tensor([[0, 2, 3]])
    """
    if k < 1:
        raise ValueError(f"'k' must be at least 1 (got {k})")
    if not weight >= 0:
        raise ValueError(f"'weight' must be at least 0 (got {weight})")
    belongs = categories.to(scores.dtype)
    share = belongs / belongs.sum(-1, keepdim=True).clamp_min(1)
    counts = scores.new_zeros(len(scores), 1, categories.size(-1))  # picked so far, of each category
    left, picked = scores.clone(), list[Tensor]()
    for _ in range(min(k, scores.size(1))):
        place = (left - weight * (share * counts).sum(-1)).argmax(1, keepdim=True)  # [batch, 1]
        picked.append(place)
        counts = counts + belongs.take_along_dim(place.unsqueeze(-1), 1)
        left.scatter_(1, place, -torch.inf)
    return torch.cat(picked, 1)
