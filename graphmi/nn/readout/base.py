"""The interface of readouts, and the scores that they give."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from torch import Tensor, nn

from graphmi.nn.select import Selector
from graphmi.nn.similarity import Similarity

__all__ = ["Readout", "Scores", "scores_per_interest", "weighted_sum"]


def weighted_sum(loss: Tensor, weight: Tensor) -> Tensor:
    """Return the weighted sum over the interests, ``[batch]``, of losses and weights ``[batch, num_interests]``."""
    return (weight * loss).sum(1)


class Scores(NamedTuple):
    """Scores of the positives and negatives of a batch.

    Attributes:
        pos: ``[batch]``, or ``[batch, num_interests]`` where each interest makes a loss of its own.
        neg: ``[batch, num_negatives]``, or ``[batch, num_interests, num_negatives]``.
        weight: The weight of each interest's loss, ``[batch, num_interests]``; ``None`` where there is one
            score per item.
        combine: Makes one loss per row of the losses of the interests and ``weight``: their weighted sum, unless a
            readout reads its weights otherwise.
        score: Scores further items as it did the negatives, ``[num_items, dim]`` to what ``neg`` is for them; ``None``
            where a readout does not offer it, and its negatives cannot be taken in blocks.
        query: The vectors whose inner products with those of the negatives are ``neg``, ``[batch, dim]``; ``None``
            where scores are something else.
    """

    pos: Tensor
    neg: Tensor
    weight: Tensor | None = None
    combine: Callable[[Tensor, Tensor], Tensor] = weighted_sum
    score: Callable[[Tensor], Tensor] | None = None
    query: Tensor | None = None


class Readout(nn.Module, ABC):
    """Scores the positive and the negatives of each user.

    Shapes:
        - interests: ``[batch, num_interests, dim]``
        - positive: ``[batch, 1, dim]``
        - negative: ``[num_negatives, dim]`` shared by the batch, or ``[batch, num_negatives, dim]``
        - interest_mask: ``[batch, num_interests]``, False where an interest is inactive
    """

    @abstractmethod
    def forward(
        self, interests: Tensor, positive: Tensor, negative: Tensor, interest_mask: Tensor | None = None
    ) -> Scores:
        """Return the :class:`Scores`."""

    def gives_query(self, interests: Tensor, interest_mask: Tensor | None = None) -> bool:
        """Tell whether :class:`Scores` will name a query of each user, where items have one vector each."""
        return False

    def grouped(
        self,
        interests: Tensor,
        positive: Tensor,
        negative: Tensor,
        row: Tensor,
        interest_mask: Tensor | None = None,
        column: Tensor | None = None,
    ) -> Scores | None:
        """Score any number of positives per user, but the negatives only once per user.

        Args:
            interests: ``[batch, num_interests, dim]``.
            positive: ``[num_positives, dim]``.
            negative: ``[num_negatives, dim]`` or ``[batch, num_negatives, dim]``.
            row: The user of each positive, ``[num_positives]``.
            interest_mask: ``[batch, num_interests]``.
            column: Where each positive stands among the negatives, ``[num_positives]``, if it does: its score is
                then read there instead of being computed again.

        Returns:
            ``pos`` and ``weight`` with ``num_positives`` rows, ``neg`` with ``batch`` rows; ``None`` where the score
            of a negative depends on the positive, so that it cannot be shared.
        """
        return None


def scores_per_interest(
    selector: Selector,
    similarity: Similarity,
    interests: Tensor,
    positive: Tensor,
    negative: Tensor,
    row: Tensor,
    interest_mask: Tensor | None,
) -> Scores:
    """Return the grouped scores of readouts with a loss per interest, weighted by a selector on the positive."""
    own, positive = interests.index_select(0, row), positive.unsqueeze(1)
    weight = selector(own, positive, None if interest_mask is None else interest_mask[row])
    pos, score = similarity(own, positive), partial(similarity, interests)
    return Scores(pos.squeeze(-1), score(negative), weight.squeeze(-1), score=score)
