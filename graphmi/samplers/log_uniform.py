"""Negatives drawn log-uniformly by popularity rank."""

import torch
from torch import Generator, Tensor
from torch_geometric.data import HeteroData

from graphmi.samplers.base import Sampler, item_degrees
from graphmi.samplers.proposal import Proposal
from graphmi.typing import Negatives

__all__ = ["LogUniformSampler"]


class LogUniformSampler(Sampler):
    r"""Draws the item of popularity rank :math:`r = 0, 1, \dots` with probability :math:`\propto \log(1 + 1/(r + 1))`.

    Zipf's law without its steepness, TensorFlow's candidate sampler. Ranks come from the training graph, ties by
    item id; every item can be drawn.

    Args:
        graph: The training graph.
        num_negatives: How many, at least 1.
        shared: Draw once for the batch instead of once per user; what a user knows is then invalid.
        reject_known: Leave out the user's training items, exactly.

    Raises:
        ValueError: ``num_negatives`` is below 1.

    Example:
        >>> import torch
        >>> from torch_geometric.data import HeteroData
        >>> graph = HeteroData({"user": {"num_nodes": 2}, "item": {"num_nodes": 3}})
        >>> graph["user", "interacts", "item"].edge_index = torch.tensor([[0, 0, 1], [0, 1, 1]])
        >>> sampler = LogUniformSampler(graph, num_negatives=1, reject_known=False)
        >>> sampler.log_prob(torch.tensor([0]), torch.tensor([[0, 1, 2]])).exp()
        tensor([[0.2925, 0.5000, 0.2075]])
    """

    def __init__(
        self, graph: HeteroData, num_negatives: int = 1, shared: bool = False, reject_known: bool = True
    ) -> None:
        super().__init__()
        order = item_degrees(graph).argsort(descending=True, stable=True)
        rank = torch.arange(order.numel(), dtype=torch.float64)
        weight = torch.empty_like(rank).scatter_(0, order, (1 / (rank + 1)).log1p())
        self.proposal = Proposal(graph, weight, num_negatives=num_negatives, shared=shared, reject_known=reject_known)
        self.rows_together = self.proposal.rows_together

    def forward(self, user: Tensor, positive: Tensor, generator: Generator | None = None) -> Negatives:
        """Return ``[num_negatives]`` (shared) or ``[batch, num_negatives]`` items with their ``log_q``."""
        return self.proposal.corrected(self, user, positive, generator)

    def log_prob(self, user: Tensor, item: Tensor) -> Tensor:
        """Return the log probability of each item, of the shape of ``item``."""
        return self.proposal.log_prob(user, item)
