"""A single interest: the last item of a history, or the mean of all."""

import torch.nn.functional as F
from torch import Tensor, nn

from graphmi.nn.extract.base import Extractor, Interests, linear_parts
from graphmi.ranges import at_least

__all__ = ["LastPosition", "MeanPooling", "last_position"]


class LastPosition(Extractor):
    """What stands at the last real position, as SASRec and GRU4Rec read their encoders.

    It has no routing weights.

    Args:
        embedding_dim: Not used.
        max_length: Not used.

    Example:
        >>> import torch
        >>> x, mask = torch.tensor([[[1.0], [2.0], [3.0]]]), torch.tensor([[True, True, False]])
        >>> LastPosition()(x, mask).interests
        tensor([[[2.]]])
    """

    num_interests = 1

    def __init__(self, embedding_dim: int = 0, max_length: int | None = None) -> None:
        super().__init__()

    def extract(self, x: Tensor, mask: Tensor) -> Interests:
        """Return the last real position of each history as its only interest."""
        return Interests(last_position(x, mask))

    def prefixes(self, x: Tensor, mask: Tensor, prefix: Tensor) -> Interests:
        """Return the positions named by ``prefix``."""
        return Interests(x.flatten(0, 1).index_select(0, prefix).unsqueeze(1))


class MeanPooling(Extractor):
    r"""The mean over the real positions, and if wanted a network on top of it.

    The user tower of YouTubeDNN (`Covington et al., RecSys 2016 <https://doi.org/10.1145/2959100.2959190>`_), without
    its features of users and contexts: the mean :math:`v` of what was watched, and where ``hidden_dim`` is given
    :math:`W_2 \operatorname{ReLU}(W_1 v + b_1) + b_2`, whose last layer is linear, so that it may point anywhere.

    Args:
        embedding_dim: Size of the vectors; needed where there is a network.
        max_length: Not used.
        hidden_dim: Hidden units of the network, at least 1; ``None``: the mean itself.

    Raises:
        ValueError: ``hidden_dim`` is below 1.

    Example:
        >>> import torch
        >>> x, mask = torch.tensor([[[1.0], [2.0], [3.0]]]), torch.tensor([[True, True, False]])
        >>> found = MeanPooling()(x, mask)
        >>> found.interests, found.routing
        (tensor([[[1.5000]]]), tensor([[[0.5000, 0.5000, 0.0000]]]))
    """

    num_interests = 1

    def __init__(self, embedding_dim: int = 0, max_length: int | None = None, hidden_dim: int | None = None) -> None:
        super().__init__()
        self.network = nn.Sequential()
        if hidden_dim is not None:
            at_least(1, embedding_dim=embedding_dim, hidden_dim=hidden_dim)
            self.network.extend([nn.Linear(embedding_dim, hidden_dim), nn.ReLU(), nn.Linear(hidden_dim, embedding_dim)])

    def extract(self, x: Tensor, mask: Tensor) -> Interests:
        """Return the mean and its weights, one over the number of real positions."""
        routing = _equal_shares(x, mask)
        return Interests(self.network(routing @ x) * routing.sum(-1, keepdim=True), routing)  # 0 for empty histories

    def contributions(self, x: Tensor, mask: Tensor) -> Tensor:
        """Return each position's part of the mean, or what the network makes of it."""
        parts = (_equal_shares(x, mask).transpose(1, 2) * x).unsqueeze(1)
        return linear_parts(self.network, parts)

    def prefixes(self, x: Tensor, mask: Tensor, prefix: Tensor) -> Interests:
        """Return the means of beginnings of histories by a running sum; their weights have no variance."""
        sums = x.cumsum(1).flatten(0, 1).index_select(0, prefix)  # [batch, dim]
        size = (prefix % x.size(1) + 1).unsqueeze(1).to(x)
        interests: Tensor = self.network(sums / size).unsqueeze(1)
        return Interests(interests, routing_variance=interests.new_zeros(prefix.numel(), 1))


def last_position(x: Tensor, mask: Tensor) -> Tensor:
    """Return the last real position of each history, ``[batch, 1, dim]``, 0 if it is empty."""
    x = F.pad(x, (0, 0, 1, 0))  # a position of zeros in front, where empty histories end
    return x.gather(1, mask.sum(1).view(-1, 1, 1).expand(-1, 1, x.size(-1)))


def _equal_shares(x: Tensor, mask: Tensor) -> Tensor:
    """Return one over the number of real positions, ``[batch, 1, length]``, 0 at padding."""
    real = mask.unsqueeze(1).to(x)
    return real / real.sum(-1, keepdim=True).clamp_min(1.0)
