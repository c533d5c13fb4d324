"""The order of rows within each user, as index arithmetic."""

import torch
from torch import Tensor

from graphmi.data.interactions import Interactions
from graphmi.sorting import sort_rows

__all__ = ["by_user", "chronological", "leading", "share", "shuffled"]


def chronological(interactions: Interactions) -> Tensor:
    """Return all rows in time order, ties by row; in the order of rows where there are no times."""
    if interactions.time is None:
        return torch.arange(len(interactions))
    return sort_rows(interactions.time)[1]


def shuffled(interactions: Interactions, seed: int) -> Tensor:
    """Return all rows in a random order that the seed decides."""
    return torch.randperm(len(interactions), generator=torch.Generator().manual_seed(seed))


def by_user(interactions: Interactions, order: Tensor) -> tuple[Tensor, Tensor]:
    """Return all rows user by user, and where the rows of each user begin.

    Args:
        interactions: The interactions.
        order: All rows, first to last, ``[num_rows]``; the rows of a user keep this order.

    Returns:
        Rows ``[num_rows]`` and row pointers ``[num_users + 1]``, both int64.
    """
    count = interactions.user.bincount(minlength=interactions.num_users)
    rows = order[sort_rows(interactions.user[order])[1]]
    return rows, torch.cat([count.new_zeros(1), count.cumsum(0)])


def leading(rows: Tensor, rowptr: Tensor, number: Tensor) -> Tensor:
    """Return which rows are among the first of their user.

    Args:
        rows: Rows user by user, as :func:`by_user` returns them.
        rowptr: Where the rows of each user begin, ``[num_users + 1]``.
        number: How many rows of each user to mark, ``[num_users]`` int64; at most as many as the user has.

    Returns:
        A mask ``[num_rows]``.
    """
    first = rowptr[:-1] - (number.cumsum(0) - number)  # minus what is marked before
    marked = torch.arange(int(number.sum())) + first.repeat_interleave(number)
    return torch.zeros(len(rows), dtype=torch.bool).index_fill_(0, rows[marked], True)


def share(count: Tensor, ratio: float) -> Tensor:
    """Return ``floor(count * ratio)``, but at least 1."""
    # the small number keeps 10 * 0.3 from falling below 3
    return (count.double() * ratio + 1e-9).floor().long().clamp(min=1)
