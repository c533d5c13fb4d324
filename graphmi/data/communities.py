"""Communities of items that the same users met, for data without categories."""

from typing import Any

import networkx as nx
import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import torch

from graphmi.data.categories import Categories
from graphmi.data.interactions import Interactions
from graphmi.ranges import at_least

__all__ = ["item_communities"]

_Array = npt.NDArray[Any]
_BLOCK = 256  # items whose co-occurrences are held at once
# Weights are whole numbers with this sum, a power of two: then every gain of modularity is exact in float64, and
# Louvain ends. With rounded gains it can move items to and fro for ever (https://github.com/networkx/networkx/pull/8757).
_TOTAL = 2**25


def item_communities(
    train: Interactions, *, num_neighbors: int = 10, max_history: int = 500, seed: int = 0
) -> Categories:
    r"""Return communities of items that the same users met, as categories: one label per item.

    Items are linked by the cosine of their users, where a user with ``n`` items counts ``1 / (n - 1)``, so that
    those who met everything do not link everything (Newman, 2001, https://arxiv.org/abs/cond-mat/0011144):

    .. math::
        w_{ij} = \frac{s_{ij}}{\sqrt{s_i s_j}}, \qquad
        s_{ij} = \sum_{u \text{ met } i, j} \frac{1}{n_u - 1}, \qquad s_i = \sum_{u \text{ met } i} \frac{1}{n_u - 1}

    Every item keeps its strongest links (ties: the lower item), and Louvain's method finds the communities of what
    either end kept (Blondel et al., 2008, https://arxiv.org/abs/0803.0476), as networkx has it. The same data and
    seed give the same communities.

    How to read it: a community is a set of items with the same public. That need not be a topic: films of MovieLens
    come together by year and by fame as much as by genre. Names are ``community 1`` and so on, the largest first.

    Args:
        train: Training interactions; repeated pairs count once.
        num_neighbors: Links that each item keeps, at least 1. More give fewer and larger communities.
        max_history: Items of one user that count, at least 2; a random choice of longer histories.
        seed: Seed of Louvain's order and of that choice, at least 0.

    Returns:
        One label per item that shares a user with another item; none for the others.

    Raises:
        ValueError: If an argument is out of its range, or there are more than 16 million links.

    Example:
        >>> from graphmi.data import planted
        >>> len(item_communities(planted(num_clusters=3, interests_per_user=1)))
        3
    """
    _check(train, num_neighbors, max_history, seed)
    graph = _graph(_strongest(_incidence(train, max_history, seed), num_neighbors))
    found = nx.community.louvain_communities(graph, seed=seed) if len(graph) else []
    label = torch.full((train.num_items,), -1)
    for index, items in enumerate(sorted(found, key=lambda items: (-len(items), min(items)))):
        label[list(items)] = index
    item = (label >= 0).nonzero().flatten()
    return Categories(item, label[item], tuple(f"community {index + 1}" for index in range(len(found))))


def _check(train: Interactions, num_neighbors: int, max_history: int, seed: int) -> None:
    at_least(1, num_neighbors=num_neighbors)
    at_least(2, max_history=max_history)
    at_least(0, seed=seed)
    if train.num_items * num_neighbors > _TOTAL // 2:
        raise ValueError(
            f"{train.num_items:,} items with {num_neighbors} links each are more than {_TOTAL // 2:,} links; "
            "give the items categories, or choose fewer neighbors"
        )


def _incidence(train: Interactions, max_history: int, seed: int) -> sp.csr_array:
    """Return who met what, ``[num_users, num_items]``, so that the product of two columns is their link."""
    user, item = _pairs(train, max_history, seed)
    others = np.bincount(user, minlength=train.num_users)[user] - 1
    user, item, others = user[others > 0], item[others > 0], others[others > 0]  # one item alone links nothing
    strength = np.bincount(item, 1 / others, minlength=train.num_items)
    return sp.csr_array((1 / np.sqrt(others * strength[item]), (user, item)), shape=(train.num_users, train.num_items))


def _pairs(train: Interactions, max_history: int, seed: int) -> tuple[_Array, _Array]:
    """Return the distinct pairs, of each user a random choice of at most ``max_history``."""
    pairs = torch.unique(train.pairs())
    pairs = pairs[torch.randperm(len(pairs), generator=torch.Generator().manual_seed(seed))]
    user = pairs // max(1, train.num_items)
    by_user = user.argsort(stable=True)
    count = user.bincount(minlength=train.num_users)
    place = torch.arange(len(pairs)) - (count.cumsum(0) - count)[user[by_user]]
    kept = pairs[by_user][place < max_history].sort().values.numpy()
    return kept // max(1, train.num_items), kept % max(1, train.num_items)


def _strongest(incidence: sp.csr_array, num_neighbors: int) -> sp.coo_array:
    """Return the links that an item keeps, ``[num_items, num_items]``, block by block of all there are."""
    by_item = incidence.T.tocsr()
    rows, columns, weights = [], [], []
    for start in range(0, by_item.shape[0], _BLOCK):
        block = (by_item[start : start + _BLOCK] @ incidence).tocsr()
        for row in range(block.shape[0]):
            part = slice(block.indptr[row], block.indptr[row + 1])
            column, weight = _cut(block.indices[part], block.data[part], start + row, num_neighbors)
            rows.append(np.full(len(column), start + row))
            columns.append(column)
            weights.append(weight)
    place = (np.concatenate(rows), np.concatenate(columns)) if rows else (np.zeros(0, int), np.zeros(0, int))
    return sp.coo_array((np.concatenate(weights) if weights else np.zeros(0), place), shape=by_item.shape[:1] * 2)


def _cut(column: _Array, weight: _Array, itself: int, size: int) -> tuple[_Array, _Array]:
    """Return the largest weights of a row and their columns, ties by the lower column."""
    other = column != itself
    column, weight = column[other], np.round(weight[other], 9)  # equal up to rounding is equal, on every machine
    if len(weight) > size:
        enough = weight >= np.partition(weight, -size)[-size]
        column, weight = column[enough], weight[enough]
    best = np.lexsort((column, -weight))[:size]
    return column[best], weight[best]


def _graph(strongest: sp.coo_array) -> "nx.Graph":
    """Return the undirected graph of the links that either end kept, with whole weights."""
    links = strongest.tocsr()
    links = sp.triu(links.maximum(links.T), k=1, format="csr")
    links.sort_indices()
    upper = links.tocoo()
    node = list(range(links.shape[0]))  # one object per item: comparing them is what Louvain spends its time on
    graph = nx.Graph()
    graph.add_weighted_edges_from(
        (node[one], node[other], weight)
        for one, other, weight in zip(upper.row.tolist(), upper.col.tolist(), _whole(upper.data), strict=True)
    )
    return graph


def _whole(weight: _Array) -> list[int]:
    """Return weights in proportion as whole numbers from 1 on that add up to the total."""
    up_to = np.rint(weight.cumsum() / weight.sum() * (_TOTAL - len(weight))).astype(np.int64)
    whole: list[int] = (np.diff(up_to, prepend=0) + 1).tolist()
    return whole
