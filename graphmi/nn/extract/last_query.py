"""Several interests as seen from the last item of a history."""

import torch
from torch import Tensor, nn

from graphmi.nn.extract.base import Extractor, Interests, over_real_positions
from graphmi.nn.extract.pooling import last_position
from graphmi.nn.extract.prefix import causal_attention
from graphmi.ranges import at_least

__all__ = ["LastQueryExtractor"]


class LastQueryExtractor(Extractor):
    r"""Each interest is what the last item, asking a question of its own, finds in the history.

    .. math::
        V_k = W^O_k \Bigl[ h_n ;\; \sum_{l \le n} \operatorname{softmax}_l
        \Bigl( \frac{\langle W^Q_k h_n, W^K_k h_l \rangle}{\sqrt d} \Bigr)\, h_l \Bigr]

    Our own, for causal encoders: :class:`SelfAttentiveExtractor` weighs a position without knowing what comes after it,
    so it cannot tell the latest item from others, which a transformer or a recurrent network lives by. One interest
    of this kind is one more layer of attention, and all prefixes together are causal attention with one head per
    interest.

    Args:
        embedding_dim: Size of the vectors, at least 1.
        max_length: Not used; there are no positions.
        num_interests: At least 1.

    Raises:
        ValueError: An argument is out of range.

    Example:
        >>> import torch
        >>> extractor = LastQueryExtractor(8, num_interests=2)
        >>> found = extractor(torch.randn(1, 3, 8), torch.tensor([[True, True, False]]))
        >>> found.interests.shape, found.routing.shape
        (torch.Size([1, 2, 8]), torch.Size([1, 2, 3]))
    """

    def __init__(self, embedding_dim: int, max_length: int | None = None, num_interests: int = 4) -> None:
        super().__init__()
        at_least(1, embedding_dim=embedding_dim, num_interests=num_interests)
        self.num_interests = num_interests
        self.query = nn.Linear(embedding_dim, num_interests * embedding_dim, bias=False)
        self.key = nn.Linear(embedding_dim, num_interests * embedding_dim, bias=False)
        self.output = nn.Parameter(torch.empty(num_interests, 2 * embedding_dim, embedding_dim))
        nn.init.xavier_uniform_(self.query.weight)
        nn.init.xavier_uniform_(self.key.weight)
        nn.init.uniform_(self.output, -((2 * embedding_dim) ** -0.5), (2 * embedding_dim) ** -0.5)

    def extract(self, x: Tensor, mask: Tensor) -> Interests:
        """Return the interests and their routing weights."""
        last = last_position(x, mask)
        routing = over_real_positions(self._logits(last, x).squeeze(1), mask)
        return Interests(self._combine(last.expand(-1, self.num_interests, -1), routing @ x), routing)

    def contributions(self, x: Tensor, mask: Tensor) -> Tensor:
        """Return the positions times their routing weights, and the last one also as such, through the output map."""
        routing = over_real_positions(self._logits(last_position(x, mask), x).squeeze(1), mask)
        found = routing.unsqueeze(-1) * x.unsqueeze(1)
        final = torch.arange(x.size(1), device=x.device) == mask.sum(1, keepdim=True) - 1  # [batch, length]
        last = (x * final.unsqueeze(-1)).unsqueeze(1).expand_as(found)
        return torch.einsum("bklc,kcd->bkld", torch.cat([last, found], dim=-1), self.output)

    def prefixes(self, x: Tensor, mask: Tensor, prefix: Tensor) -> Interests:
        """Return the interests of beginnings of histories and their routing variance, in one pass over each history."""
        every = causal_attention(self._logits(x, x), x)
        found, variance = (part.flatten(0, 1).index_select(0, prefix) for part in every)
        last = x.flatten(0, 1).index_select(0, prefix).unsqueeze(1)
        return Interests(self._combine(last.expand_as(found), found), routing_variance=variance)

    def _logits(self, last: Tensor, x: Tensor) -> Tensor:
        """Return ``[batch, num_last, num_interests, length]``."""
        shape = (self.num_interests, x.size(-1))
        query, key = (
            part.view(*part.shape[:2], *shape).transpose(1, 2) for part in (self.query(last), self.key(x))
        )  # [batch, num_interests, length, dim]
        logits: Tensor = query @ key.transpose(-1, -2) * x.size(-1) ** -0.5
        return logits.transpose(1, 2)

    def _combine(self, last: Tensor, found: Tensor) -> Tensor:
        """Return ``[batch, num_interests, dim]``."""
        return torch.einsum("bkc,kcd->bkd", torch.cat([last, found], dim=-1), self.output)
