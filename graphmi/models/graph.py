"""What models read of the graph: both directions as one weighted adjacency, and what is known of the items."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch_geometric.data import HeteroData

from graphmi.edges import user_item_edges
from graphmi.nn.adjacency import Adjacency
from graphmi.nn.conv import EdgeWeight
from graphmi.nn.item_tower import Tower

__all__ = ["EdgeBuffers", "item_features", "require_users", "tower_over", "user_item_adjacency"]


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


def item_features(graph: HeteroData) -> Tensor | None:
    """Return the categories and vectors of the items side by side, ``[num_items, num_features]``; ``None`` without.

    Categories, ``graph["item"].category``, are as they are. Vectors, ``graph["item"].x``, are brought to mean 0 and a
    mean squared length of 1 over the items that have one; zeros stand for none and stay zeros.

    Raises:
        ValueError: If they are not a row per item.
    """
    found = {name: graph["item"][name] for name in ("category", "x") if name in graph["item"]}
    num_items = int(graph["item"].num_nodes)
    for name, part in found.items():
        if (part.dim(), len(part)) != (2, num_items):
            raise ValueError(f"graph['item'].{name} must be [{num_items}, size] (got {list(part.shape)})")
    if "x" in found:
        x = found["x"].float()
        known = x.any(1, keepdim=True)
        number = known.sum().clamp_min(1)
        x = (x - (x.sum(0, dtype=torch.float64) / number).float()) * known
        length = torch.linalg.vector_norm(x, dtype=torch.float64) / number.sqrt()  # float32 has no squares of 1e20
        found["x"] = x / length.clamp_min(torch.finfo(x.dtype).tiny)
    return torch.cat(list(found.values()), dim=1) if found else None


def tower_over(
    graph: HeteroData, make: Callable[[int, int], Tower] | None, embedding_dim: int
) -> tuple[Tower | None, Tensor | None]:
    """Return a tower for the items of a graph and their features, or ``None`` twice where none is made."""
    if make is None:
        return None, None
    features = item_features(graph)
    return make(embedding_dim, 0 if features is None else features.size(1)), features


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
