"""The cross entropy of inner products, without the products themselves: loss and gradients in one pass."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

from graphmi.kernels import use_triton
from graphmi.losses.hits import Hits, leave_out, of_blocks
from graphmi.losses.in_cache import bounded, powers_, rows_of_block
from graphmi.losses.products import over_vectors, partition_of_products
from graphmi.nn.autocast import autocast_dtype
from graphmi.nn.powers import LOG2_E

__all__ = ["cross_entropy_of_products"]

_FEW = 64  # vectors: products of fewer take longer


def cross_entropy_of_products(
    left: Tensor,
    right: Tensor,
    pos: Tensor,
    correction: Tensor | None = None,
    temperature: float = 1.0,
    hits: Hits | None = None,
    valid: Tensor | None = None,
) -> Tensor:
    r"""Return the cross entropy of a positive among itself and all products of its row, ``[batch]``.

    .. math:: \log\Big(e^{x_+ / \tau} + \sum_{kj} e^{\langle u_k, v_j \rangle / \tau + c_{kj}}\Big) - x_+ / \tau

    The same as by :func:`~graphmi.losses.products.partition_of_products`, for products in full precision on a CPU in
    less time and without keeping any: gradients are computed with the loss, while a block of products is in the cache.
    Where the gradient of every row is the same, as under a mean, the gradients kept are multiplied by it; otherwise
    loss and gradients are computed a second time, and it would have been faster to take the other function.

    Args:
        left: ``[batch, num_vectors, dim]``.
        right: ``[num_negatives, dim]``.
        pos: Scores of the positives :math:`x_+`, ``[batch]``.
        correction: Broadcast to ``[batch, num_vectors, num_negatives]``, without gradient; ``None`` is zero.
        temperature: Divides all scores, positive.
        hits: Products that do not count.
        valid: ``[batch, num_negatives]``, False where the products of a row do not count; ``None``: all do.
    """
    learns = torch.is_grad_enabled() and any(each.requires_grad for each in (left, right, pos))
    full = left.dtype in (torch.float32, torch.float64) and left.dtype == right.dtype == pos.dtype
    blocks = left.device.type == "cpu" and not (use_triton(left) or torch.compiler.is_compiling())
    if not (learns and full and blocks and autocast_dtype(left) is None):
        partition = partition_of_products(left, right, correction, temperature, hits, valid)
        return F.softplus(over_vectors(partition) - pos / temperature)
    out: Tensor = _CrossEntropyOfProducts.apply(left, right, pos, _Rest(correction, 1.0 / temperature, hits, valid))  # type: ignore[no-untyped-call]
    return out


class _Rest(NamedTuple):
    correction: Tensor | None
    scale: float
    hits: Hits | None
    valid: Tensor | None


class _CrossEntropyOfProducts(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, left: Tensor, right: Tensor, pos: Tensor, rest: _Rest) -> Tensor:
        learns = ctx.needs_input_grad[1]  # type: ignore[attr-defined]
        loss, *gradients = _with_gradients(left, right, pos, torch.ones_like(pos), rest, learns)
        ctx.save_for_backward(left, right, pos, *gradients)
        ctx.rest = rest  # type: ignore[attr-defined]
        return loss

    @staticmethod
    def backward(ctx: FunctionCtx, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        left, right, pos, *gradients = ctx.saved_tensors  # type: ignore[attr-defined]
        with torch.no_grad():
            factor = grad[:1].sum()  # 0 of no rows
            if not bool((grad == factor).all()):
                learns = ctx.needs_input_grad[1]  # type: ignore[attr-defined]
                _, *gradients = _with_gradients(left, right, pos, grad, ctx.rest, learns)  # type: ignore[attr-defined]
                factor = torch.ones_like(factor)
            found = [factor * each for each in gradients]
        if torch.is_grad_enabled():
            found = [_Once.apply(each, left, right, pos) for each in found]  # type: ignore[no-untyped-call]
        of_left, of_right, of_pos = found
        return of_left, of_right, of_pos, None


class _Once(torch.autograd.Function):
    """A gradient that does not know what it was computed of, and says so where it is differentiated."""

    @staticmethod
    def forward(ctx: FunctionCtx, gradient: Tensor, *inputs: Tensor) -> Tensor:
        return gradient

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, grad: Tensor) -> tuple[None, ...]:
        raise RuntimeError("the cross entropy of products can be differentiated once only")


def _with_gradients(
    left: Tensor, right: Tensor, pos: Tensor, grad: Tensor, rest: _Rest, learns: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the loss and, for gradients of its rows, the gradients of left, of right where it learns, and of pos."""
    (batch, num_vectors, dim), width = left.shape, len(right)
    correction, scale, hits, valid = rest
    exponents, columns = left * (scale * LOG2_E), right.T.contiguous()  # a faster product
    added: Tensor | None = None
    if correction is not None and correction.shape[-1:].numel() == correction.numel() == width:
        exponents = F.pad(exponents, (0, 1), value=1.0)  # a dimension more, and there is nothing to add
        columns = torch.cat([columns, correction.to(left).view(1, width) * LOG2_E])
    elif correction is not None:
        added = correction.to(left).expand(batch, num_vectors, width)
    small = bounded(left, right, correction, scale)
    size = max(rows_of_block(num_vectors * width), -(-_FEW // num_vectors))
    total, largest = left.new_zeros(2, batch, 1, 1).unbind()
    slope, own = (scale * grad).view(-1, 1, 1), (scale * LOG2_E * pos).view(-1, 1, 1)
    if small:
        # of a row with nothing left it is all that the slope is divided by: the vectors times the quotient must be
        # finite, and the number far below the least sum of something, 2 ** -64
        own = own.exp2_().clamp_min_(torch.finfo(left.dtype).tiny ** 0.75)
    share, of_left = torch.empty_like(slope), left.new_empty(left.shape)
    of_right = left.new_zeros(dim, width) if learns else left.new_empty(0, 0)
    # every operation between the products has to find its code again in memory, so there are few
    rows = [torch.split(each, size) for each in (exponents, left, total, largest, slope, own, share, of_left)]
    nothing = [None] * len(rows[0])
    plus, counting = (nothing if each is None else torch.split(each, size) for each in (added, valid))
    terms = left.new_empty(min(size, batch), num_vectors, width)
    for x, vectors, sums, most, slopes, owns, shares, out, more, which, places in zip(
        *rows, plus, counting, of_blocks(hits, size, len(nothing)), strict=True
    ):
        if len(x) < len(terms):
            terms = terms[: len(x)]
        flat = terms.view(-1, width)
        torch.mm(x.flatten(0, 1), columns, out=flat)
        if more is not None:
            terms.add_(more, alpha=LOG2_E)
        leave_out(terms, places)
        powers_(terms, sums, most, small, which)
        if not small:
            owns = (owns - most).exp2_()
        torch.div(slopes, owns + sums, out=shares)
        if learns:
            of_right.addmm_((vectors * shares).flatten(0, 1).T, flat)
        torch.mm(flat, right, out=out.view(-1, dim))
    loss = F.softplus((total.log() + largest / LOG2_E).flatten() - scale * pos)
    return loss, of_left.mul_(share), of_right.T, -(share * total).flatten()
