"""One loss per interest, and their weighted mean."""

from functools import partial

from torch import Tensor

from graphmi.nn.readout.base import Partition, Readout, Scores, partition_per_interest, scores_per_interest
from graphmi.nn.select import Selector
from graphmi.nn.similarity import InnerProduct, Similarity
from graphmi.nn.weights_of import weights_of

__all__ = ["ExpectedReadout"]


class ExpectedReadout(Readout):
    """Every interest makes a loss of its own, weighted by a selector anchored on the positive.

    Over a :class:`~graphmi.nn.SoftmaxSelector` this is the expectation of the loss that
    :class:`~graphmi.nn.SampledSelector` draws, without its variance. Its gradient is the mean of the draw's where the
    selector detaches its weights; else the probabilities learn as well, which can drive the interests apart.

    Args:
        selector: The weights of the losses.
        similarity: The score of an interest and an item; the inner product unless given.

    Example:
        >>> import torch
        >>> interests, item = torch.eye(2).unsqueeze(0), torch.tensor([[2.0, 1.0]])
        >>> from graphmi.nn import SoftmaxSelector
        >>> scores = ExpectedReadout(SoftmaxSelector())(interests, item.unsqueeze(0), item)
        >>> scores.pos, scores.weight  # a score by each interest, and how much its loss weighs
        (tensor([[2., 1.]]), tensor([[0.7311, 0.2689]]))
    """

    def __init__(self, selector: Selector, similarity: Similarity | None = None) -> None:
        super().__init__()
        self.selector = selector
        self.similarity = similarity if similarity is not None else InnerProduct()

    def forward(
        self, interests: Tensor, positive: Tensor, negative: Tensor, interest_mask: Tensor | None = None
    ) -> Scores:
        """Return scores per interest and their weights."""
        weight = weights_of(self.selector, interests, positive, interest_mask)
        score = partial(self.similarity, interests)
        return Scores(score(positive).squeeze(-1), score(negative), weight.squeeze(-1), score=score)

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
        return scores_per_interest(self.selector, self.similarity, interests, positive, negative, row, interest_mask)

    def partitioned(
        self,
        interests: Tensor,
        positive: Tensor,
        partition: Partition,
        temperature: float | None,
        interest_mask: Tensor | None = None,
        row: Tensor | None = None,
    ) -> Scores | None:
        """Return scores and log-sum-exps per interest, and their weights."""
        if type(self.similarity) is not InnerProduct:
            return None
        return partition_per_interest(self.selector, interests, positive, partition, interest_mask, row)
