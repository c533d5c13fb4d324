"""The log-partition of inner products, without the products themselves."""

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

from graphmi.losses.partition import exp_, log_partition

__all__ = ["partition_of_products"]

_BLOCK = 2**18  # products at a time on the CPU: the cache of a core


def partition_of_products(
    left: Tensor,
    right: Tensor,
    correction: Tensor | None = None,
    temperature: float = 1.0,
    hits: tuple[Tensor, Tensor] | None = None,
) -> Tensor:
    r"""Return :math:`\log \sum_j \exp(\langle u_{ik}, v_j \rangle / \tau + c_{ikj})`, ``[batch, num_vectors]``.

    The same as :func:`~graphmi.losses.partition.log_partition` of ``left @ right.T``, in two thirds of its time: what
    is exponentiated is the one buffer of the size ``[batch, num_vectors, num_negatives]``, it is written while it is in
    the cache, and the gradient is brought to scale where it has become that of the vectors.

    Args:
        left: ``[batch, num_vectors, dim]``.
        right: ``[num_negatives, dim]``.
        correction: Broadcast to ``[batch, num_vectors, num_negatives]``, without gradient; ``None`` is zero.
        temperature: Divides the products, positive.
        hits: Rows of the batch, in ascending order, and columns of products that do not count.
    """
    if torch.is_autocast_enabled(left.device.type) or left.dtype != right.dtype or torch.compiler.is_compiling():
        return log_partition(left @ right.T, correction, temperature, hits)
    out: Tensor = _PartitionOfProducts.apply(left, right, correction, 1.0 / temperature, hits)  # type: ignore[no-untyped-call]
    return out


class _PartitionOfProducts(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: FunctionCtx,
        left: Tensor,
        right: Tensor,
        correction: Tensor | None,
        scale: float,
        hits: tuple[Tensor, Tensor] | None,
    ) -> Tensor:
        num_vectors = left.size(1)
        terms = left.new_empty(len(left), num_vectors, len(right))
        total, largest = left.new_empty(len(left), num_vectors, 1), left.new_empty(len(left), num_vectors, 1)
        size = max(_BLOCK // max(num_vectors * len(right), 1), 1) if left.device.type == "cpu" else len(left)
        blocks = [torch.split(part, size) for part in (left * scale, terms, total, largest)]
        added = (
            [None] * len(blocks[0]) if correction is None else torch.split(correction.to(terms).expand_as(terms), size)
        )
        columns = right.T.contiguous()  # a faster product
        for rows, out, sums, most, plus, few in zip(*blocks, added, _of_blocks(hits, size, len(added)), strict=True):
            torch.mm(rows.flatten(0, 1), columns, out=out.view(-1, len(right)))
            if plus is not None:
                out.add_(plus)
            if few is not None:
                out[few[0], :, few[1]] = -torch.inf
            torch.amax(out, -1, keepdim=True, out=most)
            most.clamp_min_(torch.finfo(out.dtype).min)  # finite where nothing is left
            torch.sum(exp_(out.sub_(most)), -1, keepdim=True, out=sums)
        ctx.save_for_backward(left, right, terms, total)
        ctx.scale = scale  # type: ignore[attr-defined]
        return (total.log() + largest).squeeze(-1)

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, grad: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        left, right, terms, total = ctx.saved_tensors  # type: ignore[attr-defined]
        share = (ctx.scale * grad.unsqueeze(-1) / total).where(total > 0, 0)  # type: ignore[attr-defined]
        terms = terms.view(-1, len(right))
        grad_left = (terms @ right).view_as(left) * share
        return grad_left, ((left * share).flatten(0, 1).T @ terms).T, None, None, None


def _of_blocks(
    hits: tuple[Tensor, Tensor] | None, size: int, num_blocks: int
) -> Iterable[tuple[Tensor, Tensor] | None]:
    """Return the hits of each block of ``size`` rows, rows counted from its first."""
    if hits is None or num_blocks == 1:
        return [hits] * num_blocks
    row, column = hits
    number = torch.bincount(row // size, minlength=num_blocks).tolist()  # blocks are a matter of the CPU
    return zip(torch.split(row % size, number), torch.split(column, number), strict=True)
