"""All items as negatives: the full softmax."""

import math

import torch
from torch import Generator, Tensor
from torch_geometric.data import HeteroData

from graphmi.samplers.base import KnownItems, Sampler
from graphmi.typing import Negatives

__all__ = ["AllItemsSampler"]


class AllItemsSampler(Sampler):
    """Takes every item as a negative.

    With :class:`~graphmi.losses.SampledSoftmaxLoss` this is the full softmax; without ``reject_known`` it equals the
    cross entropy over all items.

    Args:
        graph: The training graph.
        reject_known: Leave out the user's training items (the positive is always left out by the loss).
    """

    item: Tensor

    def __init__(self, graph: HeteroData, reject_known: bool = True) -> None:
        super().__init__()
        self.known = KnownItems(graph) if reject_known else None
        self.register_buffer("item", torch.arange(int(graph["item"].num_nodes)), persistent=False)

    def forward(self, user: Tensor, positive: Tensor, generator: Generator | None = None) -> Negatives:
        """Return all items, shared, ``[num_items]``; ``valid`` is False at the user's known items."""
        if self.known is None:
            return Negatives(self.item, all_items=True)
        return Negatives(self.item, valid=~self.known.rows(user), excludes_known=True, all_items=True)

    def log_prob(self, user: Tensor, item: Tensor) -> Tensor:
        """Return minus the log number of items, of the shape of ``item``."""
        return torch.full(item.shape, -math.log(self.item.numel()), device=item.device)
