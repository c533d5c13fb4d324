"""What graph models share: the user-item graph as one weighted adjacency, and how its nodes become scores."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch_geometric.data import HeteroData

from graphmi.nn.conv import EdgeWeight
from graphmi.nn.sparse import Adjacency
from graphmi.typing import Batch, Contributions, Representations

__all__ = [
    "EdgeBuffers",
    "Score",
    "decompose",
    "item_vectors",
    "represent",
    "user_item_adjacency",
    "user_vectors",
]

Score = Literal["user_virtual", "pair_max", "symmetric", "center"]

_EDGES = ("user", "interacts", "item")


def user_item_adjacency(graph: HeteroData, weight: EdgeWeight) -> Adjacency:
    """Both directions of the user-item graph as one square matrix, users first.

    Args:
        graph: Has nodes ``user`` and ``item`` and edges ``('user', 'interacts', 'item')``.
        weight: The backbone's edge weight, called once for each direction.

    Raises:
        ValueError: If the graph has no such edges.
    """
    if _EDGES not in graph.edge_types:
        raise ValueError(f"The graph must have edges {_EDGES} (got {graph.edge_types})")
    num_users, num_items = int(graph["user"].num_nodes), int(graph["item"].num_nodes)
    to_item = graph[_EDGES].edge_index
    to_user = to_item.flip(0)
    edge_weight = torch.cat([weight(to_item, (num_users, num_items)), weight(to_user, (num_items, num_users))])
    offset = to_item.new_tensor([[0], [num_users]])
    edge_index = torch.cat([to_item + offset, to_user + offset.flip(0)], dim=1)
    num_nodes = num_users + num_items
    return Adjacency.from_edge_index(edge_index, edge_weight, size=(num_nodes, num_nodes))


class EdgeBuffers(nn.Module):
    """An adjacency that moves with its model and is rebuilt from the graph, not saved."""

    def __init__(self, adjacency: Adjacency) -> None:
        super().__init__()
        for name in Adjacency.__slots__:
            self.register_buffer(name, getattr(adjacency, name), persistent=False)

    def forward(self) -> Adjacency:
        """Return the adjacency on the device of the model."""
        return Adjacency(*(self.get_buffer(name) for name in Adjacency.__slots__))


def represent(
    virtuals: Sequence[Tensor],
    centers: Sequence[Tensor],
    ego: Tensor,
    batch: Batch,
    *,
    num_users: int,
    score: Score,
    normalize: bool,
) -> Representations:
    r"""Arrange nodes so that the best inner product of an interest and an item vector is the score.

    ============== ==============================================================================================
    score          :math:`y_{ui}`
    ============== ==============================================================================================
    user_virtual   :math:`\max_k \langle E_V[u, k], E_C[i] \rangle`
    pair_max       :math:`\max_{k, j} \langle E_V[u, k], E_V[i, j] \rangle`
    symmetric      :math:`\max_k \langle E_V[u, k], E_C[i] \rangle + \max_j \langle E_C[u], E_V[i, j] \rangle`
    center         :math:`\langle E_C[u], E_C[i] \rangle`
    ============== ==============================================================================================

    Args:
        virtuals: Virtual interests of all nodes, ``[num_nodes, num_interests, dim]`` for each layer; their mean counts.
        centers: Centers of all nodes, ``[num_nodes, dim]`` for each layer; their mean counts.
        ego: Parameters of all nodes, ``[num_nodes, dim]``.
        batch: The users asked for.
        num_users: Users come first among the nodes.
        score: A row of the table.
        normalize: Bring vectors to length one, so that inner products are cosines.
    """
    item = slice(num_users, None)
    return Representations(
        interests=user_vectors(virtuals, centers, batch.user, score=score, normalize=normalize),
        items=item_vectors(virtuals, centers, item, score=score, normalize=normalize),
        ego_users=ego.index_select(0, batch.user),
        ego_items=ego[item],
    )


def user_vectors(
    virtuals: Sequence[Tensor], centers: Sequence[Tensor], index: Tensor | slice, *, score: Score, normalize: bool
) -> Tensor:
    """Return the interests of some nodes as :func:`represent` arranges users, ``[num, num_interests, dim]``."""
    if score in ("user_virtual", "pair_max"):
        return _mean(virtuals, index, normalize)
    return _interests(_mean(virtuals, index, normalize), _mean(centers, index, normalize), score)


def item_vectors(
    virtuals: Sequence[Tensor], centers: Sequence[Tensor], index: Tensor | slice, *, score: Score, normalize: bool
) -> Tensor:
    """Return the vectors of some nodes as :func:`represent` arranges items, ``[num, num_vectors * dim]``."""
    if score in ("center", "user_virtual"):
        return _mean(centers, index, normalize)
    virtual = _mean(virtuals, index, normalize)
    if score == "pair_max":
        return virtual.flatten(1)
    # <[E_V[u, k], E_C[u]], [E_C[i], E_V[i, j]]>: the best pair is the sum of both maxima
    center = _mean(centers, index, normalize).unsqueeze(1).expand_as(virtual)
    return torch.cat([center, virtual], dim=-1).flatten(1)


def _mean(layers: Sequence[Tensor], index: Tensor | slice, normalize: bool) -> Tensor:
    # Rows first, then means and lengths: of the users only those of the batch are needed. The other way around where a
    # batch asks for more rows than there are. index_select, because the gradient of plain indexing adds up in no fixed
    # order where a user occurs twice.
    if isinstance(index, Tensor) and index.numel() > (num_rows := layers[-1].size(0)):
        return _mean(layers, slice(num_rows), normalize).index_select(0, index)
    first, *rest = (layer[index] if isinstance(index, slice) else layer.index_select(0, index) for layer in layers)
    mean = sum(rest, start=first) / len(layers)
    return nn.functional.normalize(mean, dim=-1) if normalize else mean


def decompose(
    virtual: tuple[Tensor, Tensor],
    center: tuple[Tensor, Tensor],
    row: Tensor,
    item: Tensor,
    *,
    score: Score,
    normalize: bool,
) -> Contributions:
    """Arrange what neighbours add to users as :func:`represent` arranges the users themselves.

    Args:
        virtual: What each neighbour adds to the layer means of the virtual interests, ``[num, num_interests, dim]``,
            and what the users have of themselves, ``[batch, num_interests, dim]``.
        center: The same of the centers, ``[num, dim]`` and ``[batch, dim]``.
        row: The user of each neighbour, ``[num]``, as a row of the batch.
        item: Which item each neighbour is, ``[num]``.
        score: As in :func:`represent`.
        normalize: As in :func:`represent`.
    """

    def scaled(parts: Tensor, own: Tensor) -> tuple[Tensor, Tensor]:
        if not normalize:
            return parts, own
        length = own.index_add(0, row, parts).norm(dim=-1, keepdim=True).clamp_min(1e-12)
        return parts / length[row], own / length

    virtual, center = scaled(*virtual), scaled(*center)
    vector, rest = (_interests(v, c, score) for v, c in zip(virtual, center, strict=True))
    return Contributions(row=row, item=item, vector=vector, rest=rest)


def _interests(virtual: Tensor, center: Tensor, score: Score) -> Tensor:
    """Return what is compared with items, of virtual interests ``[n, num_interests, dim]`` and centers ``[n, dim]``."""
    if score == "center":
        return center.unsqueeze(1)
    if score == "symmetric":
        return torch.cat([virtual, center.unsqueeze(1).expand_as(virtual)], dim=-1)
    return virtual
