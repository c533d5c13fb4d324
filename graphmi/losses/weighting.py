"""How much each negative counts: one additive correction for logQ and hard-negative weights.

One class owns both, so that nothing is corrected twice.
"""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from graphmi.losses.partition import log_partition
from graphmi.nn.shortcuts import Shortcuts
from graphmi.ranges import at_least

__all__ = ["HardNegativeWeighting", "UniformWeighting", "Weighting", "mask_invalid"]


class Weighting(Shortcuts, nn.Module, ABC):
    """Turns the proposal of the negatives into a correction of their scores.

    Attributes:
        one_by_one: True where the correction of a negative does not depend on the other negatives.
        log_q: False where proposal probabilities are not corrected.

    Shapes:
        - neg: ``[batch, num_negatives]``, or with dimensions between the two
        - log_q: broadcasts to ``neg``; ``None`` where the draw needs no correction
        - valid: broadcasts to ``neg``, False where a negative must not count; ``None`` where all count
        - pos_log_q: broadcasts to ``neg``, the log proposal probability of the positives
        - output: broadcasts to ``neg``; ``None`` for zero
    """

    shortcuts = (("forward", "one_by_one"),)
    one_by_one: bool = False
    log_q: bool = True

    @abstractmethod
    def forward(
        self,
        neg: Tensor,
        log_q: Tensor | None = None,
        valid: Tensor | None = None,
        pos_log_q: Tensor | None = None,
    ) -> Tensor | None:
        """Return what is added to the negative scores."""


def mask_invalid(correction: Tensor | None, valid: Tensor | None, like: Tensor) -> Tensor | None:
    """Set a correction (``None`` for zero) to ``-inf`` where ``valid`` is False."""
    if valid is None:
        return correction
    kept = like.new_zeros(()) if correction is None else correction
    return torch.where(valid, kept, like.new_full((), -torch.inf))


class UniformWeighting(Weighting):
    r"""Every negative counts as drawn, up to logQ: the correction is :math:`-\log q_j`.

    Where the proposal probability of the positive is given, the positive is corrected too: a softmax does not
    change when all logits shift, so :math:`\log q_+` is added to the negatives instead
    (`Bengio and Senecal, 2008 <https://doi.org/10.1109/TNN.2007.912312>`_).

    A pairwise loss reads the correction as weights with mean one: a single negative has weight one whatever it is, and
    the more are drawn, the more popular ones give way to rare ones. To learn from popular or in-batch negatives as they
    come, as GRU4Rec does, leave the correction out.

    Args:
        log_q: Whether proposal probabilities are corrected.

    Example:
        >>> import torch
        >>> scores, log_q = torch.zeros(1, 2), torch.tensor([0.5, 0.25]).log()
        >>> UniformWeighting()(scores, log_q)
        tensor([0.6931, 1.3863])
        >>> UniformWeighting(log_q=False)(scores, log_q)
    """

    one_by_one = True

    def __init__(self, log_q: bool = True) -> None:
        super().__init__()
        self.log_q = log_q

    def forward(
        self,
        neg: Tensor,
        log_q: Tensor | None = None,
        valid: Tensor | None = None,
        pos_log_q: Tensor | None = None,
    ) -> Tensor | None:
        """Return ``-log_q`` (and ``+pos_log_q``), ``-inf`` for invalid negatives; ``None`` for zero."""
        correction = -log_q if self.log_q and log_q is not None else None
        if self.log_q and pos_log_q is not None:
            correction = pos_log_q if correction is None else correction + pos_log_q
        return mask_invalid(correction, valid, neg)

    def extra_repr(self) -> str:
        """Show the arguments when printed."""
        return "" if self.log_q else "log_q=False"


class HardNegativeWeighting(Weighting):
    r"""Negatives weighted towards the hard ones, as if drawn in proportion to :math:`p(j)\,e^{\beta x_j}`.

    REMI's interest-aware hard negatives (`Xie et al., RecSys 2023 <https://arxiv.org/abs/2302.14532>`_) by importance
    sampling: the correction is :math:`\log w_j = \log\operatorname{softmax}_j(\beta x_j - \log q_j) + \log n` over the
    :math:`n` valid negatives. This is logQ and the hard-negative weight in one; the weights have mean one, so a
    ``pos_log_q`` has nothing to correct.

    Args:
        beta: How hard, at least 0; 0 leaves logQ alone. In units of the raw score, before any temperature.
        detach_importance: Let no gradient of the scores through the weights. As published they carry one, and at
            ``beta`` 1 it pulls easy negatives closer.

    Raises:
        ValueError: ``beta`` is negative.

    Example:
        >>> import torch
        >>> HardNegativeWeighting(beta=1.0)(torch.tensor([[0.0, 1.0]])).exp()  # weights with mean one
        tensor([[0.5379, 1.4621]])
    """

    def __init__(self, beta: float, detach_importance: bool = False) -> None:
        super().__init__()
        at_least(0, beta=beta)
        self.beta = beta
        self.detach_importance = detach_importance

    def forward(
        self,
        neg: Tensor,
        log_q: Tensor | None = None,
        valid: Tensor | None = None,
        pos_log_q: Tensor | None = None,
    ) -> Tensor:
        """Return the log-weights, of the shape of ``neg``, ``-inf`` for invalid negatives."""
        drawn = neg > -torch.inf if valid is None else valid & (neg > -torch.inf)
        logits = self.beta * (neg.detach() if self.detach_importance else neg)
        if log_q is not None:
            logits = logits - log_q
        logits = torch.where(drawn, logits, logits.new_full((), -torch.inf))
        mean = log_partition(logits).unsqueeze(-1) - drawn.sum(-1, keepdim=True).clamp_min(1).to(logits).log()
        return logits - mean.clamp_min(torch.finfo(mean.dtype).min)  # a row without negatives stays at -inf

    def extra_repr(self) -> str:
        """Show the arguments when printed."""
        return f"beta={self.beta}, detach_importance={self.detach_importance}"
