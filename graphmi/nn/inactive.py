"""Interests that do not count: scores without them, and active ones in their places."""

import torch
from torch import Tensor

__all__ = ["active_places", "mask_interests", "without_inactive"]


def mask_interests(scores: Tensor, interest_mask: Tensor | None) -> Tensor:
    """Set the scores ``[batch, num_interests, ...]`` of inactive interests to ``-inf``."""
    if interest_mask is None:
        return scores
    return scores.masked_fill(~interest_mask.unsqueeze(-1), -torch.inf)


def without_inactive(interests: Tensor, interest_mask: Tensor | None) -> Tensor:
    """Repeat an active interest in place of the inactive ones, which leaves the best score as it is.

    Args:
        interests: ``[batch, num_interests, dim]``.
        interest_mask: ``[batch, num_interests]``, False where an interest does not count; ``None`` if all do.
    """
    if interest_mask is None:
        return interests
    return interests.gather(1, active_places(interest_mask).unsqueeze(-1).expand_as(interests))


def active_places(interest_mask: Tensor) -> Tensor:
    """Return the interest in each place, ``[batch, num_interests]``: the own or the first active one."""
    own = torch.arange(interest_mask.size(1), device=interest_mask.device)
    return own.where(interest_mask, interest_mask.int().argmax(dim=1, keepdim=True))
