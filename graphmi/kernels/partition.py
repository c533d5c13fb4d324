r"""The log-partition of inner products, which are computed where they are needed and never written to memory.

.. math::
    z_i = \log \sum_j \exp(\langle u_i, v_j \rangle / \tau + c_{ij})

Forward, tiles of rows go over all columns with a running maximum and sum, as attention does in `FlashAttention
<https://arxiv.org/abs/2205.14135>`_ and the loss of language models in `Cut Cross-Entropy
<https://arxiv.org/abs/2411.09009>`_. Backward, two programs compute the products again, one for the gradient of the
rows and one for that of the columns, so that no two programs add to the same number and results do not depend on who
comes first. That is five products in place of three, for some ten passes over ``[num_rows, num_cols]`` numbers.

Where there are too few tiles for a device, what each goes over is divided into parts, whose results are added up.
Products of float32 are three of TF32 each, with an error like that of float32, or one where torch is allowed TF32.
"""

import math
from typing import Any, NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd.function import once_differentiable

__all__ = ["Tile", "partition_of_products", "tile"]

_BITS = math.log2(math.e)  # of a natural logarithm
_LOG2_E = tl.constexpr(_BITS)
_LEAST = tl.constexpr(-3.0e38)  # below all logits, and finite
_NOTHING = tl.constexpr(float("-inf"))
_EVERYTHING = tl.constexpr(float("inf"))
_STAGES = 2
_WAVES = 2  # programs for each multiprocessor, at least


class Tile(NamedTuple):
    """What a program holds at a time: products of so many rows and columns, by so many warps."""

    rows: int
    cols: int
    warps: int = 8


def tile(kind: torch.dtype, dim: int) -> Tile | None:
    """Return the tile for vectors of a format and size; ``None`` where none fits into the registers."""
    if kind == torch.bfloat16 and dim <= 256:
        return Tile(64 if dim <= 128 else 32, 64 if dim <= 64 else 32)
    if kind == torch.float32 and dim <= 64:
        return Tile(32, 32)
    return None


def partition_of_products(
    left: Tensor,
    right: Tensor,
    correction: Tensor | None,
    temperature: float,
    kind: torch.dtype,
    hit: Tensor | None = None,
    name: Tensor | None = None,
) -> Tensor:
    """Return the log-partitions, ``[batch, num_vectors]`` float32.

    Args:
        left: ``[batch, num_vectors, dim]``.
        right: ``[num_cols, dim]``.
        correction: Broadcast to ``[batch, num_vectors, num_cols]``, without gradient; ``None`` is zero.
        temperature: Divides the products, positive.
        kind: Format of what is multiplied, one that has a :func:`tile`.
        hit: Whose column does not count in each row of the batch, ``[batch]`` int64.
        name: Whose column each is, ``[num_cols]`` int64; ``None`` where it is that of its number.
    """
    out: Tensor = _PartitionOfProducts.apply(left, right, correction, temperature, kind, hit, name)
    return out


class _PartitionOfProducts(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        left: Tensor,
        right: Tensor,
        correction: Tensor | None,
        temperature: float,
        kind: torch.dtype,
        hit: Tensor | None,
        name: Tensor | None,
    ) -> Tensor:
        ctx.formats, ctx.temperature = (left.dtype, right.dtype), temperature
        left, right = left.to(kind).contiguous(), right.to(kind).contiguous()
        if correction is not None:
            correction = correction.expand(*left.shape[:2], len(right))
        problem = _Problem(left, right, correction, temperature, hit, name)
        parts = problem.run(_forward, of_rows=True)  # binary logarithms
        partition = parts[0] if len(parts) == 1 else (parts / _BITS).logsumexp(0) * _BITS
        ctx.save_for_backward(left, right, correction, hit, name, partition)
        return partition.view(left.shape[:2]) / _BITS

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        left, right, correction, hit, name, partition = ctx.saved_tensors
        problem = _Problem(left, right, correction, ctx.temperature, hit, name)
        slope = (grad.flatten() / ctx.temperature).float().where(partition > -math.inf, 0)  # 0 where nothing is left
        grad_left = grad_right = None
        if ctx.needs_input_grad[0]:
            grad_left = _added(problem.run(_backward_left, partition, slope, of_rows=True))
            grad_left = grad_left.view(left.shape).to(ctx.formats[0])
        if ctx.needs_input_grad[1]:
            grad_right = _added(problem.run(_backward_right, partition, slope, of_rows=False)).to(ctx.formats[1])
        return grad_left, grad_right, None, None, None, None, None


def _added(parts: Tensor) -> Tensor:
    return parts[0] if len(parts) == 1 else parts.sum(0)


class _Problem(NamedTuple):
    """What all programs read."""

    left: Tensor
    right: Tensor
    correction: Tensor | None
    temperature: float
    hit: Tensor | None
    name: Tensor | None

    def run(self, program: Any, *more: Tensor, of_rows: bool) -> Tensor:
        """Return what a program makes of all rows, or of all columns, ``[num_parts, size, ...]``, to be added up."""
        (num_vectors, dim), tiles = self.left.shape[1:], tile(self.left.dtype, self.left.size(-1))
        assert tiles is not None  # noqa: S101 (for the type checker)
        shape = self.left.shape[:2].numel(), len(self.right)
        (size, block), (length, step) = list(zip(shape, tiles[:2], strict=True))[:: 1 if of_rows else -1]
        blocks, steps = triton.cdiv(size, block), max(triton.cdiv(length, step), 1)
        part = triton.cdiv(steps, min(triton.cdiv(_places(self.left), max(blocks, 1)), steps)) * step
        num_parts = max(triton.cdiv(length, part), 1)
        out = self.left.new_empty(num_parts, size, *([dim] if more else []), dtype=torch.float32)
        correction = None if self.correction is None else (self.correction, *self.correction.stride())
        if size:
            with torch.cuda.device_of(self.left):
                program[blocks, num_parts](
                    self.left,
                    self.right,
                    out,
                    *(more or (None, None)),
                    *shape,
                    part,
                    dim,
                    _BITS / self.temperature,
                    num_vectors,
                    correction,
                    self.hit,
                    self.name,
                    width=max(triton.next_power_of_2(dim), 16),
                    block_rows=tiles.rows,
                    block_cols=tiles.cols,
                    precision="tf32x3" if torch.get_float32_matmul_precision() == "highest" else "tf32",
                    num_warps=tiles.warps,
                    num_stages=_STAGES,
                )
        return out


def _places(x: Tensor) -> int:
    """Return how many programs keep a device busy."""
    return _WAVES * (torch.cuda.get_device_properties(x.device).multi_processor_count if x.is_cuda else 2)


# All three programs take the arguments of ``_Problem.run``. Logits are binary: log2(e) times the natural ones.


@triton.jit
def _forward(
    left, right, out, partition, slope, num_rows, num_cols, part, dim, scale, num_vectors, correction, hit, name,
    width: tl.constexpr, block_rows: tl.constexpr, block_cols: tl.constexpr, precision: tl.constexpr,
):  # fmt: skip
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
def _backward_left(
    left, right, out, partition, slope, num_rows, num_cols, part, dim, scale, num_vectors, correction, hit, name,
    width: tl.constexpr, block_rows: tl.constexpr, block_cols: tl.constexpr, precision: tl.constexpr,
):  # fmt: skip
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
def _backward_right(
    left, right, out, partition, slope, num_rows, num_cols, part, dim, scale, num_vectors, correction, hit, name,
    width: tl.constexpr, block_rows: tl.constexpr, block_cols: tl.constexpr, precision: tl.constexpr,
):  # fmt: skip
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
