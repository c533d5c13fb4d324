"""Accidental hits: where the positive of a row stands among its negatives."""

import torch
from torch import Tensor

from graphmi.typing import Negatives

__all__ = ["accidental_hits"]


def accidental_hits(positive: Tensor, negatives: Negatives) -> tuple[Tensor, Tensor] | None:
    """Return rows and columns of the positives among negatives that the batch shares, both ``[num_hits]`` int64.

    They are few, and to write these few is cheaper than to compare every row with every negative. ``None`` where rows
    have negatives of their own, and where one would have to wait for a device to learn how many hits there are.

    Args:
        positive: Item ids, ``[batch]``.
        negatives: What was drawn.
    """
    row, item = torch.arange(len(positive), device=positive.device), negatives.item
    if negatives.all_items:
        return row, positive
    if item.dim() != 1 or item.device.type != "cpu" or torch.compiler.is_compiling():
        return None
    item, place = item.sort()
    first = torch.searchsorted(item, positive)
    count = torch.searchsorted(item, positive, right=True) - first
    row = row.repeat_interleave(count)
    rank = torch.arange(len(row)) - (count.cumsum(0) - count)[row]  # of a hit among those of its row
    return row, place[first[row] + rank]
