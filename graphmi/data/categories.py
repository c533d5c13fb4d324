"""Categories of items, several per item."""

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Categories"]


@dataclass(frozen=True, eq=False)
class Categories:
    """Which items belong to which categories; an item has none, one or several.

    A pair that is given several times counts once.

    Args:
        item: Item index of each pair, ``[num_pairs]`` int64.
        category: Index into ``names`` of each pair, ``[num_pairs]`` int64.
        names: Category names.

    Raises:
        ValueError: If the shapes differ or a category has no name.

    Example:
        >>> import torch
        >>> categories = Categories(torch.tensor([0, 1, 1]), torch.tensor([0, 0, 1]), ("action", "drama"))
        >>> categories.matrix(num_items=2)
        tensor([[1., 0.],
                [1., 1.]])
    """

    item: Tensor
    category: Tensor
    names: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.item.shape != self.category.shape or self.item.dim() != 1:
            shapes = f"{tuple(self.item.shape)} and {tuple(self.category.shape)}"
            raise ValueError(f"'item' and 'category' must be vectors of one length (got {shapes})")
        if len(self.category) and not 0 <= int(self.category.min()) <= int(self.category.max()) < len(self.names):
            raise ValueError(f"'category' must index the {len(self.names)} names (got {int(self.category.max())})")
        pair = torch.unique(self.item * max(len(self), 1) + self.category)
        if len(pair) < len(self.item):
            object.__setattr__(self, "item", pair // len(self))
            object.__setattr__(self, "category", pair % len(self))

    def __len__(self) -> int:
        return len(self.names)

    def __repr__(self) -> str:
        return f"Categories({len(self):,} names, {len(self.item):,} pairs)"

    def matrix(self, num_items: int) -> Tensor:
        """Return the multi-hot matrix, ``[num_items, num_categories]`` float32."""
        matrix = torch.zeros(num_items, len(self.names))
        matrix[self.item, self.category] = 1.0
        return matrix

    def lists(self, num_items: int) -> Tensor:
        """Return the categories of each item side by side, ``[num_items, most_categories]``, ``-1`` where no more."""
        from torch_geometric.utils import to_dense_batch  # as in graph.py: readers of files need not wait for it

        pair = torch.unique(self.item * len(self) + self.category)
        item, category = pair // len(self), pair % len(self)
        found: Tensor = to_dense_batch(category, item, fill_value=-1, batch_size=num_items)[0]
        return found

    def take(self, items: Tensor, num_items: int) -> "Categories":
        """Return the categories of ``items`` alone, renumbered to their positions in it.

        Args:
            items: Item indices to keep, ``[kept]`` int64.
            num_items: The number of items before.
        """
        position = torch.full((num_items,), -1).index_copy(0, items, torch.arange(len(items)))
        item = position[self.item]
        kept = item >= 0
        return Categories(item[kept], self.category[kept], self.names)
