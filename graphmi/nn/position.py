"""Learned positions of a history."""

import torch
from torch import Tensor, nn

from graphmi.ranges import at_least

__all__ = ["Positions"]


class Positions(nn.Module):
    """Adds a learned vector to each position, Glorot uniform at first.

    Args:
        max_length: Number of positions, at least 1.
        embedding_dim: Size of the vectors, at least 1.

    Shapes:
        - **input:** ``[batch, length, dim]``
        - **output:** ``[batch, length, dim]``

    Raises:
        ValueError: A number is below 1, or in use ``length`` exceeds ``max_length``.
    """

    def __init__(self, max_length: int, embedding_dim: int) -> None:
        super().__init__()
        at_least(1, max_length=max_length, embedding_dim=embedding_dim)
        self.weight = nn.Parameter(torch.empty(max_length, embedding_dim))
        nn.init.xavier_uniform_(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Return the vectors with those of their positions added."""
        return x + self.first(x.size(1))

    def first(self, length: int) -> Tensor:
        """Return the vectors of the first positions, ``[length, dim]``."""
        max_length = self.weight.size(0)
        if length > max_length:
            raise ValueError(f"the history has {length} positions, but 'max_length' is {max_length}")
        return self.weight[:length]
