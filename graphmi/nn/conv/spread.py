"""Sources divided among interests."""

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx

__all__ = ["spread"]

_ROWS = 512  # at a time on the CPU, so that what is made of them stays in the cache of a core


def spread(share: Tensor, source: Tensor) -> Tensor:
    """Return each source times its share of each interest, ``[num_interests, num_src, dim]``.

    On the CPU the gradient is made of some rows at a time. The same sums over whole products, each as large as the
    result, take twice as long and more.

    Args:
        share: ``[num_src, num_interests]``.
        source: ``[num_src, dim]``.
    """
    if share.device.type != "cpu" or share.dtype != source.dtype or torch.compiler.is_compiling():
        return _by_interest(share) * source
    out: Tensor = _Spread.apply(share, source)  # type: ignore[no-untyped-call]
    return out


class _Spread(torch.autograd.Function):
    @staticmethod
    def vmap(_: object, in_dims: tuple[int | None, int | None], share: Tensor, source: Tensor) -> tuple[Tensor, int]:
        share, source = (
            each if dim is None else each.movedim(dim, 0) for dim, each in zip(in_dims, (share, source), strict=True)
        )
        return share.transpose(-1, -2).unsqueeze(-1) * source.unsqueeze(-3), 0

    @staticmethod
    def forward(share: Tensor, source: Tensor) -> Tensor:
        return _by_interest(share) * source

    @staticmethod
    def setup_context(ctx: FunctionCtx, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)
        ctx.save_for_forward(*inputs)

    @staticmethod
    def backward(ctx: FunctionCtx, grad: Tensor) -> tuple[Tensor, Tensor]:
        share, source = ctx.saved_tensors  # type: ignore[attr-defined]
        by_interest = _by_interest(share)
        if torch.is_grad_enabled():  # the gradient is differentiated, too
            return (grad * source).sum(-1).t(), (grad * by_interest).sum(0)
        of_share, of_source = torch.empty_like(by_interest), torch.empty_like(source)
        columns = (torch.split(each, _ROWS, 1) for each in (grad, by_interest, of_share))
        rows = (torch.split(each, _ROWS) for each in (source, of_source))
        buffer = grad.new_empty(len(grad), min(_ROWS, len(source)), source.size(-1))
        for slope, shares, out, vectors, total in zip(*columns, *rows, strict=True):
            products = buffer[:, : len(vectors)]
            torch.sum(torch.mul(slope, vectors, out=products), -1, keepdim=True, out=out)
            torch.sum(torch.mul(slope, shares, out=products), 0, out=total)
        return of_share.squeeze(-1).t(), of_source

    @staticmethod
    def jvp(ctx: FunctionCtx, of_share: Tensor, of_source: Tensor) -> Tensor:
        saved: tuple[Tensor, Tensor] = ctx.saved_tensors  # type: ignore[attr-defined]
        share, source = saved
        return _by_interest(of_share) * source + _by_interest(share) * of_source


def _by_interest(share: Tensor) -> Tensor:
    return share.t().unsqueeze(-1)  # [num_interests, num_src, 1]
