"""What one of several processes takes of a batch.

Every process draws the same batches and the same negatives, because ids are cheap, and computes representations and
scores for its own part of them. Loss terms are means, so those of the whole batch are sums of those of the parts, each
times its share.
"""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from graphmi.typing import Batch

__all__ = ["Part", "owners", "shard", "shares"]


@dataclass(frozen=True, slots=True)
class Part:
    """Some rows of a batch.

    Attributes:
        batch: These rows as a batch of their own.
        row: Which rows of ``user`` they are in the whole batch, ``[part]``.
        counts: False where nothing was left for this process. It then has the first row with a positive, with a share
            of 0, because all processes take part in every step.
    """

    batch: Batch
    row: Tensor
    counts: bool


class _Totals(Protocol):
    """A :class:`graphmi.losses.Loss`."""

    def totals(self, positive: Tensor, row: Tensor | None, user: Tensor | None) -> dict[str, Tensor]: ...


def shard(batch: Batch, rank: int, world: int) -> Part:
    """Return the part of a training batch that one of several processes takes.

    Rows go in about equal numbers to the processes; users without a positive, of whom no mean is taken, to none. All
    positives of a user stay together where a user has several in one batch, with ``row`` or ``prefix``, and so do their
    histories.

    Args:
        batch: The whole batch, on the CPU: another device would have to be waited for.
        rank: Which of the processes, from 0.
        world: How many there are, at least 1.
    """
    row = _rows(batch, rank, world)
    taken = row if len(row) else _rows(batch, 0, 1)[:1]
    return Part(_take(batch, taken), taken, counts=len(row) > 0)


def shares(loss: _Totals, whole: Batch, part: Part) -> dict[str, float]:
    """Return by how much the loss terms of a part are multiplied, so that all parts add up to the whole.

    Args:
        loss: Says what its terms are means over.
        whole: The whole batch, on the CPU.
        part: What :func:`shard` returned of it.
    """
    total, own = (_totals(loss, batch) for batch in (whole, part.batch))
    return {name: float(own[name] / total[name]) if part.counts else 0.0 for name in total}


def owners(batch: Batch) -> Tensor | None:
    """Return whose each positive is, where a user has several entries in the batch, ``[batch]``; else ``None``."""
    return batch.user if batch.prefix is not None else None


def _totals(loss: _Totals, batch: Batch) -> dict[str, Tensor]:
    if batch.positive is None:
        raise ValueError("a training batch needs positives")
    return loss.totals(batch.positive, batch.row, owners(batch))


def _rows(batch: Batch, rank: int, world: int) -> Tensor:
    """Return the rows of ``user`` that a process takes, ascending."""
    if batch.prefix is None:
        rows = torch.arange(len(batch.user)) if batch.row is None else torch.unique(batch.row)
        return rows.tensor_split(world)[rank]
    _, place, count = torch.unique(batch.user, return_inverse=True, return_counts=True)
    part = (count.cumsum(0) - count) * world // len(batch.user)  # of each user, about equal numbers of targets
    return torch.nonzero(part[place] == rank).flatten()


def _take(batch: Batch, row: Tensor) -> Batch:
    """Return these rows, ascending; between them are, but for batches of prefixes, none with positives."""
    if batch.prefix is not None and batch.history is not None:
        length = batch.history.size(1)
        sequence, place = torch.unique(batch.prefix[row] // length, return_inverse=True)
        prefix = place * length + batch.prefix[row] % length
    else:
        sequence, prefix = row, None
    positive, owner = row, None
    if batch.row is not None:
        positive = torch.nonzero((batch.row >= row[0]) & (batch.row <= row[-1])).flatten()
        owner = torch.searchsorted(row, batch.row[positive])
    return Batch(
        user=batch.user[row],
        positive=None if batch.positive is None else batch.positive[positive],
        row=owner,
        history=None if batch.history is None else batch.history[sequence],
        mask=None if batch.mask is None else batch.mask[sequence],
        prefix=prefix,
    )
