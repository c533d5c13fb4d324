"""The items that may be recommended, and their places in an index that has no others."""

import torch
from torch import Tensor
from torch.nn.functional import pad

from graphmi.data import Interactions
from graphmi.data.vocabulary import Values
from graphmi.typing import ItemTable

__all__ = ["AllowedItems"]


class AllowedItems:
    """The items that may be recommended; an index of them alone has them in the order of the data.

    Args:
        interactions: The data, with the ids.
        among: Ids of the only items that may be recommended; all when omitted.
        without: Ids of items that may not.
        device: Where the model is.

    Raises:
        ValueError: If no item is left.
        DataError: If an item is unknown, or a single id is given for a list of them.
    """

    def __init__(
        self, interactions: Interactions, among: Values | None, without: Values, device: torch.device | str
    ) -> None:
        excluded = interactions.items.encode(without)
        self._items: Tensor | None = None  # ascending; None for all
        if among is None and not len(excluded):
            return
        allowed = torch.full((interactions.num_items,), among is None)
        if among is not None:
            allowed[interactions.items.encode(among)] = True
        allowed[excluded] = False
        if not allowed.any():
            raise ValueError("'among' and 'without' leave no item to recommend")
        self._items = allowed.nonzero().squeeze(1).to(device)

    def vectors(self, items: Tensor | ItemTable) -> Tensor | ItemTable:
        """Return the vectors to make an index of, from those of all items."""
        return items if self._items is None else items[self._items]

    def places(self, rowptr: Tensor, item: Tensor) -> tuple[Tensor, Tensor]:
        """Return where items in compressed rows are in the index; those that it does not have are left out."""
        if self._items is None:
            return rowptr, item
        place = torch.searchsorted(self._items, item).clamp(max=len(self._items) - 1)
        kept = self._items[place] == item
        return pad(kept.cumsum(0), (1, 0))[rowptr], place[kept]

    def at(self, place: Tensor) -> Tensor:
        """Return the items at these places of the index, ``-1`` at ``-1``."""
        return place if self._items is None else self._items[place].masked_fill(place < 0, -1)
