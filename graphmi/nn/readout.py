"""From several interests to one score per item: what the objective sees in training."""

from abc import ABC, abstractmethod
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from graphmi.nn.select import ArgmaxSelector, Selector, mask_interests
from graphmi.nn.similarity import InnerProduct, Similarity

__all__ = ["ExpectedReadout", "LogSumExpReadout", "Readout", "Scores", "SelectReadout"]


class Scores(NamedTuple):
    """Scores of the positives and negatives of a batch.

    Attributes:
        pos: ``[batch]``, or ``[batch, num_interests]`` where each interest makes a loss of its own.
        neg: ``[batch, num_negatives]``, or ``[batch, num_interests, num_negatives]``.
        weight: The weight of each interest's loss, ``[batch, num_interests]``; ``None`` where there is one
            score per item.
    """

    pos: Tensor
    neg: Tensor
    weight: Tensor | None = None


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


class SelectReadout(Readout):
    """Scores items by the interests that a selector chooses.

    Args:
        selector: Weighs the interests; :class:`ArgmaxSelector` unless given.
        anchor: ``"positive"``: the positive chooses, and its choice scores the negatives too (as ComiRec and
            REMI train). ``"candidate"``: every item chooses for itself, as in serving.
        similarity: The score of an interest and an item; the inner product unless given.

    Raises:
        ValueError: ``anchor`` is neither.
    """

    def __init__(
        self,
        selector: Selector | None = None,
        anchor: Literal["positive", "candidate"] = "positive",
        similarity: Similarity | None = None,
    ) -> None:
        super().__init__()
        if anchor not in ("positive", "candidate"):
            raise ValueError(f"'anchor' must be 'positive' or 'candidate' (got {anchor!r})")
        self.selector = selector if selector is not None else ArgmaxSelector()
        self.anchor = anchor
        self.similarity = similarity if similarity is not None else InnerProduct()

    def forward(
        self, interests: Tensor, positive: Tensor, negative: Tensor, interest_mask: Tensor | None = None
    ) -> Scores:
        """Return one score per item: ``[batch]`` and ``[batch, num_negatives]``."""
        if self.anchor == "candidate":
            pos, neg = (
                self.selector.score(interests, items, self.similarity, interest_mask) for items in (positive, negative)
            )
        else:
            weights = self.selector(interests, positive, interest_mask)  # [batch, num_interests, 1]
            pos, neg = (self._score(interests, weights, items) for items in (positive, negative))
        return Scores(pos.squeeze(-1), neg)

    def grouped(
        self,
        interests: Tensor,
        positive: Tensor,
        negative: Tensor,
        row: Tensor,
        interest_mask: Tensor | None = None,
        column: Tensor | None = None,
    ) -> Scores | None:
        """Return scores per item (``"candidate"``) or per interest (a hard choice); ``None`` for soft choices."""
        if self.anchor == "positive":
            if not self.selector.hard:
                return None
            return _per_interest(self.selector, self.similarity, interests, positive, negative, row, interest_mask)
        neg = self.selector.score(interests, negative, self.similarity, interest_mask)
        if column is not None:
            return Scores(neg[row, column], neg)
        mask = None if interest_mask is None else interest_mask[row]
        pos = self.selector.score(interests.index_select(0, row), positive.unsqueeze(1), self.similarity, mask)
        return Scores(pos.squeeze(-1), neg)

    def _score(self, interests: Tensor, weights: Tensor, items: Tensor) -> Tensor:
        linear = self.similarity.linear and items.size(-1) == interests.size(-1)
        if self.selector.hard or linear:  # mix the interests first: num_interests times fewer scores
            mixed = (weights * interests).sum(1, keepdim=True)  # [batch, 1, dim]
            scores: Tensor = self.similarity(mixed, items)
        else:
            scores = weights * self.similarity(interests, items)
        return scores.sum(1)


class LogSumExpReadout(Readout):
    r"""All interests speak, the best loudest: :math:`s_i = \tau \log \sum_k \exp(\langle m_k, e_i \rangle / \tau)`.

    With the softmax objective this is the multi-interest loss of BaM.

    Args:
        similarity: The score of an interest and an item; the inner product unless given.
        temperature: :math:`\tau`, positive; towards 0 it is the maximum that serves users. BaM has 1.

    Raises:
        ValueError: The temperature is not positive.
    """

    def __init__(self, similarity: Similarity | None = None, temperature: float = 1.0) -> None:
        super().__init__()
        if not temperature > 0:
            raise ValueError(f"'temperature' must be positive (got {temperature})")
        self.similarity = similarity if similarity is not None else InnerProduct()
        self.temperature = temperature

    def forward(
        self, interests: Tensor, positive: Tensor, negative: Tensor, interest_mask: Tensor | None = None
    ) -> Scores:
        """Return one score per item: ``[batch]`` and ``[batch, num_negatives]``."""
        pos, neg = (self._score(interests, items, interest_mask) for items in (positive, negative))
        return Scores(pos.squeeze(-1), neg)

    def grouped(
        self,
        interests: Tensor,
        positive: Tensor,
        negative: Tensor,
        row: Tensor,
        interest_mask: Tensor | None = None,
        column: Tensor | None = None,
    ) -> Scores:
        """Return one score per item: ``[num_positives]`` and ``[batch, num_negatives]``."""
        neg = self._score(interests, negative, interest_mask)
        if column is not None:
            return Scores(neg[row, column], neg)
        mask = None if interest_mask is None else interest_mask[row]
        return Scores(self._score(interests.index_select(0, row), positive.unsqueeze(1), mask).squeeze(-1), neg)

    def _score(self, interests: Tensor, items: Tensor, interest_mask: Tensor | None) -> Tensor:
        scores = mask_interests(self.similarity(interests, items), interest_mask)
        return torch.logsumexp(scores / self.temperature, 1) * self.temperature


class ExpectedReadout(Readout):
    """Every interest makes a loss of its own, weighted by a selector anchored on the positive.

    Over a :class:`~graphmi.nn.SoftmaxSelector` this is the expectation of the loss that
    :class:`~graphmi.nn.SampledSelector` draws, without its variance and with gradients to the probabilities.

    Args:
        selector: The weights of the losses.
        similarity: The score of an interest and an item; the inner product unless given.
    """

    def __init__(self, selector: Selector, similarity: Similarity | None = None) -> None:
        super().__init__()
        self.selector = selector
        self.similarity = similarity if similarity is not None else InnerProduct()

    def forward(
        self, interests: Tensor, positive: Tensor, negative: Tensor, interest_mask: Tensor | None = None
    ) -> Scores:
        """Return scores per interest and their weights."""
        weight = self.selector(interests, positive, interest_mask)
        pos, neg = (self.similarity(interests, items) for items in (positive, negative))
        return Scores(pos.squeeze(-1), neg, weight.squeeze(-1))

    def grouped(
        self,
        interests: Tensor,
        positive: Tensor,
        negative: Tensor,
        row: Tensor,
        interest_mask: Tensor | None = None,
        column: Tensor | None = None,
    ) -> Scores:
        """Return scores per interest, and the weights that each positive gives them."""
        return _per_interest(self.selector, self.similarity, interests, positive, negative, row, interest_mask)


def _per_interest(
    selector: Selector,
    similarity: Similarity,
    interests: Tensor,
    positive: Tensor,
    negative: Tensor,
    row: Tensor,
    interest_mask: Tensor | None,
) -> Scores:
    own, positive = interests.index_select(0, row), positive.unsqueeze(1)
    weight = selector(own, positive, None if interest_mask is None else interest_mask[row])
    pos = similarity(own, positive)
    return Scores(pos.squeeze(-1), similarity(interests, negative), weight.squeeze(-1))
