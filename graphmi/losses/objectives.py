r"""What a positive and its negatives must look like: one loss per user, from scores alone.

Every objective takes the positive scores ``[...]``, the negative scores ``[..., num_negatives]`` and the weighting's
correction (broadcast to the negatives, ``None`` for zero), and returns a loss ``[...]``.

The softmax adds the correction to the scores. The pairwise and pointwise objectives, which see one negative at a
time, read it as log-weights that are normalised to a mean over the negatives: ``-inf`` removes a negative, and
:math:`\log w_j` lets negative :math:`j` count :math:`w_j` times. A row without any negative has a finite loss.
"""

from abc import ABC, abstractmethod

import torch.nn.functional as F
from torch import Tensor, nn

from graphmi.losses.partition import log_partition, negative_weights

__all__ = ["BPRLoss", "Objective", "SampledSoftmaxLoss"]


class Objective(nn.Module, ABC):
    """A loss per user from the scores of its positive and negatives."""

    @abstractmethod
    def forward(self, pos: Tensor, neg: Tensor, correction: Tensor | None = None) -> Tensor:
        """Return the loss of each row, ``[...]``.

        Args:
            pos: ``[...]``.
            neg: ``[..., num_negatives]``.
            correction: Added to the negative scores, or read as log-weights; broadcast to ``neg``.
        """


class BPRLoss(Objective):
    r"""Bayesian personalised ranking: :math:`\sum_j w_j \log(1 + e^{x_j - x_+})`, with weights that sum to one.

    `Rendle et al., UAI 2009 <https://arxiv.org/abs/1205.2618>`_. Without a correction this is the mean over the
    negatives.

    Example:
        >>> BPRLoss()(torch.tensor([2.0]), torch.tensor([[0.0, 2.0]]))
        tensor([0.4100])
    """

    def forward(self, pos: Tensor, neg: Tensor, correction: Tensor | None = None) -> Tensor:
        """Return the loss of each row, ``[...]``; 0 where no negative is left."""
        return (negative_weights(neg, correction) * F.softplus(neg - pos.unsqueeze(-1))).sum(-1)


class SampledSoftmaxLoss(Objective):
    r"""Cross entropy of the positive among itself and the negatives.

    .. math:: \log\Big(e^{x_+/\tau} + \sum_j e^{x_j/\tau + c_j}\Big) - x_+/\tau

    With all other items as negatives this is the full softmax; with L2-normalised vectors it is the softmax on
    cosine scores. The corrections are not divided by the temperature.

    Args:
        temperature: Divides the scores; positive.

    Raises:
        ValueError: The temperature is not positive.
    """

    def __init__(self, temperature: float = 1.0) -> None:
        super().__init__()
        if not temperature > 0:
            raise ValueError(f"'temperature' must be positive (got {temperature})")
        self.temperature = temperature

    def forward(self, pos: Tensor, neg: Tensor, correction: Tensor | None = None) -> Tensor:
        """Return the loss of each row, ``[...]``; 0 where no negative is left."""
        return F.softplus(log_partition(neg, correction, self.temperature) - pos / self.temperature)

    def extra_repr(self) -> str:
        """Show the temperature when printed."""
        return f"temperature={self.temperature}"
