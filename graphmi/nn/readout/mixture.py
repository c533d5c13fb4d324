"""A mixture over the interests: each explains the positive with a probability of its own."""

from functools import partial

import torch
from torch import Tensor, nn

from graphmi.nn.readout.base import Partition, Readout, Scores, of_positives
from graphmi.nn.similarity import InnerProduct, Similarity, require_width
from graphmi.ranges import at_least

__all__ = ["MixtureReadout"]


class MixtureReadout(Readout):
    r"""A mixture of softmaxes, one per interest, with learned weights.

    .. math:: -\log \sum_k \pi_k\, e^{-\ell_k}, \quad \pi = \operatorname{softmax}_k(\langle w, m_k \rangle)

    with :math:`\ell_k` the objective's loss of interest :math:`k`. With the softmax objective :math:`e^{-\ell_k}` is
    the probability which interest :math:`k` gives the positive, and this is the mixture of softmaxes of
    `Yang et al., ICLR 2018 <https://arxiv.org/abs/1711.03953>`_, whose rank the dimension does not bound. An interest
    learns from a positive in proportion to its share :math:`\pi_k e^{-\ell_k}` in explaining it.

    The loss is at most that of :class:`ExpectedReadout` with the same weights. :class:`LogSumExpReadout` is the mixture
    whose weights are the partition sums, :math:`\pi_k \propto Z_k = \sum_i e^{\langle m_k, e_i \rangle}`: there a long
    interest counts more, here the weights are free. Serving takes the largest :math:`\langle m_k, e_i \rangle`, the
    largest term of the log-sum-exp. The mixture's largest term has :math:`\log \pi_k - \log Z_k` added, so what is
    trained is what is served as far as this differs little between the interests of a user.

    Args:
        embedding_dim: Width of the interests, at least 1.
        similarity: The score of an interest and an item; the inner product unless given.

    Raises:
        ValueError: The width is below 1.

    Example:
        >>> import torch
        >>> interests, item = torch.eye(2).unsqueeze(0), torch.tensor([[2.0, 1.0]])
        >>> scores = MixtureReadout(embedding_dim=2)(interests, item.unsqueeze(0), item)
        >>> scores.pos, scores.weight.exp().detach()  # a score by each interest; before training all count alike
        (tensor([[2., 1.]]), tensor([[0.5000, 0.5000]]))
        >>> scores.combine(torch.tensor([[0.0, 2.0]]), scores.weight).detach()  # of two losses: -log((e^0 + e^-2) / 2)
        tensor([0.5662])
    """

    def __init__(self, embedding_dim: int = 64, similarity: Similarity | None = None) -> None:
        super().__init__()
        at_least(1, embedding_dim=embedding_dim)
        self.prior = nn.Linear(embedding_dim, 1, bias=False)
        nn.init.zeros_(self.prior.weight)  # all interests count alike before anything is known
        self.similarity = similarity if similarity is not None else InnerProduct()

    def forward(
        self, interests: Tensor, positive: Tensor, negative: Tensor, interest_mask: Tensor | None = None
    ) -> Scores:
        """Return scores per interest and the log-weights of the mixture."""
        score, weight = partial(self.similarity, interests), self.log_weight(interests, interest_mask)
        return Scores(score(positive).squeeze(-1), score(negative), weight, _log_likelihood, score)

    def grouped(
        self,
        interests: Tensor,
        positive: Tensor,
        negative: Tensor,
        row: Tensor,
        interest_mask: Tensor | None = None,
        column: Tensor | None = None,
    ) -> Scores:
        """Return scores per interest, and for each positive the log-weights of its user."""
        pos = self.similarity(interests.index_select(0, row), positive.unsqueeze(1)).squeeze(-1)
        weight = self.log_weight(interests, interest_mask).index_select(0, row)
        score = partial(self.similarity, interests)
        return Scores(pos, score(negative), weight, _log_likelihood, score)

    def partitioned(
        self,
        interests: Tensor,
        positive: Tensor,
        partition: Partition,
        temperature: float | None,
        interest_mask: Tensor | None = None,
        row: Tensor | None = None,
    ) -> Scores | None:
        """Return scores and log-sum-exps per interest, and the log-weights of the mixture."""
        if type(self.similarity) is not InnerProduct:
            return None
        pos = InnerProduct()(of_positives(interests, None, row)[0], positive).squeeze(-1)
        parts = partition(interests), self.log_weight(interests, interest_mask)
        total, weight = parts if row is None else (part.index_select(0, row) for part in parts)
        return Scores(pos, total, weight, _log_likelihood)

    def log_weight(self, interests: Tensor, interest_mask: Tensor | None = None) -> Tensor:
        r"""Return :math:`\log \pi`, ``[batch, num_interests]``, ``-inf`` for inactive interests.

        Raises:
            ValueError: The interests have another width.
        """
        require_width(self, self.prior, interests)
        logits: Tensor = self.prior(interests).squeeze(-1)
        if interest_mask is not None:
            logits = logits.masked_fill(~interest_mask, -torch.inf)
        return logits.log_softmax(1)


def _log_likelihood(loss: Tensor, log_weight: Tensor) -> Tensor:
    return -torch.logsumexp(log_weight - loss, 1)
