"""The items that each user has in the training graph."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch_geometric.data import HeteroData

from graphmi.edges import user_item_edges
from graphmi.samplers.base import on_cpu, pick

__all__ = ["KnownItems"]

_MAX_TABLE = 64 * 1024 * 1024  # entries (bytes) of a table of users and items
_BIT = np.array([1, 2, 4, 8, 16, 32, 64, 128], dtype=np.uint8)


class KnownItems(nn.Module):
    """The items each user has in the training graph.

    Args:
        graph: The training graph.

    Attributes:
        num_items: Number of items.
        user: The user of each known pair, ``[num_pairs]``, sorted.
        item: The item of each known pair, ``[num_pairs]``, sorted within a user.
        rowptr: Where each user's pairs begin, ``[num_users + 1]``.
        table: Which items each user knows, ``[num_users, num_items]``; ``None`` where that is too large.
        bits: The same on the CPU, eight pairs in a byte, the first in its lowest bit.
    """

    user: Tensor
    item: Tensor
    rowptr: Tensor
    key: Tensor
    table: Tensor | None
    bits: NDArray[np.uint8] | None

    def __init__(self, graph: HeteroData) -> None:
        super().__init__()
        user, item = user_item_edges(graph).cpu().long()
        num_users, self.num_items = int(graph["user"].num_nodes), int(graph["item"].num_nodes)
        key = torch.unique(user * self.num_items + item)  # sorted by user, then item
        user, item = key // self.num_items, key % self.num_items
        degree = torch.bincount(user, minlength=num_users)
        self.max_degree = int(degree.max()) if num_users else 0
        table = None
        if num_users * self.num_items <= _MAX_TABLE:
            table = torch.zeros(num_users, self.num_items, dtype=torch.bool)
            table[user, item] = True
        self.bits = None if table is None else np.packbits(table.view(-1).numpy(), bitorder="little")
        sentinel = key.new_full((1,), torch.iinfo(key.dtype).max)
        self.register_buffer("user", user, persistent=False)
        self.register_buffer("item", item, persistent=False)
        self.register_buffer("rowptr", nn.functional.pad(degree.cumsum(0), (1, 0)), persistent=False)
        self.register_buffer("key", torch.cat([key, sentinel]), persistent=False)
        self.register_buffer("table", table, persistent=False)

    def contains(self, user: Tensor, item: Tensor) -> Tensor:
        """Tell which items ``[num]`` or ``[batch, num]`` the users ``[batch]`` know, ``[batch, num]``."""
        num = item.size(-1)
        if self.table is not None and self._whole(num):
            if item.dim() == 1 and on_cpu(item):  # in half of torch's time
                return torch.from_numpy(self.table.numpy().take(user.numpy(), 0).take(item.numpy(), 1))
            return self.table.index_select(0, user).gather(1, item.expand(user.numel(), num))
        item = item.expand(user.numel(), num)
        key = user.unsqueeze(-1) * self.num_items + item
        if self.table is not None:
            return pick(self.table.view(-1), key)
        return self.key[torch.searchsorted(self.key, key)] == key

    def pairs(self, user: NDArray[np.int64], item: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Tell which pairs of user and item are known, for few on the CPU: a table of bits stays in the caches."""
        return self._known(user * self.num_items + item)

    def among(
        self, user: NDArray[np.int64], num: int
    ) -> tuple[NDArray[np.int64], Callable[[NDArray[np.int64]], NDArray[np.bool_]]]:
        """Return where the items of each user begin, and a function that tells which places from there on are known.

        Args:
            user: User ids, ``[batch]``.
            num: About how many places of each user will be asked for: whole rows are copied for many.
        """
        assert self.table is not None  # noqa: S101 (for the type checker)
        if self._whole(num):
            return np.arange(len(user)) * self.num_items, self.table.numpy().take(user, 0).ravel().take
        return user * self.num_items, self._known

    def _whole(self, num: int) -> bool:
        return self.num_items <= 8 * num  # whole rows are no more bytes than ``num`` items

    def _known(self, place: NDArray[np.int64]) -> NDArray[np.bool_]:
        assert self.bits is not None  # noqa: S101 (for the type checker)
        return (self.bits.take(place >> 3) & _BIT.take(place & 7)).astype(bool)

    def rows(self, user: Tensor) -> Tensor:
        """Tell for all items at once which the users ``[batch]`` know, ``[batch, num_items]``."""
        if self.table is not None:
            return self.table.index_select(0, user)
        known = torch.zeros(user.numel(), self.num_items + 1, dtype=torch.bool, device=user.device)
        return known.scatter_(1, self.padded(user), True)[:, :-1]  # what pads goes to a column that is cut off

    def padded(self, user: Tensor) -> Tensor:
        """Return the items that the users ``[batch]`` know, ``[batch, max_degree]``, then ``num_items``."""
        offset = torch.arange(self.max_degree, device=user.device)
        start, end = self.rowptr[user].unsqueeze(-1), self.rowptr[user + 1].unsqueeze(-1)
        index = start + offset  # [batch, max_degree]
        item = self.item[index.clamp_max(self.item.numel() - 1)]
        return torch.where(index < end, item, self.num_items)
