"""Sorts of many integers, with the rows that they come from."""

import torch
from torch import Tensor

__all__ = ["num_distinct", "rank", "sort_rows"]


def sort_rows(keys: Tensor) -> tuple[Tensor, Tensor]:
    """Return the keys in increasing order and the row that each comes from, ties by row.

    On the CPU a key and its row share one 64-bit number where they fit: numpy sorts plain numbers about three times as
    fast as torch sorts pairs.

    Args:
        keys: ``[num_rows]`` integers.

    Returns:
        Sorted keys and rows, both ``[num_rows]`` int64.
    """
    keys = keys.long()  # narrower ones have no room for the row
    if torch.compiler.is_compiling() or not keys.is_cpu or not keys.numel():
        return torch.sort(keys, stable=True)
    low, high, bits = int(keys.min()), int(keys.max()), keys.numel().bit_length()
    if (high - low).bit_length() + bits > 63:
        return torch.sort(keys, stable=True)
    packed = (keys - low).bitwise_left_shift_(bits).add_(torch.arange(keys.numel()))
    packed.numpy().sort()
    rows = packed.bitwise_and((1 << bits) - 1)
    return packed.bitwise_right_shift_(bits).add_(low), rows


def rank(keys: Tensor) -> tuple[Tensor, Tensor]:
    """Return the different keys in increasing order, and the position of every key among them.

    Args:
        keys: ``[num_rows]`` int64.

    Returns:
        ``[num_distinct]`` and ``[num_rows]`` int64, as ``torch.unique`` with ``return_inverse`` does.
    """
    ordered, rows = sort_rows(keys)
    first = torch.ones_like(ordered, dtype=torch.bool)
    first[1:] = ordered[1:] != ordered[:-1]
    return ordered[first], torch.empty_like(rows).index_copy_(0, rows, first.cumsum(0) - 1)


def num_distinct(keys: Tensor) -> int:
    """Return how many different keys there are.

    Args:
        keys: ``[num_rows]`` int64, on the CPU.
    """
    ordered = keys.clone()
    ordered.numpy().sort()
    return min(len(ordered), 1) + int((ordered[1:] != ordered[:-1]).sum())
