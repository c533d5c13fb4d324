"""All items as negatives: the full softmax."""

import math

import torch
from torch import Generator, Tensor
from torch_geometric.data import HeteroData

from graphmi.ranges import at_least
from graphmi.samplers.base import Sampler
from graphmi.samplers.known_items import KnownItems
from graphmi.typing import Negatives

__all__ = ["AllItemsSampler"]


class AllItemsSampler(Sampler):
    """Takes every item as a negative.

    With :class:`~graphmi.losses.SampledSoftmaxLoss` this is the full softmax; without ``reject_known`` it equals the
    cross entropy over all items.

    With ``block_size`` the loss scores so many items at a time, and once more in the backward pass, so that of the
    ``batch * num_interests * num_items`` scores and the ``batch * num_items`` flags of known items only one block is in
    memory. Loss and gradients stay the same; it needs :class:`~graphmi.losses.SampledSoftmaxLoss` with
    :class:`~graphmi.losses.UniformWeighting`, under any readout.

    Args:
        graph: The training graph.
        reject_known: Leave out the user's training items (the loss leaves out the positive in any case).
        block_size: Items that are scored at a time, at least 1; all at once when omitted.

    Raises:
        ValueError: ``block_size`` is below 1.

    Example:
        >>> import torch
        >>> from torch_geometric.data import HeteroData
        >>> graph = HeteroData({"user": {"num_nodes": 2}, "item": {"num_nodes": 3}})
        >>> graph["user", "interacts", "item"].edge_index = torch.tensor([[0, 0, 1], [0, 1, 1]])
        >>> negatives = AllItemsSampler(graph)(torch.tensor([0, 1]), torch.tensor([0, 2]))
        >>> negatives.item, negatives.valid
        (tensor([0, 1, 2]), tensor([[False, False,  True],
                [ True, False,  True]]))
    """

    item: Tensor

    def __init__(self, graph: HeteroData, reject_known: bool = True, block_size: int | None = None) -> None:
        super().__init__()
        at_least(1, block_size=block_size)
        self.block_size = block_size
        self.known = KnownItems(graph) if reject_known else None
        self.register_buffer("item", torch.arange(int(graph["item"].num_nodes)), persistent=False)

    def forward(self, user: Tensor, positive: Tensor, generator: Generator | None = None) -> Negatives:
        """Return all items, shared, ``[num_items]``; ``valid`` is False at the user's known items.

        With ``block_size``, ``known`` holds those instead.
        """
        if self.known is None:
            return Negatives(self.item, all_items=True, block_size=self.block_size)
        if self.block_size is not None:
            known = self.known.padded(user)
            return Negatives(self.item, excludes_known=True, all_items=True, known=known, block_size=self.block_size)
        return Negatives(self.item, valid=self.known.rows(user).logical_not_(), excludes_known=True, all_items=True)

    def log_prob(self, user: Tensor, item: Tensor) -> Tensor:
        """Return minus the log number of items, of the shape of ``item``."""
        return torch.full(item.shape, -math.log(max(self.item.numel(), 1)), device=item.device)
