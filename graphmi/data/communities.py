"""Communities of items that the same users met, where the data has no categories."""

import networkx as nx
import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from graphmi.data.categories import Categories
from graphmi.data.interactions import Interactions

__all__ = ["item_communities"]

_BLOCK = 1024  # items whose co-occurrences are held at once


def item_communities(
    train: Interactions,
    *,
    num_neighbors: int = 20,
    max_history: int = 500,
    resolution: float = 1.0,
    seed: int = 0,
) -> Categories:
    r"""Return one label per item that shares a user with another item.

    Items are linked by the cosine of their users,

    .. math::
        w_{ij} = \frac{\sum_u b_{ui} b_{uj}}{\sqrt{\sum_u b_{ui} \sum_u b_{uj}}}

    Args:
        train: Training interactions; repeated pairs count once.
        num_neighbors: Links that each item chooses, at least 1.
        max_history: Items of one user that count, at least 2.
        resolution: Above 1 for more and smaller communities, above 0.
        seed: Seed of Louvain and of the choice from long histories.
    """
    graph = _graph(_strongest(_incidence(train, max_history, seed), num_neighbors))
    found = nx.community.louvain_communities(graph, resolution=resolution, seed=seed)
    members = sorted((sorted(community) for community in found), key=lambda items: (-len(items), items[0]))
    label = [torch.full((len(items),), index) for index, items in enumerate(members)]
    item = torch.tensor([item for items in members for item in items], dtype=torch.int64)
    names = tuple(f"community {index + 1}" for index in range(len(members)))
    return Categories(item, torch.cat(label) if label else item, names)


def _incidence(train: Interactions, max_history: int, seed: int) -> sp.csr_array:
    """Return who met what, ``[num_users, num_items]`` with columns of length one."""
    user, item = _pairs(train, max_history, seed)
    strength = np.ones(len(user))
    length = np.sqrt(np.bincount(item, strength**2, minlength=train.num_items))
    return sp.csr_array((strength / length[item], (user, item)), shape=(train.num_users, train.num_items))


def _pairs(train: Interactions, max_history: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the distinct pairs, of each user a random choice of at most ``max_history``."""
    pairs: Tensor = torch.unique(train.pairs())
    pairs = pairs[torch.randperm(len(pairs), generator=torch.Generator().manual_seed(seed))]
    user = pairs // max(1, train.num_items)
    order = user.argsort(stable=True)
    count = user.bincount(minlength=train.num_users)
    place = torch.arange(len(pairs)) - (count.cumsum(0) - count)[user[order]]
    kept = pairs[order][place < max_history].sort().values.numpy()
    return kept // train.num_items, kept % train.num_items


def _strongest(incidence: sp.csr_array, num_neighbors: int) -> sp.csr_array:
    """Return the strongest co-occurrences of each item, ``[num_items, num_items]``."""
    by_item, blocks = incidence.T.tocsr(), []
    for start in range(0, by_item.shape[0], _BLOCK):
        block = (by_item[start : start + _BLOCK] @ incidence).tocsr()
        block.sort_indices()
        blocks.append(_cut(block, start, num_neighbors))
    return sp.vstack(blocks, format="csr")


def _cut(block: sp.csr_array, start: int, num_neighbors: int) -> sp.csr_array:
    """Keep the largest entries of each row but the diagonal, ties by the lower item."""
    rows, columns, weights = [], [], []
    for row in range(block.shape[0]):
        part = slice(block.indptr[row], block.indptr[row + 1])
        column, weight = block.indices[part], block.data[part]
        other = column != start + row
        column, weight = column[other], weight[other]
        best = np.argsort(-weight, kind="stable")[:num_neighbors]
        rows.append(np.full(len(best), row))
        columns.append(column[best])
        weights.append(weight[best])
    place = (np.concatenate(rows), np.concatenate(columns))
    cut: sp.csr_array = sp.csr_array((np.concatenate(weights), place), shape=block.shape)
    return cut


def _graph(strongest: sp.csr_array) -> "nx.Graph":
    """Return the undirected graph of the items that have a link."""
    graph = nx.from_scipy_sparse_array(strongest.maximum(strongest.T))
    graph.remove_nodes_from(list(nx.isolates(graph)))
    return graph
