"""How much each negative counts: one additive correction for logQ and hard-negative weights.

One class owns both, so that nothing is corrected twice.
"""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

__all__ = ["UniformWeighting", "Weighting", "mask_invalid"]


class Weighting(nn.Module, ABC):
    """Turns the proposal of the negatives into a correction of their scores.

    Shapes:
        - neg: ``[batch, num_negatives]``, or with dimensions between the two
        - log_q: broadcasts to ``neg``; ``None`` where the draw needs no correction
        - valid: broadcasts to ``neg``, False where a negative must not count; ``None`` where all count
        - pos_log_q: broadcasts to ``neg``, the log proposal probability of the positives
        - output: broadcasts to ``neg``; ``None`` for zero
    """

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
    """

    def forward(
        self,
        neg: Tensor,
        log_q: Tensor | None = None,
        valid: Tensor | None = None,
        pos_log_q: Tensor | None = None,
    ) -> Tensor | None:
        """Return ``-log_q`` (and ``+pos_log_q``), ``-inf`` for invalid negatives; ``None`` for zero."""
        correction = None if log_q is None else -log_q
        if pos_log_q is not None:
            correction = pos_log_q if correction is None else correction + pos_log_q
        return mask_invalid(correction, valid, neg)
