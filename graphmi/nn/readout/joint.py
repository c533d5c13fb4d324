"""Several readouts of the same interests at once: their losses add up."""

from collections.abc import Callable, Iterable, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from graphmi.nn.readout.base import Partition, Readout, Scores

__all__ = ["JointReadout"]


class JointReadout(Readout):
    """Several readouts on the same interests and items; the loss is the sum of the losses that each would give.

    What a :class:`~graphmi.losses.SumLoss` of several losses does, with one objective, one weighting and the item
    vectors looked up once. The long form of `BaM <https://github.com/jlunits2/BaM>`_ (IEEE BigData 2024), published, is
    a drawn interest beside all of them: ``JointReadout([SelectReadout(SampledSelector()), LogSumExpReadout()])``.

    Args:
        readouts: What is added up; at least one.

    Raises:
        ValueError: There is no readout.

    Example:
        >>> import torch
        >>> interests, item = torch.eye(2).unsqueeze(0), torch.tensor([[2.0, 1.0]])
        >>> from graphmi.nn import LogSumExpReadout, SelectReadout
        >>> readout = JointReadout([SelectReadout(), LogSumExpReadout()])
        >>> readout(interests, item.unsqueeze(0), item).pos  # the best interest's score, and log(e^2 + e^1)
        tensor([[2.0000, 2.3133]])
    """

    def __init__(self, readouts: Sequence[Readout]) -> None:
        super().__init__()
        if not readouts:
            raise ValueError("'readouts' must name at least one readout (got none)")
        self.readouts = nn.ModuleList(readouts)

    def forward(
        self, interests: Tensor, positive: Tensor, negative: Tensor, interest_mask: Tensor | None = None
    ) -> Scores:
        """Return the scores of all readouts side by side, those with one score per item as one interest more."""
        return _stack([readout(interests, positive, negative, interest_mask) for readout in self.readouts])

    def grouped(
        self,
        interests: Tensor,
        positive: Tensor,
        negative: Tensor,
        row: Tensor,
        interest_mask: Tensor | None = None,
        column: Tensor | None = None,
    ) -> Scores | None:
        """Return the scores of all readouts side by side; ``None`` where one of them cannot share its negatives."""
        return self._each(lambda readout: readout.grouped(interests, positive, negative, row, interest_mask, column))

    def partitioned(
        self,
        interests: Tensor,
        positive: Tensor,
        partition: Partition,
        temperature: float | None,
        interest_mask: Tensor | None = None,
        row: Tensor | None = None,
    ) -> Scores | None:
        """Return what all readouts give side by side; ``None`` where one of them gives nothing."""
        return self._each(
            lambda readout: readout.partitioned(interests, positive, partition, temperature, interest_mask, row)
        )

    def _each(self, ask: Callable[[Readout], Scores | None]) -> Scores | None:
        parts = []
        for readout in cast(Iterable[Readout], self.readouts):
            if (scores := ask(readout)) is None:
                return None
            parts.append(scores)
        return _stack(parts)


def _stack(parts: Sequence[Scores]) -> Scores:
    parts = [_as_interest(part) if part.weight is None else part for part in parts]
    sizes = [part.pos.size(1) for part in parts]

    def combine(loss: Tensor, weight: Tensor) -> Tensor:
        own = zip(parts, torch.split(loss, sizes, 1), torch.split(weight, sizes, 1), strict=True)
        return torch.stack([part.combine(losses, weights) for part, losses, weights in own]).sum(0)

    own = [part.score for part in parts if part.score is not None]
    weight = torch.cat([part.weight for part in parts if part.weight is not None], 1)
    return Scores(
        torch.cat([part.pos for part in parts], 1),
        torch.cat([part.neg for part in parts], 1),
        weight,
        combine,
        (lambda items: torch.cat([score(items) for score in own], 1)) if len(own) == len(parts) else None,
    )


def _as_interest(scores: Scores) -> Scores:
    score = scores.score
    return Scores(
        scores.pos.unsqueeze(1),
        scores.neg.unsqueeze(1),
        torch.ones_like(scores.pos).unsqueeze(1),
        score=None if score is None else (lambda items: score(items).unsqueeze(1)),
    )
