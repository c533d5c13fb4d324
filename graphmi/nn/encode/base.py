"""The interface of encoders, and the one that does nothing."""

from abc import ABC, abstractmethod

from torch import Tensor, nn

__all__ = ["Encoder", "IdentityEncoder"]


class Encoder(nn.Module, ABC):
    """Lets the items of a history know of those before them.

    Encoders are causal: what comes out at a position depends on that position and earlier ones only. So one pass
    serves every prefix of a history, and padding, which comes last, changes nothing before it. Any encoder is made
    from the two numbers ``(embedding_dim, max_length)`` and options of its own.

    Shapes:
        - x: ``[batch, length, dim]``, 0 at padding
        - mask: ``[batch, length]`` bool, True where the history is real; real positions come first
        - output: ``[batch, length, dim]``; finite, but without meaning at padding
    """

    @abstractmethod
    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Return the encoded history, ``[batch, length, dim]``."""


class IdentityEncoder(Encoder):
    """Leaves the items as they are, as ComiRec and MIND do.

    Args:
        embedding_dim: Not used.
        max_length: Not used.

    Example:
        >>> import torch
        >>> x, mask = torch.randn(2, 5, 8), torch.ones(2, 5, dtype=torch.bool)
        >>> IdentityEncoder()(x, mask) is x
        True
    """

    def __init__(self, embedding_dim: int = 0, max_length: int | None = None) -> None:
        super().__init__()

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Return the same tensor."""
        return x
