"""The programs of the log-partition: what one of them does with its tile, forward and backward.

All three take the arguments that :mod:`graphmi.kernels.partition` starts them with. Logits are binary: log2(e) times
the natural ones.
"""

import math

import triton
import triton.language as tl

__all__ = ["backward_left", "backward_right", "forward"]

_LOG2_E = tl.constexpr(math.log2(math.e))
_LEAST = tl.constexpr(-3.0e38)  # below all logits, and finite
_NOTHING = tl.constexpr(float("-inf"))
_EVERYTHING = tl.constexpr(float("inf"))


@triton.jit
def forward(
    left, right, out, partition, slope, num_rows, num_cols, part, dim, scale, num_vectors, correction, hit, name,
    width: tl.constexpr, block_rows: tl.constexpr, block_cols: tl.constexpr, precision: tl.constexpr,
):  # fmt: skip
    """Write the log-partitions of a tile of rows over a part of the columns."""
    row, first = tl.program_id(0) * block_rows, tl.program_id(1) * part
    u = _vectors(left, row, num_rows, dim, block_rows, width)
    largest, total = tl.full([block_rows], _LEAST, tl.float32), tl.zeros([block_rows], tl.float32)
    for col in range(first, tl.minimum(first + part, num_cols), block_cols):
        v = _vectors(right, col, num_cols, dim, block_cols, width)
        logits = _logits(u, v, row, col, num_rows, num_cols, scale, num_vectors, correction, hit, name, precision)
        larger = tl.maximum(largest, tl.max(logits, 1))
        total = total * tl.exp2(largest - larger) + tl.sum(tl.exp2(logits - larger[:, None]), 1)
        largest = larger
    rows = row + tl.arange(0, block_rows)
    found = tl.where(total > 0, largest + tl.log2(tl.where(total > 0, total, 1.0)), _NOTHING)
    tl.store(out + tl.program_id(1).to(tl.int64) * num_rows + rows, found, mask=rows < num_rows)


@triton.jit
def backward_left(
    left, right, out, partition, slope, num_rows, num_cols, part, dim, scale, num_vectors, correction, hit, name,
    width: tl.constexpr, block_rows: tl.constexpr, block_cols: tl.constexpr, precision: tl.constexpr,
):  # fmt: skip
    """Write the gradient of a tile of rows over a part of the columns."""
    row, first = tl.program_id(0) * block_rows, tl.program_id(1) * part
    u = _vectors(left, row, num_rows, dim, block_rows, width)
    total, factor = _of_rows(partition, slope, row, num_rows, block_rows)
    found = tl.zeros([block_rows, width], tl.float32)
    for col in range(first, tl.minimum(first + part, num_cols), block_cols):
        v = _vectors(right, col, num_cols, dim, block_cols, width)
        logits = _logits(u, v, row, col, num_rows, num_cols, scale, num_vectors, correction, hit, name, precision)
        share = tl.exp2(logits - total[:, None]).to(v.dtype)
        found = tl.dot(share, v, found, input_precision=precision)
    _store(out, found * factor[:, None], row, num_rows, dim)


@triton.jit
def backward_right(
    left, right, out, partition, slope, num_rows, num_cols, part, dim, scale, num_vectors, correction, hit, name,
    width: tl.constexpr, block_rows: tl.constexpr, block_cols: tl.constexpr, precision: tl.constexpr,
):  # fmt: skip
    """Write the gradient of a tile of columns over a part of the rows."""
    col, first = tl.program_id(0) * block_cols, tl.program_id(1) * part
    v = _vectors(right, col, num_cols, dim, block_cols, width)
    found = tl.zeros([block_cols, width], tl.float32)
    for row in range(first, tl.minimum(first + part, num_rows), block_rows):
        u = _vectors(left, row, num_rows, dim, block_rows, width)
        total, factor = _of_rows(partition, slope, row, num_rows, block_rows)
        logits = _logits(u, v, row, col, num_rows, num_cols, scale, num_vectors, correction, hit, name, precision)
        share = tl.trans(tl.exp2(logits - total[:, None])).to(u.dtype)
        found = tl.dot(share, (u * factor[:, None]).to(u.dtype), found, input_precision=precision)
    _store(out, found, col, num_cols, dim)


@triton.jit
def _logits(u, v, row, col, num_rows, num_cols, scale, num_vectors, correction, hit, name, precision: tl.constexpr):
    rows, cols = row + tl.arange(0, u.shape[0]), col + tl.arange(0, v.shape[0])
    logits = tl.dot(u, tl.trans(v), input_precision=precision) * scale
    if correction is not None:  # a tensor and its three strides
        start = (rows // num_vectors).to(tl.int64) * correction[1] + (rows % num_vectors) * correction[2]
        inside = (rows < num_rows)[:, None] & (cols < num_cols)[None, :]
        added = tl.load(correction[0] + start[:, None] + cols[None, :] * correction[3], mask=inside, other=0.0)
        logits += added.to(tl.float32) * _LOG2_E
    if hit is not None:
        left_out = tl.load(hit + rows // num_vectors, mask=rows < num_rows, other=-1)
        names = cols if name is None else tl.load(name + cols, mask=cols < num_cols, other=-2)
        logits = tl.where(names[None, :] == left_out[:, None], _NOTHING, logits)
    return tl.where((cols < num_cols)[None, :], logits, _NOTHING)


@triton.jit
def _of_rows(partition, slope, row, num_rows, size: tl.constexpr):
    rows = row + tl.arange(0, size)
    total = tl.load(partition + rows, mask=rows < num_rows, other=_NOTHING)
    total = tl.where(total == _NOTHING, _EVERYTHING, total)  # a share of what is not there is 0
    return total, tl.load(slope + rows, mask=rows < num_rows, other=0.0)


@triton.jit
def _vectors(x, first, num, dim, size: tl.constexpr, width: tl.constexpr):
    i, d = tl.arange(0, size), tl.arange(0, width)
    inside = (first + i < num)[:, None] & (d < dim)[None, :]
    return tl.load(x + (first + i).to(tl.int64)[:, None] * dim + d[None, :], mask=inside, other=0.0)


@triton.jit
def _store(out, found, first, num, dim):
    i, d = tl.arange(0, found.shape[0]), tl.arange(0, found.shape[1])
    start = (tl.program_id(1).to(tl.int64) * num + first) * dim
    inside = (first + i < num)[:, None] & (d < dim)[None, :]
    tl.store(out + start + i[:, None] * dim + d[None, :], found, mask=inside)
