"""Accidental hits: where the positive of a row stands among its negatives."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from graphmi.typing import Negatives

__all__ = ["Hits", "Matches", "Places", "accidental_hits", "leave_out", "of_blocks", "of_columns"]


class Places(NamedTuple):
    """Single negatives of single rows.

    Attributes:
        row: ``[num_hits]`` int64, ascending.
        column: ``[num_hits]`` int64.
    """

    row: Tensor
    column: Tensor


class Matches(NamedTuple):
    """All negatives that are the positive of their row.

    Attributes:
        positive: Item ids, ``[batch]``.
        item: Item ids, ``[num_negatives]`` or ``[batch, num_negatives]``.
    """

    positive: Tensor
    item: Tensor


Hits = Places | Matches


def accidental_hits(positive: Tensor, negatives: Negatives) -> Hits | None:
    """Return the positives among the negatives that are not invalid anyhow; ``None`` where there are none.

    Writing these few is cheaper than masking all scores. On an accelerator their number is known only after waiting for
    the device; there both sides are returned, and :func:`leave_out` compares them.

    Args:
        positive: Item ids, ``[batch]``.
        negatives: What was drawn.
    """
    item, row = negatives.item, torch.arange(len(positive), device=positive.device)
    if item.device.type != "cpu" or torch.compiler.is_compiling():
        return Places(row, positive) if negatives.all_items else Matches(positive, item)
    if negatives.all_items:
        found = Places(row, positive)
    else:
        found = _shared_hits(positive.contiguous(), item) if item.dim() == 1 else _own_hits(positive, item)
    if negatives.valid is not None:
        counts = negatives.valid[found.row, found.column]
        found = Places(found.row[counts], found.column[counts])
    return found if len(found.row) else None


def _shared_hits(positive: Tensor, item: Tensor) -> Places:
    item, place = item.sort()
    first = torch.searchsorted(item, positive)
    count = torch.searchsorted(item, positive, right=True) - first
    row = torch.arange(len(positive)).repeat_interleave(count)
    rank = torch.arange(len(row)) - (count.cumsum(0) - count)[row]  # of a hit among those of its row
    return Places(row, place[first[row] + rank])


def _own_hits(positive: Tensor, item: Tensor) -> Places:
    same = (item == positive.unsqueeze(-1)).numpy()
    found = torch.from_numpy(np.flatnonzero(same))  # numpy takes a quarter of torch's time
    return Places(found // item.size(1), found % item.size(1))


def leave_out(logits: Tensor, hits: Hits | None) -> None:
    """Set logits ``[batch, ..., num_negatives]`` that do not count to ``-inf``."""
    if isinstance(hits, Matches):
        same = hits.item == hits.positive.unsqueeze(-1)  # [batch, num_negatives]
        logits.masked_fill_(same.view(len(same), *[1] * (logits.dim() - 2), -1), -torch.inf)
    elif hits is not None:
        logits[hits.row, ..., hits.column] = logits.new_full((), -torch.inf)  # a number would be copied to a GPU


def of_blocks(hits: Hits | None, size: int, num_blocks: int) -> Iterable[Hits | None]:
    """Return the hits of each block of ``size`` rows, rows counted from its first."""
    if hits is None or num_blocks == 1:
        return [hits] * num_blocks
    if isinstance(hits, Matches):
        return [Matches(part, hits.item) for part in torch.split(hits.positive, size)]
    number = torch.bincount(hits.row // size, minlength=num_blocks).tolist()  # blocks are a matter of the CPU
    return map(Places, torch.split(hits.row % size, number), torch.split(hits.column, number))


def of_columns(hits: Hits | None, first: int, last: int) -> Hits | None:
    """Return the hits among the negatives from ``first`` to before ``last``, counted from the first of them."""
    if hits is None:
        return None
    if isinstance(hits, Matches):
        return Matches(hits.positive, hits.item[..., first:last])
    inside = (hits.column >= first) & (hits.column < last)
    return Places(hits.row[inside], hits.column[inside] - first)
