"""Self-attention whose interests live in dimensions of their own, so that they cannot become copies."""

import torch
from torch import Tensor

from graphmi.nn import Interests, SelfAttentiveExtractor


class OwnDimensions(SelfAttentiveExtractor):
    r"""Self-attentive interests of which each keeps a block of the dimensions, and is 0 in the others.

    Interest :math:`k` meets only block :math:`k` of an item's vector, as if items had a vector for each interest. Added
    up, the interests are one vector; the best of them is what :class:`graphmi.nn.LogSumExpReadout` trains. Models that
    are trained apart (``apart.py``) are put together in the same way. graphmi's own.

    Args:
        embedding_dim: Size of the vectors, a multiple of ``num_interests``.
        max_length: Number of positions, at least 1; ``None``: no positions, and sets of any size.
        num_interests: At least 1.

    Raises:
        ValueError: The dimensions cannot be shared out alike, or an argument is out of range.
    """

    def __init__(self, embedding_dim: int, max_length: int | None = None, num_interests: int = 4) -> None:
        super().__init__(embedding_dim, max_length, num_interests)
        if embedding_dim % num_interests:
            raise ValueError(
                f"'embedding_dim' must be a multiple of 'num_interests', {num_interests} (got {embedding_dim})"
            )
        own = torch.eye(num_interests).repeat_interleave(embedding_dim // num_interests, 1)
        self.register_buffer("own", own, persistent=False)  # [num_interests, embedding_dim]

    def extract(self, x: Tensor, mask: Tensor) -> Interests:
        """Return the interests and their routing weights."""
        return self._kept(super().extract(x, mask))

    def prefixes(self, x: Tensor, mask: Tensor, prefix: Tensor) -> Interests:
        """Return the interests of beginnings of histories and their routing variance."""
        return self._kept(super().prefixes(x, mask, prefix))

    def contributions(self, x: Tensor, mask: Tensor) -> Tensor:
        """Return what positions add to each interest in its dimensions."""
        return super().contributions(x, mask) * self.get_buffer("own").unsqueeze(1)

    def _kept(self, found: Interests) -> Interests:
        return found._replace(interests=found.interests * self.get_buffer("own"))
