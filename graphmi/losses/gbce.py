"""The binary cross entropy of gSASRec."""

from copy import copy

import torch
import torch.nn.functional as F
from torch import Tensor

from graphmi.losses.objectives import Objective, require_scores
from graphmi.losses.partition import negative_weights
from graphmi.ranges import at_least

__all__ = ["GBCELoss"]


class GBCELoss(Objective):
    r"""Generalised binary cross entropy, which undoes the overconfidence of negative sampling.

    .. math::
        \frac{-1}{n + 1}\Big(\log\sigma^\beta(x_+) + \sum_j \log(1 - \sigma(x_j))\Big), \quad
        \beta = \alpha\Big(t\big(1 - \tfrac1\alpha\big) + \tfrac1\alpha\Big)

    over the :math:`n` negatives that count, with :math:`\alpha` the sampling rate: negatives drawn per user, whether
    they count or not, over all other items, at most 1 (gSASRec,
    `Petrov and Macdonald, RecSys 2023 <https://arxiv.org/abs/2308.07192>`_). A correction weighs the negatives to a
    mean of one.

    Args:
        num_items: Size of the catalogue, at least 2; :class:`~graphmi.losses.MultiInterestLoss` takes that of the model
            when omitted.
        calibration: :math:`t` in ``[0, 1]``: 0 is the plain cross entropy, 1 fully calibrated.

    Raises:
        ValueError: An argument is out of its range.

    Example:
        >>> import torch
        >>> objective = GBCELoss(num_items=5, calibration=1.0)  # with two of the four other items drawn, beta is 1/2
        >>> objective(torch.tensor([2.0]), torch.tensor([[0.0, 2.0]]))  # (0.1269 / 2 + 0.6931 + 2.1269) / 3
        tensor([0.9612])
    """

    def __init__(self, num_items: int | None = None, calibration: float = 0.75) -> None:
        super().__init__()
        at_least(2, num_items=num_items)
        if not 0 <= calibration <= 1:
            raise ValueError(f"'calibration' must be between 0 and 1 (got {calibration})")
        self.num_items, self.calibration = num_items, calibration

    def forward(self, pos: Tensor, neg: Tensor, correction: Tensor | None = None) -> Tensor:
        """Return the loss of each row, ``[...]``; the positive's part alone where no negative is left."""
        require_scores(pos, neg)
        if self.num_items is None:
            raise ValueError("GBCELoss does not know the size of the catalogue: give it 'num_items'")
        rate = min(1.0, max(neg.size(-1), 1) / (self.num_items - 1))
        beta = rate * (self.calibration * (1 - 1 / rate) + 1 / rate)
        left = neg.size(-1) if correction is None else (correction > -torch.inf).expand_as(neg).sum(-1)
        mean = (negative_weights(neg, correction) * F.softplus(neg)).sum(-1)
        return (beta * F.softplus(-pos) + left * mean) / (left + 1)

    def for_catalogue(self, num_items: int) -> Objective:
        """Return this objective with the number of items, unless it was given one."""
        if self.num_items is not None:
            return self
        if type(self) is GBCELoss:  # torch compiles no copies
            return GBCELoss(num_items, self.calibration)
        known = copy(self)
        known.num_items = num_items
        return known

    def extra_repr(self) -> str:
        """Show the arguments when printed."""
        return f"num_items={self.num_items}, calibration={self.calibration}"
