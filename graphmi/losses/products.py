"""The log-partition of inner products, without the products themselves."""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

from graphmi.kernels import use_triton
from graphmi.losses.hits import Hits, Matches, Places, leave_out
from graphmi.losses.partition import log_partition
from graphmi.losses.weighting import mask_invalid
from graphmi.nn.autocast import add_product, autocast_dtype, widened
from graphmi.nn.powers import LOG2_E, exp2_

__all__ = [
    "NegativeVectors",
    "bounded",
    "of_blocks",
    "over_vectors",
    "partition_of_products",
    "powers_",
    "rows_of_block",
    "without_invalid",
]

_BLOCK = 2**18  # products at a time on the CPU: the cache of a core
_PIECE = 28 * 2**20  # bytes at a time on the CPU: larger pieces of memory are new, page by page, in every step
_BITS = 64  # float32 has room for powers of 2 up to this, their reciprocals, and sums of billions of them
_FILL = 64  # sizes are multiples of this


class NegativeVectors(NamedTuple):
    """What vectors are multiplied with, and which of the products count.

    Attributes:
        vectors: ``[num_negatives, dim]``.
        correction: Broadcast to ``[batch, num_vectors, num_negatives]``, without gradient; ``None`` is zero.
        hits: Products that do not count.
        valid: ``[batch, num_negatives]``, False where the products of a row do not count; ``None``: all do.
    """

    vectors: Tensor
    correction: Tensor | None = None
    hits: Hits | None = None
    valid: Tensor | None = None


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
    size = len(left)
    if kind is not None and left.device.type == "cpu" and not isinstance(hits, Matches):
        left, right, correction, valid = _in_sizes_that_recur(left, right, correction, valid)
    kind = kind or left.dtype
    out: Tensor = _PartitionOfProducts.apply(left, right, correction, 1.0 / temperature, hits, valid, kind)  # type: ignore[no-untyped-call]
    return out[:size]


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
        valid = F.pad(valid, (0, columns, 0, rows), value=True)
    return F.pad(left, (0, 0, 0, 0, 0, rows)), F.pad(right, (0, 0, 0, columns)), correction, valid


class _PartitionOfProducts(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: FunctionCtx,
        left: Tensor,
        right: Tensor,
        correction: Tensor | None,
        scale: float,
        hits: Hits | None,
        valid: Tensor | None,
        kind: torch.dtype,
    ) -> Tensor:
        ctx.scale = scale  # type: ignore[attr-defined]
        left, right = widened(left), right.to(kind)
        num_vectors = left.size(1)
        total, largest = left.new_zeros(2, len(left), num_vectors, 1).unbind()
        small = kind != torch.float16 and bounded(left, right, correction, scale)
        size, kept = _sizes(num_vectors * len(right), kind) if left.device.type == "cpu" else (len(left), len(left))
        terms = [left.new_empty(len(part), num_vectors, len(right), dtype=kind) for part in torch.split(left, kept)]
        outs = [out for part in terms for out in torch.split(part, size)]
        blocks = [torch.split(part, size) for part in ((left * (scale * LOG2_E)).to(kind), total, largest)]
        added: Sequence[Tensor | None] = [None] * len(outs)
        counting = added
        if correction is not None:
            added = torch.split(correction.to(left).expand(*left.shape[:2], len(right)), size)
        if valid is not None:
            counting = torch.split(valid, size)
        places = of_blocks(hits, size, len(outs))
        columns = right.T.contiguous()  # a faster product
        for rows, sums, most, out, plus, few, which in zip(*blocks, outs, added, places, counting, strict=True):
            torch.mm(rows.flatten(0, 1), columns, out=out.view(-1, len(right)))
            exact = widened(out)  # itself, but for half precision
            if plus is not None:
                exact.add_(plus, alpha=LOG2_E)
            leave_out(exact, few)
            powers_(exact, sums, most, small, which)
            if exact is not out:
                out.copy_(exact)
        ctx.save_for_backward(left, right, total, *terms)
        return (total.log() + largest / LOG2_E).squeeze(-1)

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, grad: Tensor) -> tuple[Tensor, Tensor | None, None, None, None, None, None]:
        left, right, total, *parts = ctx.saved_tensors  # type: ignore[attr-defined]
        share = (ctx.scale * grad.unsqueeze(-1) / total).where(total > 0, 0)  # type: ignore[attr-defined]
        terms = [part.view(-1, len(right)) for part in parts]
        grad_left = torch.cat([part @ right for part in terms]).view_as(left) * share
        if not ctx.needs_input_grad[1]:  # type: ignore[attr-defined]
            return grad_left, None, None, None, None, None, None
        grad_right = left.new_zeros(right.T.shape)
        shares = (left * share).to(right).flatten(0, 1).split([len(part) for part in terms])
        for rows, part in zip(shares, terms, strict=True):
            add_product(grad_right, rows.T, part)
        return grad_left, grad_right.T, None, None, None, None, None


def bounded(left: Tensor, right: Tensor, correction: Tensor | None, scale: float) -> bool:
    """Return whether all exponents are known to be small, so that the largest need not be looked for.

    An accelerator would have to be waited for, and to look at a correction of every product takes longer.
    """
    if left.device.type != "cpu" or not (left.numel() and right.numel()):
        return False
    most: Tensor = scale * left.norm(dim=-1).amax() * right.norm(dim=-1).amax()
    if correction is not None:
        if correction.numel() > left.numel() + right.numel():
            return False
        most = most + correction.masked_fill(correction == -math.inf, 0.0).abs().amax()  # of -inf comes a plain 0
    return bool(most * LOG2_E < _BITS)


def powers_(exponents: Tensor, total: Tensor, largest: Tensor, small: bool, valid: Tensor | None = None) -> None:
    """Turn exponents less their largest, which small ones need not be, into powers of 2 in place.

    Args:
        exponents: ``[rows, num_vectors, num_negatives]``; of ``-inf`` comes 0.
        total: Where the sums of the powers go, ``[rows, num_vectors, 1]``, or those of all vectors, ``[rows, 1, 1]``.
        largest: Where the largest exponents go, as the sums, finite where there is none; small ones leave it as it is.
        small: What :func:`bounded` says.
        valid: ``[rows, num_negatives]``, False where a power is 0; ``None``: all count.
    """
    if valid is not None and not small:
        exponents.masked_fill_(~valid.unsqueeze(1), -math.inf)
    every = exponents.view(len(total), total.size(1), exponents.size(1) // total.size(1) * exponents.size(2))
    if not small:
        torch.amax(every, -1, keepdim=True, out=largest)
        largest.clamp_min_(torch.finfo(largest.dtype).min)  # finite where nothing is left
        exp2_(every.sub_(largest))
    else:
        exponents.exp2_()
        if valid is not None:  # conversions of bool take many times as long
            exponents.mul_(valid.view(torch.uint8).to(exponents).unsqueeze(1))
    torch.sum(every, -1, keepdim=True, out=total)


def rows_of_block(width: int) -> int:
    """Return how many rows of so many products make a block that stays in the cache."""
    return max(_BLOCK // max(width, 1), 1)


def _sizes(width: int, kind: torch.dtype) -> tuple[int, int]:
    """Return how many rows of so many products make a block, and how many, whole blocks, a piece of memory."""
    size = rows_of_block(width)
    return size, size * max(_PIECE // (kind.itemsize * size * max(width, 1)), 1)


def of_blocks(hits: Hits | None, size: int, num_blocks: int) -> Iterable[Hits | None]:
    """Return the hits of each block of ``size`` rows, rows counted from its first."""
    if hits is None or num_blocks == 1:
        return [hits] * num_blocks
    if isinstance(hits, Matches):
        return [Matches(part, hits.item) for part in torch.split(hits.positive, size)]
    number = torch.bincount(hits.row // size, minlength=num_blocks).tolist()  # blocks are a matter of the CPU
    return map(Places, torch.split(hits.row % size, number), torch.split(hits.column, number))
