"""The interface of samplers, and what they need to know of the training graph."""

from abc import ABC, abstractmethod

import torch
from torch import Generator, Tensor, nn
from torch_geometric.data import HeteroData

from graphmi.typing import Negatives

__all__ = ["KnownItems", "Sampler", "interactions", "item_degrees", "one_positive_each", "pick"]

EDGES = ("user", "interacts", "item")
_MAX_TABLE = 64 * 1024 * 1024  # entries (bytes) of a dense user-item table


class Sampler(nn.Module, ABC):
    """Draws negatives for the users and positives of a batch.

    A sampler knows the training graph only: ids, degrees and known items never come from validation or test.
    Its buffers follow ``.to(device)``, and nothing waits for the device.
    """

    @abstractmethod
    def forward(self, user: Tensor, positive: Tensor, generator: Generator | None = None) -> Negatives:
        """Return the :class:`~graphmi.typing.Negatives` of the batch.

        Args:
            user: User ids, ``[batch]``.
            positive: Item ids, ``[batch]``, or any number of them where users have several.
            generator: The source of randomness, on the device of ``user``.
        """

    @abstractmethod
    def log_prob(self, user: Tensor, item: Tensor) -> Tensor:
        """Return the log probability that one draw for a user is this item, of the shape of ``item``.

        Args:
            user: User ids, ``[batch]``.
            item: Item ids, ``[num]`` for samplers that share their negatives, or ``[batch, num]``. Items that the
                user knows get the value of the same formula, although a rejecting sampler never draws them.
        """


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
    table: Tensor | None

    def __init__(self, graph: HeteroData) -> None:
        super().__init__()
        user, item = interactions(graph).cpu().long()
        num_users, self.num_items = int(graph["user"].num_nodes), int(graph["item"].num_nodes)
        key = torch.unique(user * self.num_items + item)  # sorted by user, then item
        user, item = key // self.num_items, key % self.num_items
        degree = torch.bincount(user, minlength=num_users)
        self.max_degree = int(degree.max()) if num_users else 0
        table = None
        if num_users * self.num_items <= _MAX_TABLE:
            table = torch.zeros(num_users, self.num_items, dtype=torch.bool)
            table[user, item] = True
        sentinel = key.new_full((1,), torch.iinfo(key.dtype).max)
        self.register_buffer("user", user, persistent=False)
        self.register_buffer("item", item, persistent=False)
        self.register_buffer("rowptr", nn.functional.pad(degree.cumsum(0), (1, 0)), persistent=False)
        self.register_buffer("key", torch.cat([key, sentinel]), persistent=False)
        self.register_buffer("table", table, persistent=False)

    def contains(self, user: Tensor, item: Tensor) -> Tensor:
        """Tell which items ``[num]`` or ``[batch, num]`` the users ``[batch]`` know, ``[batch, num]``."""
        item = item.expand(user.numel(), item.size(-1))
        if self.table is not None and self.num_items <= 8 * item.size(1):  # whole rows are no more bytes than the items
            return self.table.index_select(0, user).gather(1, item)
        key = user.unsqueeze(-1) * self.num_items + item
        if self.table is not None:
            return pick(self.table.view(-1), key)
        return self.key[torch.searchsorted(self.key, key)] == key

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


def pick(values: Tensor, index: Tensor) -> Tensor:
    """Return ``values[index]`` of one dimension, which takes four times as long on the CPU."""
    return values.index_select(0, index.flatten()).view(index.shape)


def interactions(graph: HeteroData) -> Tensor:
    """Return user and item of each interaction of the training graph, ``[2, num_edges]``.

    Raises:
        ValueError: The graph has no such edges.
    """
    if EDGES not in graph.edge_types:
        raise ValueError(f"the graph must have edges {EDGES}, so name them like this (got {graph.edge_types})")
    edge_index: Tensor = graph[EDGES].edge_index
    return edge_index


def item_degrees(graph: HeteroData) -> Tensor:
    """Count the interactions of each item in the training graph, ``[num_items]``."""
    return torch.bincount(interactions(graph)[1].cpu(), minlength=int(graph["item"].num_nodes))


def one_positive_each(user: Tensor, positive: Tensor) -> None:
    """Check that a sampler that corrects the positive has one per user.

    Raises:
        ValueError: There is another number of positives, as in the batches of a ``UserLoader``.
    """
    if user.shape != positive.shape:
        raise ValueError(
            f"this sampler gives each positive its proposal probability and needs one positive per user (got "
            f"{positive.numel()} for {user.numel()} users): use UniformSampler or AllItemsSampler, or batches of pairs"
        )
