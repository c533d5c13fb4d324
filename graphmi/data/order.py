"""The order of rows within each user, as index arithmetic."""

import torch
from torch import Tensor

from graphmi.data.interactions import Interactions

__all__ = ["chronological", "rank_per_user", "shuffled"]


def chronological(interactions: Interactions) -> Tensor:
    """Return all rows in time order, ties by row; in the order of rows where there are no times."""
    if interactions.time is None:
        return torch.arange(len(interactions))
    return torch.argsort(interactions.time, stable=True)


def shuffled(interactions: Interactions, seed: int) -> Tensor:
    """Return all rows in a random order that the seed decides."""
    return torch.randperm(len(interactions), generator=torch.Generator().manual_seed(seed))


def rank_per_user(interactions: Interactions, order: Tensor) -> tuple[Tensor, Tensor]:
    """Return each row's position among its user's rows and how many rows that user has.

    Args:
        interactions: The interactions.
        order: All rows, first to last, ``[num_rows]``.

    Returns:
        Position from 0 on and count, both ``[num_rows]`` int64.
    """
    grouped = order[torch.argsort(interactions.user[order], stable=True)]  # by user, then as ordered
    counts = interactions.user.bincount(minlength=interactions.num_users)
    starts = counts.cumsum(0) - counts
    rank = torch.empty_like(grouped)
    rank[grouped] = torch.arange(len(grouped)) - starts[interactions.user[grouped]]
    return rank, counts[interactions.user]
