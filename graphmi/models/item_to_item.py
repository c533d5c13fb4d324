"""Models of weights between items, in closed form: nothing is trained, and they are strong baselines."""

from collections.abc import Callable
from copy import copy

import torch
from torch import Tensor, nn
from torch_geometric.data import HeteroData

from graphmi.edges import user_item_edges
from graphmi.models.base import Model
from graphmi.models.fold_in import histories, latest
from graphmi.models.graph import EdgeBuffers, require_users
from graphmi.nn.adjacency import Adjacency
from graphmi.ranges import at_least, positive
from graphmi.typing import Batch, Contributions, Representations

__all__ = ["EASE", "ItemKNN", "ItemToItem"]

_MOST_ITEMS = 20_000  # 6 GB on the way to the weights


class ItemToItem(Model):
    r"""Scores an item by its weights to the items that a user had, :math:`s_{ui} = \sum_{j \in N(u)} W_{ij}`.

    Args:
        graph: The training graph, ``('user', 'interacts', 'item')``.
        weight: :math:`W`, ``[num_items, num_items]``: row ``i`` has what each item adds to the score of item ``i``.
        max_length: Most items that a user is read by, at least 1: the latest that are known, those of validation in
            the test too, as sequence models do. The training items of the user, as graph models, when omitted. For the
            next item few of them say more than all.

    Shapes:
        - **input:** a batch of users ``[batch]``, and their histories with ``max_length``
        - **output:** ``interests [batch, 1, num_items]`` of zeros and ones, ``items [num_items, num_items]``, :math:`W`

    Raises:
        ValueError: ``max_length`` is below 1, or in use the batch has no histories where there is one.
    """

    weight: Tensor

    def __init__(self, graph: HeteroData, weight: Tensor, max_length: int | None = None) -> None:
        super().__init__()
        size = int(graph["item"].num_nodes), int(graph["user"].num_nodes)
        self.edges = EdgeBuffers(Adjacency.from_edge_index(user_item_edges(graph).flip(0), size=size))
        self.register_buffer("weight", weight, persistent=False)  # made from the graph, so it is not saved
        at_least(1, max_length=max_length)
        if max_length is not None:
            self.max_length = max_length  # only then it reads histories

    @property
    def num_users(self) -> int | None:
        """How many users it knows, those of the graph; ``None`` with ``max_length``, as histories can be anybody's."""
        return None if hasattr(self, "max_length") else self.edges().size[1]

    def forward(self, batch: Batch) -> Representations:
        """Return which items each user had, and the weights to them."""
        return self._of(*self._had(batch), len(batch.user))

    def fold_in(self, history: Tensor, mask: Tensor) -> Representations:
        """Return what users with these items are like, ``[batch, length]``; an item that comes twice counts once.

        With ``max_length`` the latest are read; they are left-aligned.
        """
        return ItemToItem.as_reader(self).forward(
            Batch(history.new_full((len(history),), -1), history=history, mask=mask)
        )

    def as_reader(self) -> "_Reader":
        """Return a model that reads histories and gives anybody what :meth:`fold_in` does."""
        return _Reader(self.weight, getattr(self, "max_length", None))

    def contributions(self) -> Callable[[Batch], Contributions]:
        """Return a function that says which items the users of a batch had: each is a term of its own."""
        return self._contributions

    def reading(self, max_length: int | None) -> "ItemToItem":
        """Return a model with the same weights and another ``max_length``."""
        other = copy(self)
        vars(other).pop("max_length", None)
        if max_length is not None:
            other.max_length = max_length
        return other

    def _had(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the row of the batch and the item of each pair, ascending in rows."""
        if not hasattr(self, "max_length"):
            edges = self.edges()
            require_users(batch.user, edges.size[1])
            entries, row = edges.entries(batch.user)
            return row, edges.col[entries].long()
        return _pairs(*histories(batch))

    def _of(self, row: Tensor, item: Tensor, batch: int) -> Representations:
        had = self.weight.new_zeros(batch, 1, len(self.weight))
        had[row, 0, item] = 1.0
        return Representations(interests=had, items=self.weight)

    def _contributions(self, batch: Batch) -> Contributions:
        row, item = torch.unique(torch.stack(self._had(batch)), dim=1)
        vector = self._of(torch.arange(len(item), device=item.device), item, len(item)).interests
        return Contributions(row, item, vector, rest=self.weight.new_zeros(len(batch.user), 1, len(self.weight)))


class EASE(ItemToItem):
    r"""A linear autoencoder whose items do not predict themselves, in closed form.

    With :math:`P = (X^\top X + \lambda I)^{-1}` of the training pairs :math:`X` item :math:`j` adds
    :math:`-P_{ji} / P_{ii}` to the score of :math:`i`. `Steck, WWW 2019 <https://arxiv.org/abs/1905.03375>`_,
    published. Making it takes about :math:`16 |I|^2` bytes and :math:`|I|^3` operations.

    Args:
        graph: The training graph.
        regularization: :math:`\lambda`, positive; the more, the less rare items say.
        max_length: Most items that a user is read by, at least 1, the latest; all training items when omitted.

    Raises:
        ValueError: An argument is out of range, or there are more than 20,000 items.

    Example:
        >>> from graphmi.data import LeaveOneOut, planted
        >>> model = EASE(LeaveOneOut()(planted(num_users=50, num_items=40, num_clusters=4)).graph())
        >>> model.weight.shape
        torch.Size([40, 40])
    """

    def __init__(self, graph: HeteroData, regularization: float = 300.0, max_length: int | None = None) -> None:
        positive(regularization=regularization)
        matrix = _common_users(graph).double()
        matrix.diagonal().add_(regularization)
        matrix = torch.linalg.cholesky(matrix)  # one name, so that only what is needed stays in memory
        matrix = torch.cholesky_inverse(matrix)
        matrix.div_(-matrix.diagonal().clone().unsqueeze(1))
        super().__init__(graph, matrix.fill_diagonal_(0.0).float(), max_length)


class ItemKNN(ItemToItem):
    r"""The nearest neighbours of each item by cosine, :math:`n_{ij} / (\sqrt{n_i n_j} + h)` of counts of users.

    `Sarwar et al., WWW 2001 <https://doi.org/10.1145/371920.372071>`_, with shrinkage.

    Args:
        graph: The training graph.
        neighbors: How many neighbours an item has, at least 1.
        shrinkage: :math:`h`, at least 0; takes weight from pairs with few users.
        max_length: Most items that a user is read by, at least 1, the latest; all training items when omitted.

    Raises:
        ValueError: An argument is out of range, or there are more than 20,000 items.

    Example:
        >>> import torch
        >>> from torch_geometric.data import HeteroData
        >>> graph = HeteroData({"user": {"num_nodes": 2}, "item": {"num_nodes": 3}})
        >>> graph["user", "interacts", "item"].edge_index = torch.tensor([[0, 0, 1, 1], [0, 1, 1, 2]])
        >>> ItemKNN(graph, shrinkage=0.0).weight  # of items with 1 and 2 users, of whom 1 is the same: 1 / sqrt(1 * 2)
        tensor([[0.0000, 0.7071, 0.0000],
                [0.7071, 0.0000, 0.7071],
                [0.0000, 0.7071, 0.0000]])
    """

    def __init__(
        self, graph: HeteroData, neighbors: int = 100, shrinkage: float = 10.0, max_length: int | None = None
    ) -> None:
        at_least(1, neighbors=neighbors)
        at_least(0, shrinkage=shrinkage)
        both = _common_users(graph)
        count = both.diagonal().clone()
        cosine = both.fill_diagonal_(0.0) / (torch.outer(count, count).sqrt() + shrinkage).clamp_min(1e-12)
        nearest = cosine.topk(min(neighbors, len(cosine)), dim=1)
        super().__init__(graph, torch.zeros_like(cosine).scatter_(1, *nearest[::-1]), max_length)


class _Reader(nn.Module):
    """Tells which items stand in histories, the latest ``max_length`` or all."""

    def __init__(self, weight: Tensor, max_length: int | None) -> None:
        super().__init__()
        self.weight = weight
        if max_length is not None:
            self.max_length = max_length

    def forward(self, batch: Batch) -> Representations:
        """Return the items of histories, and the weights to them."""
        history, mask = latest(self, *histories(batch))
        num_items = len(self.weight)
        # What pads goes to a column that is cut off. (With 'new_zeros' the weights would be a part of programs.)
        had = torch.zeros(history.size(0), num_items + 1, dtype=self.weight.dtype, device=self.weight.device)
        had.scatter_(1, torch.where(mask, history, num_items), 1.0)
        return Representations(interests=had[:, :-1].unsqueeze(1), items=self.weight)


def _pairs(history: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    return mask.nonzero()[:, 0], history[mask]


def _common_users(graph: HeteroData) -> Tensor:
    """Return how many users each pair of items has in common, ``[num_items, num_items]`` float32."""
    num_items = int(graph["item"].num_nodes)
    if num_items > _MOST_ITEMS:
        raise ValueError(
            f"weights between all items are for {_MOST_ITEMS:,} items at most (got {num_items:,}): filter the data, as "
            "with k_core=10 (by the command, --filter.k_core 10)"
        )
    edge = user_item_edges(graph)
    size = int(graph["user"].num_nodes), num_items
    pairs = torch.sparse_coo_tensor(edge, torch.ones(edge.size(1)), size).coalesce()
    pairs.values().fill_(1.0)  # a pair that comes twice counts once
    common: Tensor = torch.sparse.mm(pairs.t(), pairs).to_dense()
    return common
