"""The latest positions of a history, each an interest."""

import torch
import torch.nn.functional as F
from torch import Tensor

from graphmi.nn.extract.base import Extractor, Interests
from graphmi.ranges import at_least

__all__ = ["RecentPositions"]


class RecentPositions(Extractor):
    r"""What stands at the last real positions, an interest each: :math:`V_k = h_{n - k + 1}`, :math:`k = 1, \dots, K`.

    graphmi's own, for causal encoders: what the encoder expected next at each of the latest moments. A history of
    :math:`n` items has :math:`\min(n, K)` interests, the others are inactive, and an empty one has a single interest
    of zeros. Nothing is added to learn, and all prefixes together cost no more than the encoder. With one interest it
    is :class:`LastPosition`. It has no routing weights.

    Args:
        embedding_dim: Not used.
        max_length: Not used.
        num_interests: Positions that are read, at least 1.

    Shapes:
        - **input:** histories ``[batch, length, dim]`` with a mask ``[batch, length]``
        - **output:** ``interests [batch, num_interests, dim]``, the latest first, and their ``interest_mask``

    Raises:
        ValueError: ``num_interests`` is below 1.

    Example:
        >>> import torch
        >>> x, mask = torch.tensor([[[1.0], [2.0], [3.0]]]), torch.tensor([[True, True, False]])
        >>> found = RecentPositions(num_interests=3)(x, mask)
        >>> found.interests.flatten(), found.interest_mask
        (tensor([2., 1., 0.]), tensor([[ True,  True, False]]))
    """

    def __init__(self, embedding_dim: int = 0, max_length: int | None = None, num_interests: int = 4) -> None:
        super().__init__()
        at_least(1, num_interests=num_interests)
        self.num_interests = num_interests

    def extract(self, x: Tensor, mask: Tensor) -> Interests:
        """Return the last real positions of each history."""
        x = F.pad(x, (0, 0, 1, 0))  # a position of zeros in front, for what is before the beginning
        place = mask.sum(1, keepdim=True) - self._back(x)  # [batch, num_interests]
        index = place.clamp_min(0).unsqueeze(-1).expand(-1, -1, x.size(-1))
        return Interests(x.gather(1, index), interest_mask=self._active(place > 0))

    def prefixes(self, x: Tensor, mask: Tensor, prefix: Tensor) -> Interests:
        """Return the positions named by ``prefix`` and those before them."""
        back = self._back(x)
        real = (prefix % x.size(1)).unsqueeze(1) >= back  # [batch, num_interests]
        index = prefix.unsqueeze(1) - back.where(real, 0)
        found = x.flatten(0, 1).index_select(0, index.flatten()).view(*index.shape, x.size(-1))
        return Interests(found * real.unsqueeze(-1), interest_mask=self._active(real))

    def _back(self, x: Tensor) -> Tensor:
        return torch.arange(self.num_interests, device=x.device)

    def _active(self, real: Tensor) -> Tensor:
        """Return which interests are active: those of real positions, and the first one always."""
        return real | (self._back(real) == 0)

    def extra_repr(self) -> str:
        """Show the arguments when printed."""
        return f"num_interests={self.num_interests}"
