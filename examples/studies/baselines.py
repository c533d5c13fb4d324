"""Baselines of a few lines of linear algebra: item-to-item weights in closed form, nothing is trained.

They are models like any other, named by ``model=baselines.EASE`` wherever this folder is on the import path:

    PYTHONPATH=examples/studies graphmi train popularity --data ml-100k --model baselines.EASE
"""

from copy import copy

import numpy as np
import torch
from scipy.sparse import csr_matrix
from torch import Tensor, nn
from torch_geometric.data import HeteroData

from graphmi.typing import Batch, Representations

__all__ = ["EASE", "ItemKNN", "ItemToItem"]


class ItemToItem(nn.Module):
    """Scores an item by the sum of its weights to the items that a user had.

    Args:
        train: Training pairs, ``[num_users, num_items]``, of zeros and ones.
        weight: ``[num_items, num_items]``; row ``i`` has what each item adds to the score of item ``i``.
        max_length: Most items that are read, the latest known ones: at the test validation too, as sequence models do.
            The training items of the user, as graph models, when omitted.

    Shapes:
        - **input:** a batch of users ``[batch]``, with ``history`` and ``mask`` where there is a ``max_length``
        - **output:** ``interests [batch, 1, num_read]`` of zeros and ones, ``items [num_items, num_read]``; columns are
          the items that someone in the batch had
    """

    weight: Tensor

    def __init__(self, train: csr_matrix, weight: np.ndarray, max_length: int | None = None) -> None:
        super().__init__()
        self.train_pairs = train
        # Made from the graph, so it is not saved.
        self.register_buffer("weight", torch.from_numpy(weight.astype(np.float32)), persistent=False)
        if max_length is not None:  # what has one reads histories
            self.max_length = max_length

    def forward(self, batch: Batch) -> Representations:
        """Return which items each user had, and the weights to them."""
        had = self._had(batch)
        read = had.any(0).nonzero().flatten()  # the others would only cost time
        return Representations(interests=had[:, read].unsqueeze(1), items=self.weight[:, read])

    def reading(self, max_length: int | None) -> "ItemToItem":
        """Return a model with the same weights and another ``max_length``."""
        other = copy(self)
        vars(other).pop("max_length", None)
        if max_length is not None:
            other.max_length = max_length
        return other

    def _had(self, batch: Batch) -> Tensor:
        num_items = len(self.weight)
        if batch.history is None or batch.mask is None:
            return torch.from_numpy(self.train_pairs[batch.user.cpu().numpy()].toarray()).to(self.weight)
        item = batch.history.where(batch.mask, num_items)  # what pads gets a column of its own
        return self.weight.new_zeros(len(item), num_items + 1).scatter_(1, item, 1.0)[:, :num_items]


class EASE(ItemToItem):
    r"""A linear autoencoder whose items do not predict themselves, in closed form.

    With :math:`P = (X^\top X + \lambda I)^{-1}` item :math:`j` adds :math:`-P_{ji} / P_{ii}` to the score of
    :math:`i`. `Steck, WWW 2019 <https://arxiv.org/abs/1905.03375>`_.

    Args:
        graph: The training graph.
        regularization: :math:`\lambda`, positive.
        max_length: As in :class:`ItemToItem`.
    """

    def __init__(self, graph: HeteroData, regularization: float = 300.0, max_length: int | None = None) -> None:
        train = pairs(graph)
        gram = (train.T @ train).toarray().astype(np.float64)
        gram[np.diag_indices_from(gram)] += regularization
        inverse = torch.cholesky_inverse(torch.linalg.cholesky(torch.from_numpy(gram))).numpy()
        weight = -inverse / inverse.diagonal()[:, None]
        np.fill_diagonal(weight, 0.0)
        super().__init__(train, weight, max_length)


class ItemKNN(ItemToItem):
    r"""The nearest neighbours of each item by cosine, :math:`n_{ij} / (\sqrt{n_i n_j} + h)` of counts of users.

    Args:
        graph: The training graph.
        neighbors: How many neighbours an item has, at least 1.
        shrinkage: :math:`h`, at least 0; takes weight from pairs with few users.
        max_length: As in :class:`ItemToItem`.
    """

    def __init__(
        self, graph: HeteroData, neighbors: int = 100, shrinkage: float = 10.0, max_length: int | None = None
    ) -> None:
        train = pairs(graph)
        both = torch.from_numpy((train.T @ train).toarray())
        count = both.diagonal().clone()
        cosine = both.fill_diagonal_(0.0) / (torch.outer(count, count).sqrt() + shrinkage).clamp_min(1e-12)
        nearest = cosine.topk(min(neighbors, len(cosine)), dim=1)
        weight = torch.zeros_like(cosine).scatter_(1, nearest.indices, nearest.values)
        super().__init__(train, weight.numpy(), max_length)


def pairs(graph: HeteroData) -> csr_matrix:
    """Return the training pairs of a graph, ``[num_users, num_items]`` float32 of zeros and ones."""
    user, item = graph["user", "interacts", "item"].edge_index.numpy()
    size = graph["user"].num_nodes, graph["item"].num_nodes
    return csr_matrix((np.ones(len(user), np.float32), (user, item)), shape=size)
