"""Two linear layers with a tanh between them, while it is in the cache."""

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

from graphmi.nn.autocast import add_product, autocast_dtype, widened

__all__ = ["tanh_layers"]

_BLOCK = 2**18  # hidden numbers at a time on the CPU: the cache of a core
_FILL = 256  # sizes are multiples of this in half precision


def tanh_layers(x: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """Return ``second tanh(first x)``, ``[..., out]``.

    On the CPU the layers go over blocks of rows, forth and back, a twentieth of a training step less: what is between
    them is read where it was written, and products are laid out as they are fastest.

    Args:
        x: ``[..., dim]``; on the CPU, where torch does not compile it, ``[num, dim]``.
        first: ``[hidden, dim]``.
        second: ``[out, hidden]``.
    """
    kind = autocast_dtype(x)
    mixed = kind is None and not x.dtype == first.dtype == second.dtype
    if x.device.type != "cpu" or mixed or torch.compiler.is_compiling():
        return F.linear(F.linear(x, first).tanh_(), second)
    # A CPU compiles products of half precision for each new size: sizes that recur are worth some more rows.
    rows = x if kind is None else F.pad(x, (0, 0, 0, -len(x) % _FILL))
    out: Tensor = _TanhLayers.apply(rows, first, second, kind or x.dtype)  # type: ignore[no-untyped-call]
    return out[: len(x)]


class _TanhLayers(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, first: Tensor, second: Tensor, kind: torch.dtype) -> Tensor:
        ctx.kinds = x.dtype, first.dtype, second.dtype  # type: ignore[attr-defined]
        columns = (2 * first.T).to(kind).contiguous()
        x, first, second = x.to(kind), first.to(kind), second.to(kind)
        hidden, out, size = x.new_empty(len(x), len(first)), x.new_empty(len(second), len(x)), _size(first)
        parts = torch.split(x, size), torch.split(hidden, size), torch.split(out, size, 1)
        for rows, between, logits in zip(*parts, strict=True):
            # tanh(x) = 2 sigmoid(2x) - 1: less than half of the time on an AMD EPYC, but twice on an Intel Xeon
            exact = widened(torch.mm(rows, columns, out=between)).sigmoid_().mul_(2).sub_(1)
            if exact is not between:
                between.copy_(exact)
            torch.mm(second, between.T, out=logits)
        ctx.save_for_backward(x, first, second, hidden)
        return out.T

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        x, first, second, hidden = ctx.saved_tensors  # type: ignore[attr-defined]
        of_x, size, grad = torch.empty_like(x), _size(first), grad.to(hidden)
        of_first, of_second = (
            torch.zeros(each.shape, dtype=torch.promote_types(x.dtype, torch.float32)) for each in (first.T, second)
        )
        buffer = hidden.new_empty(min(size, len(x)), len(first))
        for rows, between, part, out in zip(
            *(torch.split(each, size) for each in (x, hidden, grad, of_x)), strict=True
        ):
            add_product(of_second, part.T, between)
            slope = torch.mm(part, second, out=buffer[: len(rows)])
            torch.ops.aten.tanh_backward.grad_input(slope, between, grad_input=slope)
            add_product(of_first, rows.T, slope)
            torch.mm(slope, first, out=out)
        kinds = ctx.kinds  # type: ignore[attr-defined]
        return of_x.to(kinds[0]), of_first.T.to(kinds[1]), of_second.to(kinds[2]), None


def _size(first: Tensor) -> int:
    return max(_BLOCK // max(len(first), 1), 1)
