"""Several interests by self-attention over a history."""

from functools import partial

import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.utils import softmax

from graphmi.nn.autocast import widened
from graphmi.nn.extract.base import Extractor, Interests, over_real_positions
from graphmi.nn.extract.packed import at_real_positions, padded, pays, pooled, real_positions
from graphmi.nn.extract.prefix import prefix_attention
from graphmi.nn.extract.tanh_layers import tanh_layers
from graphmi.nn.position import Positions
from graphmi.ranges import at_least

__all__ = ["SelfAttentiveExtractor"]


class SelfAttentiveExtractor(Extractor):
    r"""Each interest attends to the items of a history by weights of its own.

    .. math::
        A = \operatorname{softmax}_{\text{positions}}\bigl(W_2 \tanh(W_1 (H + P)^\top)\bigr), \qquad V = A H

    ComiRec-SA (`Cen et al., KDD 2020 <https://arxiv.org/abs/2005.09347>`_), published; the backbone of REMI and BaM.
    There are no biases, and the positions :math:`P` are not in the values. All parameters start Glorot uniform, as in
    the published code.

    Args:
        embedding_dim: Size of the vectors, at least 1.
        max_length: Number of positions, at least 1; ``None``: no positions, and sets of any size.
        num_interests: At least 1.
        hidden_dim: Rows of :math:`W_1`, at least 1; four times ``embedding_dim`` unless given.

    Raises:
        ValueError: An argument is out of range, or in use a history is longer than ``max_length``.

    Example:
        >>> import torch
        >>> extractor = SelfAttentiveExtractor(8, max_length=5, num_interests=2)
        >>> found = extractor(torch.randn(1, 3, 8), torch.tensor([[True, True, False]]))
        >>> found.interests.shape, found.routing.shape
        (torch.Size([1, 2, 8]), torch.Size([1, 2, 3]))
    """

    def __init__(
        self,
        embedding_dim: int,
        max_length: int | None = None,
        num_interests: int = 4,
        hidden_dim: int | None = None,
    ) -> None:
        super().__init__()
        hidden_dim = 4 * embedding_dim if hidden_dim is None else hidden_dim
        at_least(1, embedding_dim=embedding_dim, num_interests=num_interests, hidden_dim=hidden_dim)
        self.num_interests = num_interests
        self.position = nn.Identity() if max_length is None else Positions(max_length, embedding_dim)
        self.hidden = nn.Linear(embedding_dim, hidden_dim, bias=False)
        self.attention = nn.Linear(hidden_dim, num_interests, bias=False)
        nn.init.xavier_uniform_(self.hidden.weight)
        nn.init.xavier_uniform_(self.attention.weight)

    def extract(self, x: Tensor, mask: Tensor) -> Interests:
        """Return the interests and their routing weights."""
        if pays(x):
            return self._of_real_positions(x.flatten(0, 1).index_select(0, real_positions(mask)), mask)
        routing = over_real_positions(self._logits(x, mask), mask)
        return Interests(routing @ x, routing)

    def extract_packed(self, x: Tensor, mask: Tensor) -> Interests:
        """Return the interests and their routing weights."""
        return self._of_real_positions(x, mask)

    def prefixes(self, x: Tensor, mask: Tensor, prefix: Tensor) -> Interests:
        """Return the interests of beginnings of histories and their routing variance, in one pass over each history."""
        mean, variance = prefix_attention(self._logits(x, mask), x, prefix)
        return Interests(mean, routing_variance=variance)

    def contributions(self, x: Tensor, mask: Tensor) -> Tensor:
        """Return the positions times their routing weights, which sum to the interests."""
        return over_real_positions(self._logits(x, mask), mask).unsqueeze(-1) * x.unsqueeze(1)

    def _of_real_positions(self, x: Tensor, mask: Tensor) -> Interests:
        """Return what ``extract`` does of the real positions, ``[num_real, dim]``."""
        place, length = real_positions(mask), mask.size(1)
        logits = widened(self.position_logits(x, place % length, length).T)  # [num_interests, num_real]
        weight = softmax(logits, place // length, num_nodes=len(mask), dim=1)
        return Interests(pooled(weight, x, mask), padded(weight.T, mask).transpose(1, 2))

    def _logits(self, x: Tensor, mask: Tensor) -> Tensor:
        """Return the logits, 0 at padding, ``[batch, num_interests, length]``."""
        return at_real_positions(partial(self.position_logits, length=mask.size(1)), x, mask).transpose(1, 2)

    def position_logits(self, x: Tensor, place: Tensor, length: int) -> Tensor:
        """Return the logits of positions, ``[..., num_interests]``, from their places in histories of a length."""
        if isinstance(self.position, Positions):
            x = x + F.embedding(place, self.position.first(length))
        return tanh_layers(x, self.hidden.weight, self.attention.weight)
