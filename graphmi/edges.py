"""The edges of a user-item graph, which many parts read."""

from typing import TYPE_CHECKING

from torch import Tensor

if TYPE_CHECKING:
    from torch_geometric.data import HeteroData

__all__ = ["EDGE", "REVERSE_EDGE", "user_item_edges"]

EDGE = ("user", "interacts", "item")
REVERSE_EDGE = ("item", "rev_interacts", "user")


def user_item_edges(graph: "HeteroData") -> Tensor:
    """Return user and item of each edge of the user-item graph, ``[2, num_edges]``.

    Args:
        graph: Has nodes ``user`` and ``item`` and edges ``('user', 'interacts', 'item')``.

    Raises:
        ValueError: If the graph has no such edges, they have another shape, or one of them names a user or item that it
            does not have.
    """
    if EDGE not in graph.edge_types:
        raise ValueError(f"the graph must have edges {EDGE}, so name them like this (got {graph.edge_types})")
    edges: Tensor = graph[EDGE].edge_index
    if edges.dim() != 2 or len(edges) != 2:
        raise ValueError(f"the edges of the graph must be [2, num_edges], users above items (got {list(edges.shape)})")
    for kind, index in zip(("user", "item"), edges, strict=True):
        size = int(graph[kind].num_nodes)
        if index.numel() and not 0 <= int(index.min()) <= int(index.max()) < size:
            got = f"{int(index.min()):,} to {int(index.max()):,}"
            raise ValueError(f"the edges of the graph must name each {kind} by a number in [0, {size:,}) (got {got})")
    return edges
