"""Negatives drawn by popularity."""

import torch.nn.functional as F
from torch import Generator, Tensor
from torch_geometric.data import HeteroData

from graphmi.ranges import at_least
from graphmi.samplers.base import Sampler, item_degrees
from graphmi.samplers.proposal import Proposal
from graphmi.typing import Negatives

__all__ = ["PopularitySampler"]


class PopularitySampler(Sampler):
    r"""Draws items in proportion to :math:`\text{degree}^\text{power}` in the training graph, with replacement.

    With ``reject_known`` each user's negatives follow this law on the items that it does not know, exactly: ``log_q``
    sums to one over those. ``pos_log_q`` is the positive's value by the same formula. Items without training
    interactions are never drawn, unless ``power`` is 0; the log probability of such a positive is a very low number,
    since a loss could not do with ``-inf``. The default power is word2vec's
    (`Mikolov et al., 2013 <https://arxiv.org/abs/1310.4546>`_).

    Args:
        graph: The training graph.
        num_negatives: How many, at least 1.
        power: Flattens the popularity, at least 0; 0 is uniform, 1 draws as often as users choose.
        shared: Draw once for the batch instead of once per user; what a user knows is then invalid.
        reject_known: Leave out the user's training items.

    Raises:
        ValueError: ``num_negatives`` is below 1, ``power`` is negative, or the graph has no interactions.

    Example:
        >>> import torch
        >>> from torch_geometric.data import HeteroData
        >>> graph = HeteroData({"user": {"num_nodes": 2}, "item": {"num_nodes": 3}})
        >>> graph["user", "interacts", "item"].edge_index = torch.tensor([[0, 0, 1], [0, 1, 1]])
        >>> sampler = PopularitySampler(graph, num_negatives=1, power=1.0, reject_known=False)
        >>> sampler.log_prob(torch.tensor([0]), torch.tensor([[0, 1]])).exp()
        tensor([[0.3333, 0.6667]])
    """

    def __init__(
        self,
        graph: HeteroData,
        num_negatives: int = 1,
        power: float = 0.75,
        shared: bool = False,
        reject_known: bool = True,
    ) -> None:
        super().__init__()
        at_least(0, power=power)
        degree = item_degrees(graph).double()
        weight = (degree / F.pad(degree, (0, 1), value=1.0).max()) ** power  # no power of a share is infinite
        self.proposal = Proposal(graph, weight, num_negatives=num_negatives, shared=shared, reject_known=reject_known)
        self.rows_together = self.proposal.rows_together

    def forward(self, user: Tensor, positive: Tensor, generator: Generator | None = None) -> Negatives:
        """Return ``[num_negatives]`` (shared) or ``[batch, num_negatives]`` items with their ``log_q``."""
        return self.proposal.corrected(self, user, positive, generator)

    def log_prob(self, user: Tensor, item: Tensor) -> Tensor:
        """Return the log probability of each item, of the shape of ``item``."""
        return self.proposal.log_prob(user, item)
