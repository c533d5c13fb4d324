"""The interface of readouts, and the scores that they give."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from typing import NamedTuple, Protocol

from torch import Tensor, nn

from graphmi.nn.select import Selector
from graphmi.nn.shortcuts import Shortcuts
from graphmi.nn.similarity import InnerProduct, Similarity
from graphmi.nn.weights_of import weights_of

__all__ = [
    "Partition",
    "Readout",
    "Scores",
    "of_positives",
    "partition_per_interest",
    "scores_per_interest",
    "weighted_sum",
]


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
    """

    pos: Tensor
    neg: Tensor
    weight: Tensor | None = None
    combine: Callable[[Tensor, Tensor], Tensor] = weighted_sum
    score: Callable[[Tensor], Tensor] | None = None


class Partition(Protocol):
    r"""Log-sum-exps over the negatives of a user, :math:`\log \sum_j \exp(\langle u, e_j \rangle / \tau)`."""

    def __call__(self, vectors: Tensor) -> Tensor:
        """Return them for vectors ``[batch, num_vectors, dim]``, ``[batch, num_vectors]``."""

    def of_best(self, vectors: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return that of the largest product of a user's vectors with each negative, ``[batch]``.

        Where the positives are among the negatives their largest products, ``[num_positives]``, come with it.
        """


class Readout(Shortcuts, nn.Module, ABC):
    """Scores the positive and the negatives of each user.

    Shapes:
        - interests: ``[batch, num_interests, dim]``
        - positive: ``[batch, 1, dim]``
        - negative: ``[num_negatives, dim]`` shared by the batch, or ``[batch, num_negatives, dim]``
        - interest_mask: ``[batch, num_interests]``, False where an interest is inactive; each user has an active one
    """

    shortcuts = ("forward", "grouped", "partitioned", "as_products"), ("partitioned", "as_products")

    @abstractmethod
    def forward(
        self, interests: Tensor, positive: Tensor, negative: Tensor, interest_mask: Tensor | None = None
    ) -> Scores:
        """Return the :class:`Scores`."""

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

    def as_products(
        self, interests: Tensor, positive: Tensor, temperature: float | None, interest_mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor] | None:
        r"""Return vectors that stand for the interests in a softmax, and the scores of the positives.

        Args:
            interests: ``[batch, num_interests, dim]``.
            positive: ``[batch, 1, dim]``.
            temperature: :math:`\tau`, if the objective has one.
            interest_mask: ``[batch, num_interests]``.

        Returns:
            ``[batch, num_vectors, dim]`` and ``[batch]``. For each negative with score :math:`s_j`, the sum over the
            vectors of :math:`\exp(\langle u, e_j \rangle / \tau)` is :math:`\exp(s_j / \tau)`. ``None`` where there
            are no such vectors.
        """
        return None

    def partitioned(
        self,
        interests: Tensor,
        positive: Tensor,
        partition: Partition,
        temperature: float | None,
        interest_mask: Tensor | None = None,
        row: Tensor | None = None,
    ) -> Scores | None:
        r"""Score the positives, and replace the scores of the negatives by the log-sum-exp that a softmax needs.

        Where all scores are inner products this saves most of the memory of a loss.

        Args:
            interests: ``[batch, num_interests, dim]``.
            positive: ``[num_positives, 1, dim]``.
            partition: Makes of vectors their log-sum-exps over the negatives of their user.
            temperature: :math:`\tau`, if the objective has one.
            interest_mask: ``[batch, num_interests]``.
            row: The user of each positive, ``[num_positives]``; ``None``: one each.

        Returns:
            Scores with the log-sum-exps in place of ``neg``, ``[num_positives]`` or, with ``weight``,
            ``[num_positives, num_interests]``; ``None`` where scores are something else, or those of shared negatives
            depend on the positive.
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
    own, mask = of_positives(interests, interest_mask, row)
    positive, score = positive.unsqueeze(1), partial(similarity, interests)
    weight, pos = weights_of(selector, own, positive, mask), similarity(own, positive)
    return Scores(pos.squeeze(-1), score(negative), weight.squeeze(-1), score=score)


def of_positives(interests: Tensor, interest_mask: Tensor | None, row: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Return interests and mask of the user of each positive."""
    if row is None:
        return interests, interest_mask
    return interests.index_select(0, row), None if interest_mask is None else interest_mask.index_select(0, row)


def partition_per_interest(
    selector: Selector,
    interests: Tensor,
    positive: Tensor,
    partition: Partition,
    interest_mask: Tensor | None,
    row: Tensor | None,
) -> Scores:
    """Return the partitioned scores of readouts with a loss per interest, weighted by a selector on the positive."""
    own, mask = of_positives(interests, interest_mask, row)
    pos, total = InnerProduct()(own, positive).squeeze(-1), partition(interests)
    weight = weights_of(selector, own, positive, mask).squeeze(-1)
    return Scores(pos, total if row is None else total.index_select(0, row), weight)
