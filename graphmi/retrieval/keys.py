"""Scores and ids as 64-bit keys: the order of the keys is the order of the ranking, ties included."""

import math

import numpy as np
import torch
from torch import Tensor

__all__ = ["EMPTY", "decode", "encode", "ids", "largest", "largest_places", "largest_sorted", "padded"]

_LOW = 0xFFFFFFFF  # the low word holds the complement of the id, so that of equal scores the lower id wins
_SIGN = 0x7FFFFFFF


def encode(scores: Tensor, index: Tensor) -> Tensor:
    """Return int64 keys that order by score, then by lower id.

    Args:
        scores: float32 without NaN, any shape.
        index: Ids, int64 in ``[0, 2^32)``, of the shape of the scores or broadcast to it.
    """
    bits = (scores + 0.0).view(torch.int32)  # -0 becomes 0: they compare as equal
    bits ^= (bits >> 31) & _SIGN  # a float orders like its bits; negative ones are reversed
    keys = bits.to(torch.int64)
    keys <<= 32
    keys |= _LOW - index
    return keys


def ids(keys: Tensor) -> Tensor:
    """Return the ids of the keys."""
    return _LOW - (keys & _LOW)


def decode(keys: Tensor) -> tuple[Tensor, Tensor]:
    """Return the scores and ids of the keys; a score of ``-inf`` has the id ``-1``."""
    bits = (keys >> 32).to(torch.int32)
    scores = (bits ^ ((bits >> 31) & _SIGN)).view(torch.float32)
    return scores, ids(keys).masked_fill(scores == -math.inf, -1)


EMPTY = int(encode(torch.tensor(-math.inf, dtype=torch.float32), torch.tensor(_LOW)))
"""The lowest key: no item."""


def largest(keys: Tensor, k: int) -> Tensor:
    """Return the ``k`` largest keys of each row, in any order; on a processor the keys are reordered in place."""
    if keys.device.type != "cpu" or k >= keys.size(1):
        return keys.topk(min(k, keys.size(1)), sorted=False).values
    rows = keys.numpy()  # numpy partitions with vector instructions, several times faster than torch.topk
    rows.partition(rows.shape[1] - k, axis=1)
    return keys[:, -k:]


def largest_places(scores: Tensor, k: int) -> Tensor:
    """Return where the ``k`` largest scores of each row stand, ascending; of equal scores the first ones.

    On a CPU the ``k``-th largest score is found by partitioning plain scores: half the bytes of keys, and no encoding.
    Where more than ``k`` are as large (ties), keys decide.

    Args:
        scores: ``[rows, num]`` float32.
        k: At most ``num`` are returned.
    """
    rows, num = scores.shape
    if k >= num:
        return torch.arange(num, device=scores.device).expand(rows, num)
    if scores.device.type == "cpu":
        values = scores.numpy()
        smallest = np.partition(values, num - k, axis=1)[:, num - k : num - k + 1]
        places = np.flatnonzero(values >= smallest)
        if len(places) == rows * k:
            return torch.from_numpy(places).view(rows, k) - torch.arange(rows).view(-1, 1) * num
    found = largest(encode(scores, torch.arange(num, device=scores.device)), k)
    return ids(found).sort(dim=1).values


def largest_sorted(keys: Tensor, k: int) -> Tensor:
    """Return the ``k`` largest keys of each row in descending order, as :func:`largest`."""
    keys = largest(keys, k)
    if keys.device.type != "cpu":
        return keys.sort(dim=1, descending=True).values
    return torch.from_numpy(np.sort(keys.numpy(), axis=1)).flip(1)


def padded(values: Tensor, row: Tensor, num_rows: int, fill: int) -> Tensor:
    """Return values that stand row by row, ``[num]``, as ``[num_rows, most of a row]`` with ``fill`` in other places.

    Args:
        values: ``[num]`` int64.
        row: The row of each, ``[num]`` ascending.
        num_rows: Number of rows.
        fill: What is not given.
    """
    count = torch.bincount(row, minlength=num_rows)
    width = int(count.max())
    out = torch.full((num_rows, width), fill)
    shift = torch.arange(num_rows) * width - (count.cumsum(0) - count)
    out.view(-1)[torch.arange(len(row)) + shift.take(row)] = values
    return out
