"""Negatives drawn uniformly."""

from torch import Generator, Tensor
from torch_geometric.data import HeteroData

from graphmi.samplers.base import Sampler
from graphmi.samplers.proposal import Proposal
from graphmi.typing import Negatives

__all__ = ["UniformSampler"]


class UniformSampler(Sampler):
    """Draws negatives uniformly, with replacement.

    With ``reject_known`` each user's negatives are uniform over the items that it does not know, exactly and without
    repeated draws. Where a user knows every item, or where negatives are shared, ``valid`` is False for what must not
    count. No ``log_q`` is given: all negatives of a user have the same probability.

    Args:
        graph: The training graph.
        num_negatives: How many, at least 1.
        shared: Draw once for the batch instead of once per user.
        reject_known: Leave out the user's training items.

    Raises:
        ValueError: ``num_negatives`` is below 1.

    Example:
        >>> import torch
        >>> from torch_geometric.data import HeteroData
        >>> graph = HeteroData({"user": {"num_nodes": 2}, "item": {"num_nodes": 3}})
        >>> graph["user", "interacts", "item"].edge_index = torch.tensor([[0, 0, 1], [0, 1, 1]])
        >>> sampler = UniformSampler(graph, num_negatives=4)
        >>> sampler(torch.tensor([0, 1]), torch.tensor([0, 2])).item.shape
        torch.Size([2, 4])
    """

    def __init__(
        self, graph: HeteroData, num_negatives: int = 1, shared: bool = False, reject_known: bool = True
    ) -> None:
        super().__init__()
        self.proposal = Proposal(graph, num_negatives=num_negatives, shared=shared, reject_known=reject_known)
        self.rows_together = self.proposal.rows_together

    def forward(self, user: Tensor, positive: Tensor, generator: Generator | None = None) -> Negatives:
        """Return ``[num_negatives]`` (shared) or ``[batch, num_negatives]`` items."""
        item, valid = self.proposal.draw(user, generator)
        return Negatives(item, valid=valid, excludes_known=self.proposal.reject_known)

    def log_prob(self, user: Tensor, item: Tensor) -> Tensor:
        """Return minus the log number of items that can be drawn, of the shape of ``item``."""
        return self.proposal.log_prob(user, item)
