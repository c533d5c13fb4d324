"""The other positives of the batch as negatives."""

from torch import Generator, Tensor
from torch_geometric.data import HeteroData

from graphmi.samplers.base import Precise, Sampler, item_degrees, on_cpu, one_positive_each, pick
from graphmi.samplers.known_items import KnownItems
from graphmi.typing import Negatives

__all__ = ["InBatchSampler"]


class InBatchSampler(Precise, Sampler):
    """Takes the positives of the whole batch as negatives of each user.

    Batches of training pairs hold an item as often as users chose it, so ``log_q`` is its share of the training
    interactions (`Yi et al., RecSys 2019 <https://doi.org/10.1145/3298689.3346996>`_), where an item without any counts
    as if it had one. A user's own positive is left out, also where it stands in the batch again.

    Args:
        graph: The training graph.
        reject_known: Leave out the user's other training items too.

    Example:
        >>> import torch
        >>> from torch_geometric.data import HeteroData
        >>> graph = HeteroData({"user": {"num_nodes": 2}, "item": {"num_nodes": 3}})
        >>> graph["user", "interacts", "item"].edge_index = torch.tensor([[0, 0, 1], [0, 1, 1]])
        >>> negatives = InBatchSampler(graph)(torch.tensor([0, 1]), torch.tensor([0, 2]))
        >>> negatives.item, negatives.valid  # each has the positive of the other, if it does not know that
        (tensor([0, 2]), tensor([[False,  True],
                [ True, False]]))
    """

    log_popularity: Tensor

    def __init__(self, graph: HeteroData, reject_known: bool = True) -> None:
        super().__init__()
        self.known = KnownItems(graph) if reject_known else None
        degree = item_degrees(graph).clamp_min(1).double()  # an item outside the training graph counts as a rare one
        self.register_buffer("log_popularity", (degree / degree.sum()).log().float(), persistent=False)

    def forward(self, user: Tensor, positive: Tensor, generator: Generator | None = None) -> Negatives:
        """Return the positives as shared negatives, ``[batch]``, with their ``log_q``."""
        one_positive_each(user, positive)
        log_q = pick(self.log_popularity, positive)
        valid = self._wrong(user, positive).logical_not_()
        return Negatives(positive, log_q, pos_log_q=log_q, valid=valid, excludes_known=self.known is not None)

    def _wrong(self, user: Tensor, positive: Tensor) -> Tensor:
        """Tell which positives are the user's own or known to the user, ``[batch, batch]``."""
        if self.known is None:
            return positive == positive.unsqueeze(-1)
        wrong = self.known.contains(user, positive)
        # Of training pairs the own ones are known, too; a GPU would have to be waited for.
        if self.known.bits is None or not on_cpu(user) or not self.known.pairs(user.numpy(), positive.numpy()).all():
            wrong |= positive == positive.unsqueeze(-1)
        return wrong

    def log_prob(self, user: Tensor, item: Tensor) -> Tensor:
        """Return the log share of each item in the training interactions, of the shape of ``item``."""
        return pick(self.log_popularity, item)
