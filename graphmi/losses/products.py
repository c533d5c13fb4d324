"""The log-partition of inner products, without the products themselves."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from graphmi.kernels import use_triton
from graphmi.losses.hits import Hits, Matches, Places, of_columns
from graphmi.losses.in_cache import NegativeVectors, partition_in_cache
from graphmi.losses.partition import log_partition
from graphmi.losses.weighting import mask_invalid
from graphmi.nn.autocast import autocast_dtype

__all__ = ["WIDE", "in_parts", "over_vectors", "partition_of_products", "without_invalid"]

WIDE = 4096
"""Negatives at a time on the CPU, where there are at least twice as many."""
_FILL = 64  # sizes are multiples of this


def partition_of_products(
    left: Tensor,
    right: Tensor,
    correction: Tensor | None = None,
    temperature: float = 1.0,
    hits: Hits | None = None,
    valid: Tensor | None = None,
) -> Tensor:
    r"""Return :math:`\log \sum_j \exp(\langle u_{ik}, v_j \rangle / \tau + c_{ikj})`, ``[batch, num_vectors]``.

    The same as :func:`~graphmi.losses.partition.log_partition` of ``left @ right.T``, in two thirds of its time: the
    exponentials are the only buffer of the size ``[batch, num_vectors, num_negatives]``, blocks are exponentiated while
    they are in the cache, and the gradient is scaled only after it was reduced to that of the vectors.

    Under autocast products and what is kept of them are in its format, exponentials and sums in full precision.

    Args:
        left: ``[batch, num_vectors, dim]``.
        right: ``[num_negatives, dim]``.
        correction: Broadcast to ``[batch, num_vectors, num_negatives]``, without gradient; ``None`` is zero.
        temperature: Divides the products, positive.
        hits: Products that do not count; single places are, outside of the CPU, one for each row.
        valid: ``[batch, num_negatives]``, False where the products of a row do not count; ``None``: all do.
    """
    kind = autocast_dtype(left)
    if use_triton(left) and (not isinstance(hits, Places) or _one_per_row(hits, len(left))):
        from graphmi.kernels import partition

        if partition.tile(kind or left.dtype, left.size(-1)) is not None:
            hit, name = (hits.column, None) if isinstance(hits, Places) else hits or (None, None)
            correction = without_invalid(correction, valid, left)
            return partition.partition_of_products(left, right, correction, temperature, kind or left.dtype, hit, name)
    if torch.compiler.is_compiling() or (kind is None and left.dtype != right.dtype):
        return log_partition(left @ right.T, without_invalid(correction, valid, left), temperature, hits)
    if kind is None and left.device.type == "cpu" and len(right) >= 2 * WIDE:
        parts = in_parts(NegativeVectors(right, correction, hits, valid))
        each = [partition_of_products(left, *part[:2], temperature, *part[2:]) for part in parts]
        return log_partition(torch.stack(each, -1))
    size = len(left)
    if kind is not None and left.device.type == "cpu" and not isinstance(hits, Matches):
        left, right, correction, valid = _in_sizes_that_recur(left, right, correction, valid)
    kind = kind or left.dtype
    negatives = NegativeVectors(right, correction, hits, valid)
    return partition_in_cache(left, negatives, 1.0 / temperature, kind)[:size]


def in_parts(negatives: NegativeVectors) -> list[NegativeVectors]:
    """Return some negatives at a time, whose vectors stay in the cache of a core while rows go by."""
    right, correction, hits, valid = negatives
    size = _FILL * math.ceil(len(right) / (_FILL * (len(right) // WIDE)))
    if correction is not None:
        correction = correction.expand(*correction.shape[:-1], len(right))
    parts = []
    for part, first in zip(torch.split(right, size), range(0, len(right), size), strict=True):
        columns = slice(first, first + size)
        added, counting = (None if each is None else each[..., columns] for each in (correction, valid))
        parts.append(NegativeVectors(part, added, of_columns(hits, first, first + size), counting))
    return parts


def over_vectors(partition: Tensor) -> Tensor:
    """Return the log-sum-exp over the vectors of a row, ``[batch]``; of a single one without a gradient of its own.

    That of ``logsumexp`` is NaN where nothing is left.
    """
    return partition.squeeze(1) if partition.size(1) == 1 else partition.logsumexp(1)


def without_invalid(correction: Tensor | None, valid: Tensor | None, like: Tensor) -> Tensor | None:
    """Set a correction of products (``None`` for zero) to ``-inf`` where ``valid`` is False, ``[batch, 1, ...]``."""
    return mask_invalid(correction, None if valid is None else valid.unsqueeze(1), like)


def _one_per_row(hits: Places, size: int) -> bool:
    row = hits.row
    return len(row) == size and (row.device.type != "cpu" or bool((row == torch.arange(size)).all()))


def _in_sizes_that_recur(
    left: Tensor, right: Tensor, correction: Tensor | None, valid: Tensor | None
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """Add rows, and columns that do not count: a CPU compiles products of half precision for each new size."""
    rows, columns = -len(left) % _FILL, -len(right) % _FILL
    if correction is None:
        correction = left.new_zeros(1, dtype=torch.float32)
    if correction.dim() == 3 and len(correction) > 1:
        correction = F.pad(correction, (0, 0, 0, 0, 0, rows))
    correction = correction.expand(*correction.shape[:-1], len(right))
    correction = F.pad(correction, (0, columns), value=-math.inf)
    if valid is not None:
        valid = F.pad(valid, (0, columns, 0, rows))
    return F.pad(left, (0, 0, 0, 0, 0, rows)), F.pad(right, (0, 0, 0, columns)), correction, valid
