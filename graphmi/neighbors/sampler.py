"""PyG's sampler interface over drawn neighbourhoods of a bipartite graph."""

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import torch
from torch import Generator, Tensor
from torch_geometric.data import HeteroData
from torch_geometric.sampler import (
    BaseSampler,
    EdgeSamplerInput,
    HeteroSamplerOutput,
    NegativeSampling,
    NodeSamplerInput,
)
from torch_geometric.sampler.neighbor_sampler import edge_sample, node_sample
from torch_geometric.typing import EdgeType

from graphmi.neighbors.hops import Hops, sample_hops

__all__ = ["BipartiteNeighborSampler"]


class BipartiteNeighborSampler(BaseSampler):  # type: ignore[misc]  # PyG is untyped here
    """Draws neighbourhoods for PyG's ``NodeLoader`` and ``LinkLoader``, without pyg-lib or torch-sparse.

    The result is what PyG's own ``NeighborSampler`` gives with ``subgraph_type="directional"``: every node is there
    once and draws once, in the hop after the one that found it. Both edge types are in it. Messages to items go along
    ``edge_type`` and messages to users along ``rev_edge_type``, so an edge that a user drew is one of ``rev_edge_type``
    alone; with ``num_neighbors=[-1, ...]`` a hop has all edges into its nodes.

    Neighbours are drawn where the edges lie, on the CPU or a GPU; see :func:`draw_neighbors` for the law and its cost.
    Negatives are PyG's: from torch's own generator, uniform or by weight, known positives among them.

    Args:
        data: The training graph with edges in both directions, as :func:`graphmi.data.to_graph` or PyG's
            ``T.ToUndirected`` makes it. Nodes and edges of further types are never drawn: batches have none of them.
        num_neighbors: Neighbours per node in each hop, at least 1 or -1 for all.
        replace: Draw with replacement.
        generator: Source of the neighbours, on the device of the edges; torch's own unless given. Worker processes
            would all have the same, so leave it out with ``num_workers`` above 0.
        edge_type: Edges from one node type to the other.
        rev_edge_type: The same edges the other way round, in any order.

    Raises:
        ValueError: If the graph is homogeneous, an edge type is missing or ``num_neighbors`` is out of its range.

    Example:
        >>> from torch_geometric.loader import NodeLoader
        >>> from graphmi.data import planted, to_graph
        >>> graph = to_graph(planted(num_users=60, num_items=80, interactions_per_user=10))
        >>> loader = NodeLoader(graph, BipartiteNeighborSampler(graph, [5, 3]), "user", batch_size=16)
        >>> data = next(iter(loader))
        >>> data["user"].batch_size, data["item", "rev_interacts", "user"].num_sampled_edges
        (16, [80, 0])
    """

    def __init__(
        self,
        data: HeteroData,
        num_neighbors: Sequence[int],
        *,
        replace: bool = False,
        generator: Generator | None = None,
        edge_type: EdgeType = ("user", "interacts", "item"),
        rev_edge_type: EdgeType = ("item", "rev_interacts", "user"),
    ) -> None:
        if not isinstance(data, HeteroData):
            raise ValueError(f"the graph must be HeteroData of two kinds of nodes (got a {type(data).__name__})")
        if missing := {edge_type, rev_edge_type} - set(data.edge_types):
            raise ValueError(f"The graph has no edges {sorted(missing)}: PyG's transform ToUndirected adds a direction")
        if wrong := [num for num in num_neighbors if num < 1 and num != -1]:
            raise ValueError(f"'num_neighbors' must be at least 1, or -1 for all (got {wrong[0]})")
        self.num_neighbors, self.replace, self.generator = list(num_neighbors), replace, generator
        self.edge_type, self.rev_edge_type = edge_type, rev_edge_type
        self.num_nodes = {kind: int(data[kind].num_nodes) for kind in (edge_type[0], edge_type[2])}
        # One square matrix, users first: of every node, the edges that lead to it.
        to_user, to_item = (_by_destination(data[kind].edge_index) for kind in (rev_edge_type, edge_type))
        num_users, num_items = self.num_nodes.values()
        count = [part[1].bincount(minlength=num) for part, num in ((to_user, num_users), (to_item, num_items))]
        self.rowptr = torch.nn.functional.pad(torch.cat(count).cumsum(0), (1, 0))
        self.col = torch.cat([to_user[0] + num_users, to_item[0]])
        self.edge = torch.cat([to_user[2], to_item[2]])  # position of each entry among the edges of its type

    def sample_from_nodes(self, index: NodeSamplerInput, **kwargs: Any) -> HeteroSamplerOutput:
        """Return the neighbourhood of nodes."""
        return self._with_metadata(node_sample(index, self._sample))

    def sample_from_edges(
        self, index: EdgeSamplerInput, neg_sampling: NegativeSampling | None = None
    ) -> HeteroSamplerOutput:
        """Return the neighbourhood of the ends of edges, and of negatives."""
        return self._with_metadata(
            edge_sample(index, self._sample, self.num_nodes, disjoint=False, neg_sampling=neg_sampling)
        )

    def _sample(self, seed: dict[str, Tensor], seed_time: dict[str, Tensor] | None = None) -> HeteroSamplerOutput:
        if seed_time is not None:
            raise ValueError("BipartiteNeighborSampler knows no time (got one for the seeds)")
        (user, num_users), (item, _) = self.num_nodes.items()
        empty = self.rowptr[:0]
        users, items = (seed.get(kind, empty).to(empty) for kind in (user, item))
        seeds = torch.cat([users, items + num_users])
        return self._by_type(
            sample_hops(
                self.rowptr,
                self.col,
                seeds,
                self.num_neighbors,
                replace=self.replace,
                generator=self.generator,
            )
        )

    def _by_type(self, drawn: Hops) -> HeteroSamplerOutput:
        """Number users and items on their own, and part edges by where they lead."""
        (user, num_users), (item, _) = self.num_nodes.items()
        node, num_nodes, hops = drawn
        is_user = node < num_users
        local = torch.where(is_user, is_user.cumsum(0), (~is_user).cumsum(0)) - 1
        empty = node[:0]
        entry, src, dst = (torch.cat([empty, *(hop[part] for hop in hops)]) for part in range(3))
        to_user = is_user[dst]
        kinds = {self.rev_edge_type: to_user, self.edge_type: ~to_user}
        num_edges = [*accumulate(len(hop.src) for hop in hops)]
        return HeteroSamplerOutput(
            node={user: node[is_user], item: node[~is_user] - num_users},
            row={kind: local[src[mask]] for kind, mask in kinds.items()},
            col={kind: local[dst[mask]] for kind, mask in kinds.items()},
            edge={kind: self.edge[entry[mask]] for kind, mask in kinds.items()},
            num_sampled_nodes={user: _counts(is_user, num_nodes), item: _counts(~is_user, num_nodes)},
            num_sampled_edges={kind: _counts(mask, num_edges) for kind, mask in kinds.items()},
        )

    def _with_metadata(self, out: HeteroSamplerOutput) -> HeteroSamplerOutput:
        """Bring what PyG says of the seeds to the device of the sample."""
        out.metadata = tuple(part if part is None else part.to(self.rowptr.device) for part in out.metadata)
        return out


def _by_destination(edge_index: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return source, destination and position of the edges, sorted by destination."""
    order = edge_index[1].argsort(stable=True)
    return edge_index[0][order], edge_index[1][order], order


def _counts(mask: Tensor, ends: list[int]) -> list[int]:
    """Count what is True in parts that end at these positions."""
    total = torch.nn.functional.pad(mask.cumsum(0), (1, 0)).cpu()
    counts: list[int] = total[[0, *ends]].diff().tolist()
    return counts
