"""Item vectors that a model computes where they are asked for."""

from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["Lookup"]


class Lookup:
    """A function of item ids as :class:`graphmi.typing.ItemTable`.

    Args:
        vectors: Gives the vectors ``[..., dim]`` of item ids ``[...]``.
        num_items: Number of items.
        device: Where ids lie.
    """

    def __init__(self, vectors: Callable[[Tensor], Tensor], num_items: int, device: torch.device) -> None:
        self.vectors, self.num_items, self.device = vectors, num_items, device

    def __getitem__(self, index: Tensor | slice) -> Tensor:
        """Return the vectors of these items, ``[..., dim]`` for ids of shape ``[...]``."""
        if isinstance(index, slice):
            index = torch.arange(*index.indices(self.num_items), device=self.device)
        return self.vectors(index)

    def __len__(self) -> int:
        """Return the number of items."""
        return self.num_items
