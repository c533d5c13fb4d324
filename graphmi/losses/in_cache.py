"""Products that are exponentiated and summed while they are in the cache of a core."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

from graphmi.losses.hits import Hits, leave_out, of_blocks
from graphmi.nn.autocast import add_product, widened
from graphmi.nn.powers import LOG2_E, exp2_

__all__ = ["NegativeVectors", "bounded", "partition_in_cache", "powers_", "rows_of_block"]

_BLOCK = 2**18  # products at a time on the CPU: the cache of a core
_PIECE = 28 * 2**20  # bytes at a time on the CPU: larger pieces of memory are new, page by page, in every step
_BITS = 64  # float32 has room for powers of 2 up to this, their reciprocals, and sums of billions of them


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


def partition_in_cache(left: Tensor, negatives: NegativeVectors, scale: float, kind: torch.dtype) -> Tensor:
    """Return the log-partition of products, ``[batch, num_vectors]``; on other devices than the CPU in one block.

    Args:
        left: ``[batch, num_vectors, dim]``.
        negatives: What it is multiplied with, and which products count.
        scale: Multiplies the products, positive.
        kind: Number format of the products.
    """
    right, correction, hits, valid = negatives
    out: Tensor = _Partition.apply(left, right, correction, scale, hits, valid, kind)  # type: ignore[no-untyped-call]
    return out


class _Partition(torch.autograd.Function):
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
