"""Several positives of one user: as many rows, and how often each user comes."""

from dataclasses import replace

import torch
from torch import Tensor

from graphmi.typing import Negatives, Representations

__all__ = ["multiplicity", "pair_by_pair"]


def pair_by_pair(out: Representations, negatives: Negatives, row: Tensor) -> tuple[Representations, Negatives]:
    """Repeat what belongs to a user for each of its positives, so that there is one positive per row."""

    def repeat(part: Tensor | None) -> Tensor | None:
        return None if part is None else part.index_select(0, row)

    return replace(
        out,
        interests=out.interests.index_select(0, row),
        routing=repeat(out.routing),
        mask=repeat(out.mask),
        interest_mask=repeat(out.interest_mask),
        routing_variance=repeat(out.routing_variance),
        ego_users=repeat(out.ego_users),
    ), negatives.take(row)


def multiplicity(owner: Tensor) -> Tensor:
    """Count how often the value of each entry occurs, ``[num]``, without waiting for the device."""
    ordered = owner.sort().values
    return torch.searchsorted(ordered, owner, right=True) - torch.searchsorted(ordered, owner)
