"""What is known of the items: how popular they were in training, and their categories."""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

__all__ = ["Catalogue"]


@dataclass(frozen=True, eq=False)
class Catalogue:
    """The items that can be recommended, from training interactions only.

    Args:
        popularity: Training interactions of each item, ``[num_items]``.
        category: Which items are in which categories, ``[num_items, num_categories]``, above 0 where they are; an item
            may be in several, or in none. ``None`` where there are no categories.

    Raises:
        ValueError: If there is no item, or the shapes differ.

    Example:
        >>> Catalogue(torch.tensor([5, 1]), torch.tensor([[1, 1], [0, 0]])).share
        tensor([[0.5000, 0.5000],
                [0.0000, 0.0000]])
    """

    popularity: Tensor
    category: Tensor | None = None

    def __post_init__(self) -> None:
        if self.popularity.dim() != 1 or not len(self.popularity):
            raise ValueError(f"'popularity' must be one number per item (got shape {list(self.popularity.shape)})")
        if self.category is not None and (self.category.dim() != 2 or len(self.category) != self.num_items):
            raise ValueError(
                f"'category' must be [{self.num_items}, num_categories] (got shape {list(self.category.shape)})"
            )

    @property
    def num_items(self) -> int:
        """The number of items."""
        return len(self.popularity)

    @cached_property
    def share(self) -> Tensor | None:
        """The share of each category in each item, ``[num_items, num_categories]`` float32; 0 for items in none."""
        if self.category is None:
            return None
        member = (self.category > 0).float()
        return member / member.sum(dim=1, keepdim=True).clamp(min=1.0)

    @cached_property
    def information(self) -> Tensor:
        """The self-information of each item in bits, ``[num_items]`` float32; see :func:`novelty`."""
        count = self.popularity.clamp(min=1).double()
        return (self.popularity.double().sum().clamp(min=1.0) / count).log2().float()

    def to(self, device: torch.device | str) -> "Catalogue":
        """Return the same catalogue on this device."""
        return Catalogue(self.popularity.to(device), None if self.category is None else self.category.to(device))
