"""What graph models share: the user-item graph as one weighted adjacency."""

import torch
from torch import Tensor, nn
from torch_geometric.data import HeteroData

from graphmi.edges import user_item_edges
from graphmi.nn.adjacency import Adjacency
from graphmi.nn.conv import EdgeWeight

__all__ = ["EdgeBuffers", "require_users", "user_item_adjacency"]


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


def require_users(user: Tensor, num_users: int, least: int = 0) -> None:
    """Check that these are users, on the CPU: a wrong number would get the answer of an item, or of somebody else.

    Args:
        user: User ids.
        num_users: How many there are.
        least: The least number, -1 where that stands for a user who is not in the graph.

    Raises:
        ValueError: A number is that of no user.
    """
    if not user.is_cpu or torch.compiler.is_compiling() or not user.numel():
        return
    first, last = (int(end) for end in user.aminmax())
    if not least <= first <= last < num_users:
        wrong = first if first < least else last
        raise ValueError(
            f"the model has {num_users:,} users, and the batch one with the number {wrong:,}, counted from 0"
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
