"""One score per item: a selector says which interests speak for it."""

from collections.abc import Callable
from functools import partial
from typing import Literal

from torch import Tensor

from graphmi.nn.inactive import without_inactive
from graphmi.nn.readout.base import (
    Partition,
    Readout,
    Scores,
    of_positives,
    partition_per_interest,
    scores_per_interest,
)
from graphmi.nn.select import ArgmaxSelector, Selector
from graphmi.nn.similarity import InnerProduct, Similarity
from graphmi.nn.weights_of import weights_of
from graphmi.ranges import one_of

__all__ = ["SelectReadout"]


class SelectReadout(Readout):
    """Scores items by the interests that a selector chooses.

    Args:
        selector: Weighs the interests; :class:`ArgmaxSelector` unless given.
        anchor: ``"positive"``: the positive chooses, and its choice scores the negatives too (as ComiRec and
            REMI train). ``"candidate"``: every item chooses for itself, as in serving.
        similarity: The score of an interest and an item; the inner product unless given.

    Raises:
        ValueError: ``anchor`` is neither.

    Example:
        >>> import torch
        >>> interests = torch.eye(2).unsqueeze(0)  # one user with two interests
        >>> positive, negatives = torch.tensor([[[2.0, 1.0]]]), torch.tensor([[3.0, 0.0], [0.0, 5.0]])
        >>> SelectReadout()(interests, positive, negatives)[:2]  # by the interest of the positive
        (tensor([2.]), tensor([[3., 0.]]))
        >>> SelectReadout(anchor="candidate")(interests, positive, negatives)[:2]  # each item by its own, as in serving
        (tensor([2.]), tensor([[3., 5.]]))
    """

    def __init__(
        self,
        selector: Selector | None = None,
        anchor: Literal["positive", "candidate"] = "positive",
        similarity: Similarity | None = None,
    ) -> None:
        super().__init__()
        one_of(("positive", "candidate"), anchor=anchor)
        self.selector = selector if selector is not None else ArgmaxSelector()
        self.anchor = anchor
        self.similarity = similarity if similarity is not None else InnerProduct()

    def forward(
        self, interests: Tensor, positive: Tensor, negative: Tensor, interest_mask: Tensor | None = None
    ) -> Scores:
        """Return one score per item: ``[batch]`` and ``[batch, num_negatives]``."""
        score: Callable[[Tensor], Tensor]
        if self.anchor == "candidate":
            score = partial(self._best, interests, interest_mask)
            return Scores(score(positive).squeeze(-1), score(negative), score=score)
        weights = weights_of(self.selector, interests, positive, interest_mask)  # [batch, num_interests, 1]
        linear = self.similarity.linear and positive.size(-1) == interests.size(-1)
        if not (self.selector.hard or linear):
            score = partial(self._weighted, interests, weights)
            return Scores(score(positive).squeeze(-1), score(negative), score=score)
        mixed = _mixed(weights, interests)  # num_interests times fewer scores
        score = partial(self._single, mixed)
        return Scores(score(positive).squeeze(-1), score(negative), score=score)

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
            return scores_per_interest(
                self.selector, self.similarity, interests, positive, negative, row, interest_mask
            )
        score = partial(self._best, interests, interest_mask)
        neg = score(negative)
        if column is not None:
            return Scores(neg[row, column], neg, score=score)
        pos = self._best(*of_positives(interests, interest_mask, row), positive.unsqueeze(1))
        return Scores(pos.squeeze(-1), neg, score=score)

    def as_products(
        self, interests: Tensor, positive: Tensor, temperature: float | None, interest_mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor] | None:
        """Return one vector per user, its only interest or the mix for the positive; ``None`` where items choose."""
        if type(self.similarity) is not InnerProduct:
            return None
        vector = interests
        if self.anchor == "positive":
            vector = _mixed(weights_of(self.selector, interests, positive, interest_mask), interests)
        elif not _no_choice(interests, interest_mask):
            return None
        return vector, self._single(vector, positive).squeeze(-1)

    def partitioned(
        self,
        interests: Tensor,
        positive: Tensor,
        partition: Partition,
        temperature: float | None,
        interest_mask: Tensor | None = None,
        row: Tensor | None = None,
    ) -> Scores | None:
        """Return the score and log-sum-exp of one vector per user, its only interest or the mix for the positive.

        With several positives per user and a hard choice, those of every interest; where every item chooses the best
        interest, the best score of each.
        """
        if type(self.similarity) is not InnerProduct:
            return None
        if self.anchor == "positive" and row is not None:
            if not self.selector.hard:
                return None
            return partition_per_interest(self.selector, interests, positive, partition, interest_mask, row)
        if row is None:
            found = SelectReadout.as_products(self, interests, positive, temperature, interest_mask)
            if found is not None:
                return Scores(found[1], partition(found[0]).squeeze(1))
        if not (_no_choice(interests, interest_mask) or _takes_best(self.selector)):
            return None
        interests = without_inactive(interests, interest_mask)
        total, pos = partition.of_best(interests)
        if pos is None:
            pos = self._single(_best_interest(interests, positive, row), positive).squeeze(-1)
        return Scores(pos, total if row is None else total.index_select(0, row))

    def _best(self, interests: Tensor, interest_mask: Tensor | None, items: Tensor) -> Tensor:
        if _no_choice(interests, interest_mask):
            return self._single(interests, items)
        return self.selector.score(interests, items, self.similarity, interest_mask)

    def _weighted(self, interests: Tensor, weights: Tensor, items: Tensor) -> Tensor:
        scores: Tensor = weights * self.similarity(interests, items)
        return scores.sum(1)

    def _single(self, vector: Tensor, items: Tensor) -> Tensor:
        scores: Tensor = self.similarity(vector, items)
        return scores.squeeze(1)


def _mixed(weights: Tensor, interests: Tensor) -> Tensor:
    """Return the weighted sum of the interests, ``[batch, 1, dim]``, in their number format."""
    return (weights * interests).sum(1, keepdim=True).to(interests.dtype)  # weights may be wider


def _no_choice(interests: Tensor, interest_mask: Tensor | None) -> bool:
    """Tell whether each user has one interest, whose weight is 1 whatever the selector."""
    return interests.size(1) == 1 and interest_mask is None


def _takes_best(selector: Selector) -> bool:
    return type(selector) is ArgmaxSelector and type(selector.similarity) is InnerProduct


def _best_interest(interests: Tensor, positive: Tensor, row: Tensor | None) -> Tensor:
    """Return the interest of its user with the largest product with each positive, ``[num_positives, 1, dim]``."""
    own = of_positives(interests, None, row)[0]
    if own.size(1) == 1:
        return own
    choice = InnerProduct()(own.detach(), positive.detach()).argmax(1, keepdim=True)  # [num_positives, 1, 1]
    return own.gather(1, choice.expand(-1, -1, own.size(2)))
