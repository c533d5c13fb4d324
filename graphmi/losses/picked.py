"""Products with single items, picked out of products with all of them."""

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

from graphmi.nn.autocast import autocast_dtype

__all__ = ["picked_products"]

_SCORES = 2**19  # scores at once, 2 MB, which stay in the cache


def picked_products(query: Tensor, items: Tensor, item: Tensor) -> Tensor:
    """Return the inner products of each row with items of its own, ``[batch, num_negatives]``.

    In full precision on the CPU, many rows have their products with all items a few rows at a time, forth and back.

    Args:
        query: ``[batch, dim]``.
        items: Vectors of all items, ``[num_items, dim]``.
        item: Item ids, ``[batch, num_negatives]``.
    """
    plain = torch.compiler.is_compiling() or query.device.type != "cpu" or autocast_dtype(query) is not None
    if plain or query.dtype.itemsize < 4 or len(query) * len(items) <= _SCORES:
        return (query @ items.t()).gather(1, item)
    found: Tensor = _PickedProducts.apply(query, items, item)  # type: ignore[no-untyped-call]
    return found


class _PickedProducts(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, query: Tensor, items: Tensor, item: Tensor) -> Tensor:
        ctx.save_for_backward(query, items, item)
        found = query.new_empty(item.shape)
        size = max(1, _SCORES // len(items))
        scores = query.new_empty(min(size, len(query)), len(items))
        for part, index, out in zip(*(torch.split(x, size) for x in (query, item, found)), strict=True):
            torch.mm(part, items.t(), out=scores[: len(part)])
            torch.gather(scores[: len(part)], 1, index, out=out)
        return found

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        query, items, item = ctx.saved_tensors  # type: ignore[attr-defined]
        grad_query, grad_items = torch.empty_like(query), torch.zeros_like(items)
        size = max(1, _SCORES // len(items))
        scores = query.new_empty(min(size, len(query)), len(items))
        parts = zip(*(torch.split(x, size) for x in (query, item, grad, grad_query)), strict=True)
        for part, index, of_scores, out in parts:
            some = scores[: len(part)].zero_().scatter_add_(1, index, of_scores)
            torch.mm(some, items, out=out)
            if ctx.needs_input_grad[1]:  # type: ignore[attr-defined]
                grad_items.addmm_(some.t(), part)
        return grad_query, grad_items, None
