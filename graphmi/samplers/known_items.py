"""The items that each user has in the training graph."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch_geometric.data import HeteroData

from graphmi.samplers.base import interactions, on_cpu, pick

__all__ = ["KnownItems"]

_Ids = NDArray[np.int64]
_MAX_TABLE = 64 * 1024 * 1024  # bytes of a table with one bit for each user and item
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
    """

    user: Tensor
    item: Tensor
    rowptr: Tensor
    key: Tensor
    bits: Tensor | None

    def __init__(self, graph: HeteroData) -> None:
        super().__init__()
        user, item = interactions(graph).cpu().long()
        num_users, self.num_items = int(graph["user"].num_nodes), int(graph["item"].num_nodes)
        key = torch.unique(user * self.num_items + item)  # sorted by user, then item
        user, item = key // self.num_items, key % self.num_items
        degree = torch.bincount(user, minlength=num_users)
        self.max_degree = int(degree.max()) if num_users else 0
        bits, width = None, -(-self.num_items // 8)
        if num_users * width <= _MAX_TABLE:
            bits = torch.zeros(num_users * width, dtype=torch.uint8)
            bits = bits.index_add_(0, user * width + item // 8, (1 << item % 8).byte()).view(num_users, width)
        sentinel = key.new_full((1,), torch.iinfo(key.dtype).max)
        self.register_buffer("user", user, persistent=False)
        self.register_buffer("item", item, persistent=False)
        self.register_buffer("rowptr", nn.functional.pad(degree.cumsum(0), (1, 0)), persistent=False)
        self.register_buffer("key", torch.cat([key, sentinel]), persistent=False)
        self.register_buffer("bits", bits, persistent=False)

    def contains(self, user: Tensor, item: Tensor) -> Tensor:
        """Tell which items ``[num]`` or ``[batch, num]`` the users ``[batch]`` know, ``[batch, num]``."""
        item = item.expand(user.numel(), item.size(-1))
        if self.bits is None:
            key = user.unsqueeze(-1) * self.num_items + item
            return self.key[torch.searchsorted(self.key, key)] == key
        if self.num_items <= 16 * item.size(1):  # whole rows take less time
            return self.rows(user).gather(1, item)
        user = user.unsqueeze(-1)
        if on_cpu(user):
            return torch.from_numpy(self.lookup()(user.numpy(), item.numpy()))
        byte = pick(self.bits.view(-1), user * self.bits.size(1) + (item >> 3))
        return (byte >> (item & 7).byte() & 1).bool()

    def lookup(self) -> Callable[[_Ids, _Ids], NDArray[np.bool_]]:
        """Return a function that tells of users and items on the CPU whether they are known pairs, by the table."""
        assert self.bits is not None  # noqa: S101 (for the type checker)
        width, bits = 8 * self.bits.size(1), self.bits.view(-1).numpy()

        def known(user: _Ids, item: _Ids) -> NDArray[np.bool_]:
            place = user * width + item
            return (bits.take(place >> 3) & _BIT.take(place & 7)).astype(bool)

        return known

    def rows(self, user: Tensor) -> Tensor:
        """Tell for all items at once which the users ``[batch]`` know, ``[batch, num_items]``."""
        if self.bits is None:
            known = torch.zeros(user.numel(), self.num_items + 1, dtype=torch.bool, device=user.device)
            return known.scatter_(1, self.padded(user), True)[:, :-1]  # what pads goes to a column that is cut off
        row = self.bits.index_select(0, user)
        if on_cpu(user):
            flags = np.unpackbits(row.numpy(), axis=1, count=self.num_items, bitorder="little")
            return torch.from_numpy(flags.view(np.bool_))
        number = torch.arange(8, dtype=torch.uint8, device=user.device)
        return (row.unsqueeze(-1) >> number & 1).bool().flatten(1)[:, : self.num_items]

    def padded(self, user: Tensor) -> Tensor:
        """Return the items that the users ``[batch]`` know, ``[batch, max_degree]``, then ``num_items``."""
        offset = torch.arange(self.max_degree, device=user.device)
        start, end = self.rowptr[user].unsqueeze(-1), self.rowptr[user + 1].unsqueeze(-1)
        index = start + offset  # [batch, max_degree]
        item = self.item[index.clamp_max(self.item.numel() - 1)]
        return torch.where(index < end, item, self.num_items)
