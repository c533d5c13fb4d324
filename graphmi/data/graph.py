"""Interactions as a PyG ``HeteroData`` and back."""

from typing import TYPE_CHECKING

import polars as pl
import torch
from torch import Tensor

from graphmi.data.categories import Categories
from graphmi.data.clean import clean_time, clean_weight
from graphmi.data.errors import DataError
from graphmi.data.interactions import Interactions
from graphmi.data.vocabulary import Vocabulary
from graphmi.edges import EDGE, REVERSE_EDGE
from graphmi.sorting import sort_rows

if TYPE_CHECKING:
    from torch_geometric.data import HeteroData

__all__ = ["from_graph", "to_graph"]

_MAX_DENSE_CATEGORIES = 50_000_000  # numbers, 200 MB


def to_graph(interactions: Interactions) -> "HeteroData":
    """Return the bipartite graph of the interactions.

    Edges are distinct and sorted by user, then item; the reverse edges by item, then user. Of repeated pairs
    the earliest row counts. The edges carry ``time`` and ``weight`` and the items ``category`` (multi-hot
    float32 ``[num_items, num_categories]``, left out beyond 50 million numbers), ``category_names`` and ``x`` (their
    vectors, float32 ``[num_items, size]``) where they are known.
    """
    from torch_geometric.data import HeteroData  # two seconds that readers of files need not wait

    edges = interactions.take(interactions.distinct_rows())
    reverse = sort_rows(edges.item)[1]
    data = HeteroData()
    data["user"].num_nodes = interactions.num_users
    data["item"].num_nodes = interactions.num_items
    data[EDGE].edge_index = torch.stack([edges.user, edges.item])  # [2, num_edges]
    data[REVERSE_EDGE].edge_index = torch.stack([edges.item[reverse], edges.user[reverse]])
    for name, values in (("time", edges.time), ("weight", edges.weight)):
        if values is not None:
            data[EDGE][name], data[REVERSE_EDGE][name] = values, values[reverse]
    categories = interactions.categories
    if categories is not None and len(categories) * interactions.num_items <= _MAX_DENSE_CATEGORIES:
        data["item"].category = categories.matrix(interactions.num_items)
        data["item"].category_names = list(categories.names)
    if interactions.vectors is not None:
        data["item"].x = interactions.vectors
    return data


def from_graph(data: "HeteroData") -> Interactions:
    """Return the interactions of a graph, see :meth:`Interactions.from_hetero`."""
    if EDGE not in data.edge_types or "edge_index" not in data[EDGE]:
        found = ", ".join(map(str, data.edge_types)) or "none"
        raise DataError(f"the graph has no edges {EDGE} (found: {found}); rename the edge type")
    store = data[EDGE]
    user, item = store.edge_index.cpu()
    time, weight = (_attribute(store.get(name)) for name in ("time", "weight"))
    interactions = Interactions(
        user=user,
        item=item,
        users=_node_numbers(data, "user", user),
        items=_node_numbers(data, "item", item),
        time=None if time is None else clean_time(time, "edge attribute 'time'").to_torch(),
        weight=None if weight is None else clean_weight(weight, "edge attribute 'weight'").to_torch(),
        categories=_categories(data),
    )
    if (x := data["item"].get("x")) is None:
        return interactions
    return interactions.with_vectors(interactions.items.ids, x)


def _attribute(values: Tensor | None) -> pl.Series | None:
    return None if values is None else pl.Series(values.reshape(-1).cpu().numpy())


def _node_numbers(data: "HeteroData", kind: str, index: Tensor) -> Vocabulary:
    num_nodes = data[kind].num_nodes
    if num_nodes is None:
        num_nodes = int(index.max()) + 1 if len(index) else 0
    if len(index) and not 0 <= int(index.min()) <= int(index.max()) < num_nodes:
        raise DataError(f"edges name {kind} {int(index.max())}, but the graph has {num_nodes} {kind} nodes")
    return Vocabulary(pl.int_range(num_nodes, dtype=pl.Int64, eager=True))


def _categories(data: "HeteroData") -> Categories | None:
    matrix = data["item"].get("category")
    if matrix is None:
        return None
    item, category = matrix.cpu().nonzero(as_tuple=True)
    names = data["item"].get("category_names") or [str(index) for index in range(matrix.size(1))]
    return Categories(item, category, tuple(names))
