"""What graph models share: the user-item graph as one weighted adjacency."""

import torch
from torch import Tensor, nn
from torch_geometric.data import HeteroData

from graphmi.nn.adjacency import Adjacency
from graphmi.nn.conv import EdgeWeight

__all__ = ["EdgeBuffers", "require_users", "user_item_adjacency", "user_item_edges"]

_EDGES = ("user", "interacts", "item")


def user_item_edges(graph: HeteroData) -> Tensor:
    """Return user and item of each edge of the user-item graph, ``[2, num_edges]``.

    Args:
        graph: Has nodes ``user`` and ``item`` and edges ``('user', 'interacts', 'item')``.

    Raises:
        ValueError: If the graph has no such edges, or one of them names a user or item that it does not have.
    """
    if _EDGES not in graph.edge_types:
        raise ValueError(f"the graph must have edges {_EDGES}, so name them like this (got {graph.edge_types})")
    edges: Tensor = graph[_EDGES].edge_index
    for kind, index in zip(("user", "item"), edges, strict=True):
        size = int(graph[kind].num_nodes)
        if index.numel() and not 0 <= int(index.min()) <= int(index.max()) < size:
            got = f"{int(index.min()):,} to {int(index.max()):,}"
            raise ValueError(f"the edges of the graph must name each {kind} by a number in [0, {size:,}) (got {got})")
    return edges


def user_item_adjacency(graph: HeteroData, weight: EdgeWeight) -> Adjacency:
    """Both directions of the user-item graph as one square matrix, users first.

    Args:
        graph: As in :func:`user_item_edges`.
        weight: The backbone's edge weight, called once for each direction.

    Raises:
        ValueError: As :func:`user_item_edges`.
    """
    num_users, num_items = int(graph["user"].num_nodes), int(graph["item"].num_nodes)
    to_item = user_item_edges(graph)
    to_user = to_item.flip(0)
    edge_weight = torch.cat([weight(to_item, (num_users, num_items)), weight(to_user, (num_items, num_users))])
    offset = to_item.new_tensor([[0], [num_users]])
    edge_index = torch.cat([to_item + offset, to_user + offset.flip(0)], dim=1)
    num_nodes = num_users + num_items
    return Adjacency.from_edge_index(edge_index, edge_weight, size=(num_nodes, num_nodes))


def require_users(user: Tensor, num_users: int) -> None:
    """Check that these are users, on the CPU: items have the numbers after them, and would answer for them.

    Raises:
        ValueError: A number is that of no user.
    """
    if user.is_cpu and not torch.compiler.is_compiling() and user.numel() and (last := int(user.max())) >= num_users:
        raise ValueError(
            f"the model has {num_users:,} users, and the batch one with the number {last:,}, counted from 0"
        )


class EdgeBuffers(nn.Module):
    """An adjacency that moves with its model and is rebuilt from the graph, not saved."""

    def __init__(self, adjacency: Adjacency) -> None:
        super().__init__()
        for name in Adjacency.__slots__:
            self.register_buffer(name, getattr(adjacency, name), persistent=False)

    def forward(self) -> Adjacency:
        """Return the adjacency on the device of the model."""
        return Adjacency(*(self.get_buffer(name) for name in Adjacency.__slots__))
