"""Negatives from several samplers at once."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Generator, Tensor, nn
from torch_geometric.data import HeteroData

from graphmi.samplers.base import Sampler, one_positive_each
from graphmi.typing import Negatives

__all__ = ["MixedSampler"]


class MixedSampler(Sampler):
    r"""Puts the negatives of several samplers side by side, corrected as draws from their mixture.

    With :math:`n_s` negatives from sampler :math:`s`, ``log_q`` is :math:`\log \sum_s \frac{n_s}{n} q_s(j)`. Popular
    in-batch items with uniform ones is mixed negative sampling
    (`Yang et al., WWW 2020 <https://doi.org/10.1145/3366424.3386195>`_). The negatives are shared by the
    batch where all samplers share theirs.

    Args:
        graph: The training graph.
        samplers: Classes, or functions, that make a sampler from the graph; at least one.

    Raises:
        ValueError: There is no sampler.

    Example:
        >>> from functools import partial
        >>> import torch
        >>> from torch_geometric.data import HeteroData
        >>> graph = HeteroData({"user": {"num_nodes": 2}, "item": {"num_nodes": 3}})
        >>> graph["user", "interacts", "item"].edge_index = torch.tensor([[0, 0, 1], [0, 1, 1]])
        >>> from graphmi.samplers import InBatchSampler, UniformSampler
        >>> sampler = MixedSampler(graph, [InBatchSampler, partial(UniformSampler, num_negatives=3, shared=True)])
        >>> sampler(torch.tensor([0, 1]), torch.tensor([0, 2])).item.shape  # two of the batch, three at random
        torch.Size([5])
    """

    def __init__(self, graph: HeteroData, samplers: Sequence[Callable[[HeteroData], Sampler]]) -> None:
        super().__init__()
        if not samplers:
            raise ValueError("'samplers' must name at least one sampler (got none)")
        self.samplers = nn.ModuleList(make(graph) for make in samplers)
        self.rows_together = min(getattr(sampler, "rows_together", 0) for sampler in self.samplers)

    def forward(self, user: Tensor, positive: Tensor, generator: Generator | None = None) -> Negatives:
        """Return all samplers' negatives, one after the other, with the mixture's ``log_q``."""
        one_positive_each(user, positive)
        parts: list[Negatives] = [sampler(user, positive, generator) for sampler in self.samplers]
        if any(part.block_size is not None for part in parts):
            raise ValueError("MixedSampler cannot mix negatives in blocks: use AllItemsSampler without 'block_size'")
        if len({part.excludes_known for part in parts}) > 1:  # an item that is known came from some of them only
            raise ValueError(
                "MixedSampler cannot mix samplers that leave out what a user knows with those that do not: give all "
                "the same 'reject_known', and a sampler of your own 'excludes_known' in its Negatives"
            )
        counts = [part.item.size(-1) for part in parts]
        items = [part.item for part in parts]
        if any(item.dim() == 2 for item in items):
            items = [item.expand(user.numel(), -1) for item in items]
        item = torch.cat(items, -1)
        pos_log_q = self._mixture(user, positive.unsqueeze(-1), counts).squeeze(-1)
        return Negatives(item, self._mixture(user, item, counts), pos_log_q, self._valid(parts, counts, user))

    def log_prob(self, user: Tensor, item: Tensor) -> Tensor:
        """Return the log probability of each item in an even mixture, of the shape of ``item``."""
        return self._mixture(user, item, [1] * len(self.samplers))

    def _mixture(self, user: Tensor, item: Tensor, counts: list[int]) -> Tensor:
        total = sum(counts)
        share = [math.log(count / total) if count else -math.inf for count in counts]  # a batch may have no rows
        parts = [s.log_prob(user, item) for s in self.samplers]  # type: ignore[operator]
        return torch.stack([log + part for log, part in zip(share, parts, strict=True)]).logsumexp(0)

    def _valid(self, parts: list[Negatives], counts: list[int], user: Tensor) -> Tensor | None:
        if all(part.valid is None for part in parts):
            return None
        masks = [
            user.new_ones(user.numel(), count, dtype=torch.bool) if part.valid is None else part.valid
            for part, count in zip(parts, counts, strict=True)
        ]
        return torch.cat(masks, -1)
