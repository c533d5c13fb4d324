"""Two linear layers with a tanh between them, while it is in the cache."""

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

__all__ = ["tanh_layers"]

_BLOCK = 2**18  # hidden numbers at a time on the CPU: the cache of a core


def tanh_layers(x: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """Return ``second tanh(first x)``, ``[num, out]``.

    On the CPU the layers go over blocks of rows, forth and back, a twentieth of a training step less: what is between
    them is read where it was written, and products are laid out as they are fastest.

    Args:
        x: ``[num, dim]``.
        first: ``[hidden, dim]``.
        second: ``[out, hidden]``.
    """
    mixed = torch.is_autocast_enabled(x.device.type) or not x.dtype == first.dtype == second.dtype
    if x.device.type != "cpu" or mixed or torch.compiler.is_compiling():
        return F.linear(F.linear(x, first).tanh_(), second)
    out: Tensor = _TanhLayers.apply(x, first, second)  # type: ignore[no-untyped-call]
    return out


class _TanhLayers(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, first: Tensor, second: Tensor) -> Tensor:
        hidden, out = x.new_empty(len(x), len(first)), x.new_empty(len(second), len(x))
        columns, size = (2 * first.T).contiguous(), _size(first)
        parts = torch.split(x, size), torch.split(hidden, size), torch.split(out, size, 1)
        for rows, between, logits in zip(*parts, strict=True):
            # tanh(x) = 2 sigmoid(2x) - 1, which takes less than half of the time
            torch.mm(rows, columns, out=between).sigmoid_().mul_(2).sub_(1)
            torch.mm(second, between.T, out=logits)
        ctx.save_for_backward(x, first, second, hidden)
        return out.T

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x, first, second, hidden = ctx.saved_tensors  # type: ignore[attr-defined]
        of_x, of_first, of_second = torch.empty_like(x), first.new_zeros(first.T.shape), torch.zeros_like(second)
        size = _size(first)
        buffer = hidden.new_empty(min(size, len(x)), len(first))
        for rows, between, part, out in zip(
            *(torch.split(each, size) for each in (x, hidden, grad, of_x)), strict=True
        ):
            of_second.addmm_(part.T, between)
            slope = torch.mm(part, second, out=buffer[: len(rows)])
            torch.ops.aten.tanh_backward.grad_input(slope, between, grad_input=slope)
            of_first.addmm_(rows.T, slope)
            torch.mm(slope, first, out=out)
        return of_x, of_first.T, of_second


def _size(first: Tensor) -> int:
    return max(_BLOCK // max(len(first), 1), 1)
