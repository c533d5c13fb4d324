"""The two reductions over negatives that every objective is built from; safe where nothing is left."""

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

from graphmi.losses.hits import Hits, leave_out
from graphmi.nn.autocast import widened
from graphmi.nn.powers import LOG2_E, exp2_

__all__ = ["log_partition", "negative_weights"]


def log_partition(
    neg: Tensor,
    correction: Tensor | None = None,
    temperature: float = 1.0,
    hits: Hits | None = None,
) -> Tensor:
    r"""Return :math:`\log \sum_j \exp(x_j / \tau + c_j)` over the last dimension.

    It is ``-inf`` with gradient 0 where every correction is ``-inf``, and where there are no negatives. One buffer of
    the size of the scores serves forward and backward, which halves the time of ``logsumexp``: this is the hot path of
    a full softmax.

    Args:
        neg: Scores, ``[..., num_negatives]``, finite.
        correction: Added after the division, broadcast to the scores; ``None`` is zero.
        temperature: Divides the scores, positive.
        hits: Scores that do not count, as if their correction were ``-inf``. What is less than the least positive
            number beside a hit is lost with it.
    """
    if not neg.size(-1):
        return widened(neg).new_full(neg.shape[:-1], -torch.inf)
    out: Tensor = _LogPartition.apply(widened(neg), correction, 1.0 / temperature, hits)  # type: ignore[no-untyped-call]
    return out


def negative_weights(neg: Tensor, correction: Tensor | None) -> Tensor:
    """Read a correction as log-weights: return weights, broadcast to ``neg``, that sum to one over the negatives.

    ``-inf`` removes a negative; a row that keeps none has weight 0 throughout.
    """
    if correction is None or not neg.size(-1):
        return neg.new_full((1,), 1.0 / max(neg.size(-1), 1))
    correction = correction.expand_as(neg)
    largest = correction.detach().amax(-1, keepdim=True)
    weights = (correction - _finite(largest)).exp()
    total = weights.sum(-1, keepdim=True)
    return weights / total.where(total > 0, 1.0)


def _finite(largest: Tensor) -> Tensor:
    return largest.clamp_min(torch.finfo(largest.dtype).min)


class _LogPartition(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, neg: Tensor, correction: Tensor | None, scale: float, hits: Hits | None) -> Tensor:
        if correction is None:
            largest = neg.amax(-1, keepdim=True) * (scale * LOG2_E)
            # not above the exact product: the power of their difference would be 0 where scores are 1e9 and more
            largest = _finite(largest.nextafter(largest.new_full((), -torch.inf)))
            terms = torch.add(-largest, neg, alpha=scale * LOG2_E)
        else:
            terms = torch.add(correction * LOG2_E, neg, alpha=scale * LOG2_E)
            largest = _finite(terms.amax(-1, keepdim=True))
            terms.sub_(largest)
        leave_out(terms, hits)
        exp2_(terms)
        total = terms.sum(-1, keepdim=True)
        ctx.save_for_backward(terms, total)
        ctx.scale = scale  # type: ignore[attr-defined]
        ctx.correction_shape = None if correction is None else correction.shape  # type: ignore[attr-defined]
        return (total.log() + largest / LOG2_E).squeeze(-1)

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        terms, total = ctx.saved_tensors  # type: ignore[attr-defined]
        share = (grad.unsqueeze(-1) / total).where(total > torch.finfo(total.dtype).tiny, 0)  # 0 where nothing is left
        for_neg, for_correction, *_ = ctx.needs_input_grad  # type: ignore[attr-defined]
        grad_neg = terms * (share * ctx.scale) if for_neg else None  # type: ignore[attr-defined]
        grad_correction = (terms * share).sum_to_size(ctx.correction_shape) if for_correction else None  # type: ignore[attr-defined]
        return grad_neg, grad_correction, None, None
