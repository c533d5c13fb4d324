"""Accidental hits: where the positive of a row stands among its negatives."""

from typing import NamedTuple

import torch
from torch import Tensor

from graphmi.typing import Negatives

__all__ = ["Hits", "Matches", "Places", "accidental_hits", "leave_out"]


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
        item: Item ids, ``[num_negatives]``.
    """

    positive: Tensor
    item: Tensor


Hits = Places | Matches


def accidental_hits(positive: Tensor, negatives: Negatives) -> Hits | None:
    """Return the positives among negatives that the batch shares; ``None`` where rows have negatives of their own.

    They are few, and to write these few is cheaper than to compare every row with every negative. But one would have to
    wait for a device to learn how many they are, so there they are compared where they are left out.

    Args:
        positive: Item ids, ``[batch]``.
        negatives: What was drawn.
    """
    row, item = torch.arange(len(positive), device=positive.device), negatives.item
    if negatives.all_items:
        return Places(row, positive)
    if item.dim() != 1:
        return None
    if item.device.type != "cpu" or torch.compiler.is_compiling():
        return Matches(positive, item)
    item, place = item.sort()
    first = torch.searchsorted(item, positive)
    count = torch.searchsorted(item, positive, right=True) - first
    row = row.repeat_interleave(count)
    rank = torch.arange(len(row)) - (count.cumsum(0) - count)[row]  # of a hit among those of its row
    return Places(row, place[first[row] + rank])


def leave_out(logits: Tensor, hits: Hits | None) -> None:
    """Set logits ``[batch, ..., num_negatives]`` that do not count to ``-inf``."""
    if isinstance(hits, Matches):
        same = hits.item == hits.positive.unsqueeze(-1)  # [batch, num_negatives]
        logits.masked_fill_(same.view(len(same), *[1] * (logits.dim() - 2), -1), -torch.inf)
    elif hits is not None:
        logits[hits.row, ..., hits.column] = -torch.inf
