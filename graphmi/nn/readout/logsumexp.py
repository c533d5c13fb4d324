"""One score per item: all interests speak, the best loudest."""

from functools import partial

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

from graphmi.nn.autocast import widened
from graphmi.nn.inactive import mask_interests
from graphmi.nn.powers import LOG2_E, exp2_
from graphmi.nn.readout.base import Partition, Readout, Scores, of_positives
from graphmi.nn.similarity import InnerProduct, Similarity
from graphmi.ranges import positive

__all__ = ["LogSumExpReadout"]


class LogSumExpReadout(Readout):
    r"""All interests speak, the best loudest: :math:`s_i = \tau \log \sum_k \exp(\langle m_k, e_i \rangle / \tau)`.

    With the softmax objective this is the multi-interest loss of `BaM <https://github.com/jlunits2/BaM>`_ (IEEE BigData
    2024), published.

    Args:
        similarity: The score of an interest and an item; the inner product unless given.
        temperature: :math:`\tau`, positive; towards 0 it is the maximum that serves users. BaM has 1.

    Raises:
        ValueError: The temperature is not positive.

    Example:
        >>> import torch
        >>> interests, item = torch.eye(2).unsqueeze(0), torch.tensor([[2.0, 1.0]])
        >>> LogSumExpReadout()(interests, item.unsqueeze(0), item).pos  # log(e^2 + e^1)
        tensor([2.3133])
    """

    def __init__(self, similarity: Similarity | None = None, temperature: float = 1.0) -> None:
        super().__init__()
        positive(temperature=temperature)
        self.similarity = similarity if similarity is not None else InnerProduct()
        self.temperature = temperature

    def forward(
        self, interests: Tensor, positive: Tensor, negative: Tensor, interest_mask: Tensor | None = None
    ) -> Scores:
        """Return one score per item: ``[batch]`` and ``[batch, num_negatives]``."""
        score = partial(self._score, interests, interest_mask)
        return Scores(score(positive).squeeze(-1), score(negative), score=score)

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
        score = partial(self._score, interests, interest_mask)
        neg = score(negative)
        if column is not None:
            return Scores(neg[row, column], neg, score=score)
        pos = self._score(*of_positives(interests, interest_mask, row), positive.unsqueeze(1))
        return Scores(pos.squeeze(-1), neg, score=score)

    def as_products(
        self, interests: Tensor, positive: Tensor, temperature: float | None, interest_mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor] | None:
        """Return the interests, where all are active and the objective has the temperature of this readout."""
        if type(self.similarity) is not InnerProduct or temperature != self.temperature or interest_mask is not None:
            return None
        return interests, self._score(interests, None, positive).squeeze(-1)

    def partitioned(
        self,
        interests: Tensor,
        positive: Tensor,
        partition: Partition,
        temperature: float | None,
        interest_mask: Tensor | None = None,
        row: Tensor | None = None,
    ) -> Scores | None:
        """Return one score and one log-sum-exp per positive, where the objective has the temperature of this readout.

        Then the sum over the items of sums over the interests is the sum over the interests of sums over the items.
        """
        if type(self.similarity) is not InnerProduct or temperature != self.temperature:
            return None
        own, mask = of_positives(interests, interest_mask, row)
        total = partition(interests)  # [batch, num_interests]
        if interest_mask is not None:
            total = total.masked_fill(~interest_mask, -torch.inf)
        total = total.logsumexp(1)
        return Scores(
            self._score(own, mask, positive).squeeze(-1), total if row is None else total.index_select(0, row)
        )

    def _score(self, interests: Tensor, interest_mask: Tensor | None, items: Tensor) -> Tensor:
        scores = mask_interests(self.similarity(interests, items), interest_mask)
        out: Tensor = _LogSumExp.apply(widened(scores), self.temperature)  # type: ignore[no-untyped-call]
        return out


class _LogSumExp(torch.autograd.Function):
    """Over the interests: one buffer of the size of the scores for both directions, .5 to .8 of torch's time."""

    @staticmethod
    def forward(ctx: FunctionCtx, scores: Tensor, temperature: float) -> Tensor:
        logits = scores * (LOG2_E / temperature)
        largest = logits.amax(1, keepdim=True).clamp_min(torch.finfo(logits.dtype).min)  # finite if none is active
        terms = exp2_(logits.sub_(largest))
        total = terms.sum(1, keepdim=True)
        ctx.save_for_backward(terms, total)
        return (total.log2() + largest).squeeze(1) * (temperature / LOG2_E)

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, grad: Tensor) -> tuple[Tensor, None]:
        terms, total = ctx.saved_tensors  # type: ignore[attr-defined]
        share = grad.unsqueeze(1) / total.clamp_min(torch.finfo(total.dtype).tiny)
        return terms * share, None  # [batch, num_interests, num_items]
