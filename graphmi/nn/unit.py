"""Vectors of length one."""

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx

__all__ = ["unit"]

_LEAST = 1e-12


def unit(x: Tensor) -> Tensor:
    """Return vectors ``[..., dim]`` at length one; 0 with gradient 0 where they are no longer than 1e-12.

    With :func:`torch.nn.functional.normalize` a vector of zeros has a gradient of 1e12 times what comes in. The
    gradient is that of the whole, in a third of the operations that its parts take.
    """
    if torch.compiler.is_compiling() or not (x.requires_grad and torch.is_grad_enabled()):
        return x / _length(x)
    out: Tensor = _Unit.apply(x)[0]  # type: ignore[no-untyped-call]
    return out


def _length(x: Tensor) -> Tensor:
    length: Tensor = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    return length.masked_fill(length <= _LEAST, torch.inf)


class _Unit(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor) -> tuple[Tensor, Tensor]:
        length = _length(x)
        return x / length, length

    @staticmethod
    def setup_context(ctx: FunctionCtx, inputs: tuple[Tensor], output: tuple[Tensor, Tensor]) -> None:
        ctx.save_for_backward(*inputs, *output)
        ctx.save_for_forward(*inputs, *output)
        ctx.mark_non_differentiable(output[1])

    @staticmethod
    def backward(ctx: FunctionCtx, grad: Tensor, _: Tensor) -> Tensor:
        saved: tuple[Tensor, Tensor, Tensor] = ctx.saved_tensors  # type: ignore[attr-defined]
        x, out, length = saved
        if torch.is_grad_enabled():  # the gradient is differentiated, too
            length = _length(x)
            out = x / length
            return (grad - out * (grad * out).sum(-1, keepdim=True)) / length
        along = (grad * out).sum(-1, keepdim=True)
        return torch.addcmul(grad, out, along, value=-1).div_(length)

    @staticmethod
    def jvp(ctx: FunctionCtx, change: Tensor) -> tuple[Tensor, None]:
        _, out, length = ctx.saved_tensors  # type: ignore[attr-defined]
        return (change - out * (change * out).sum(-1, keepdim=True)) / length, None
