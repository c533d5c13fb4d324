"""Drawn neighbourhoods as what layers propagate over, one adjacency per layer."""

from collections.abc import Sequence
from itertools import accumulate, pairwise

import torch
from torch import Tensor
from torch_geometric.data import HeteroData

from graphmi.edges import EDGE, REVERSE_EDGE
from graphmi.neighbors import Hop, Hops
from graphmi.nn.adjacency import Adjacency

__all__ = ["as_layers", "per_hop", "read_hops"]


def per_hop(num_neighbors: int | Sequence[int] | None, num_layers: int) -> list[int] | None:
    """Return how many neighbours a node draws in each hop, from one number for all or one for each.

    Raises:
        ValueError: If they are not one per layer, or one is out of its range.
    """
    if num_neighbors is None:
        return None
    numbers = [num_neighbors] * num_layers if isinstance(num_neighbors, int) else list(num_neighbors)
    if len(numbers) != num_layers or any(number < 1 and number != -1 for number in numbers):
        raise ValueError(
            f"'num_neighbors' must be one number or one for each of {num_layers} layers, each at least 1, or -1 for "
            f"all (got {num_neighbors})"
        )
    return numbers


def as_layers(adjacency: Adjacency, drawn: Hops, *, rescale: bool) -> list[Adjacency]:
    r"""Return the edges of each hop as the adjacency of a layer, the last hop first.

    Each leads from the first ``num_src`` of the drawn nodes to the first ``num_dst``. An edge keeps its weight in the
    whole graph, times :math:`d_v / n_v` where :math:`v` has :math:`d_v` neighbours and drew :math:`n_v`: then the
    expectation of the weighted sum over what was drawn is the sum over all neighbours.

    Args:
        adjacency: The whole graph.
        drawn: Nodes and hops drawn from it.
        rescale: Multiply as above; not for weights that are normalised over what was drawn.
    """
    layers = []
    for (entry, src, dst), (num_dst, num_src) in zip(drawn.hops, pairwise(drawn.num_nodes), strict=True):
        weight = adjacency.value[entry]
        if rescale:
            node = drawn.node[:num_dst]
            degree = adjacency.rowptr[node + 1] - adjacency.rowptr[node]
            weight = weight * (degree / dst.bincount(minlength=num_dst))[dst]
        layers.append(Adjacency.from_sorted(src, dst, weight, size=(num_src, num_dst)))
    return layers[::-1]


def read_hops(data: HeteroData, adjacency: Adjacency, num_users: int, num_hops: int) -> Hops:
    """Return what a PyG loader drew, in the numbers of one square matrix, users first.

    In PyG's samples a node draws once. A layer therefore takes the edges of its own hop and of those before.

    Args:
        data: A batch of a PyG loader, with ``num_sampled_nodes`` and ``num_sampled_edges``.
        adjacency: The whole graph; entries sorted by destination, then source.
        num_users: Users come first among its nodes.
        num_hops: Hops to read, as many as there are layers.

    Raises:
        ValueError: If there are fewer hops, or the sampler did not say how many nodes and edges each has.
    """
    counts = [data[kind].get("num_sampled_nodes") for kind in ("user", "item")]
    edge_counts = [data[kind].get("num_sampled_edges") for kind in (EDGE, REVERSE_EDGE)]
    if any(count is None for count in (*counts, *edge_counts)) or len(edge_counts[0]) < num_hops:
        raise ValueError(
            f"The model has {num_hops} layers and needs the nodes and edges of as many hops, with 'num_sampled_nodes' "
            f"and 'num_sampled_edges' as BipartiteNeighborSampler gives them (got {edge_counts[0]} edges to items)"
        )
    node = torch.cat([data["user"].n_id, data["item"].n_id + num_users])
    hop = torch.cat([torch.arange(len(count)).repeat_interleave(torch.tensor(count)) for count in counts])
    order = hop.argsort(stable=True).to(node.device)  # hop by hop, users first in each
    place = order.argsort()
    node = node[order]
    offset = len(data["user"].n_id)
    hops = []
    for depth in range(1, num_hops + 1):
        to_item, to_user = (
            data[kind].edge_index[:, : sum(count[:depth])]
            for kind, count in zip((EDGE, REVERSE_EDGE), edge_counts, strict=True)
        )
        src = place[torch.cat([to_item[0], to_user[0] + offset])]
        dst, by_dst = place[torch.cat([to_item[1] + offset, to_user[1]])].sort(stable=True)
        src = src[by_dst]
        hops.append(Hop(_find(adjacency, node[src], node[dst]), src, dst))
    num_nodes = [*accumulate(map(sum, zip(*counts, strict=True)))][: num_hops + 1]
    return Hops(node[: num_nodes[-1]], num_nodes, hops)


def _find(adjacency: Adjacency, src: Tensor, dst: Tensor) -> Tensor:
    """Return the position of each edge in ``adjacency.col``, ``[num]``, by bisecting the destination's entries."""
    low, high = adjacency.rowptr[dst].long(), adjacency.rowptr[dst + 1].long() - 1
    for _ in range(adjacency.num_edges.bit_length()):
        middle = (low + high).div(2, rounding_mode="floor")
        below = adjacency.col[middle] < src
        low, high = torch.where(below, middle + 1, low), torch.where(below, high, middle)
    return low
