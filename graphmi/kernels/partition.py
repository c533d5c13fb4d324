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
from torch import Tensor
from torch.autograd.function import once_differentiable

from graphmi.kernels import programs

__all__ = ["Tile", "partition_of_products", "tile"]

_BITS = math.log2(math.e)  # of a natural logarithm
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
        parts = problem.run(programs.forward, of_rows=True)  # binary logarithms
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
            grad_left = _added(problem.run(programs.backward_left, partition, slope, of_rows=True))
            grad_left = grad_left.view(left.shape).to(ctx.formats[0])
        if ctx.needs_input_grad[1]:
            grad_right = _added(problem.run(programs.backward_right, partition, slope, of_rows=False)).to(
                ctx.formats[1]
            )
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
