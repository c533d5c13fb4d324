"""The control for parameter sharing: every node has its own vector for each interest."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from copy import deepcopy
from functools import partial

import torch
from torch import Tensor, nn
from torch_geometric.data import HeteroData

from graphmi.models.arrangement import Arrangement, Score
from graphmi.models.base import Model
from graphmi.models.graph import EdgeBuffers, require_users, user_item_adjacency
from graphmi.models.kept import keeping, kept
from graphmi.models.stacked import Layers
from graphmi.nn.conv import EdgeWeight, LightGCNWeight
from graphmi.nn.sparse import propagate
from graphmi.ranges import at_least, positive
from graphmi.typing import Batch, Contributions, Representations

__all__ = ["SeparateInterestGCN"]


class SeparateInterestGCN(Model):
    r"""Fully separate interests: :math:`K` embeddings per node, each propagated by the backbone on its own.

    :class:`InterestGCN` derives its interests from one center per node with ``num_layers * num_interests * dim`` extra
    parameters; this control spends ``num_nodes * num_interests * dim`` on them, to test what sharing costs or gains.
    The virtual interests and the centers are layer means of the plain backbone convolution.

    Args:
        graph: The training graph, ``('user', 'interacts', 'item')``.
        num_interests: Interests per node, at least 1.
        embedding_dim: Size of all vectors, at least 1.
        num_layers: Number of convolutions, at least 0.
        weight: Edge weights of the backbone.
        score: See :class:`graphmi.models.arrangement.Arrangement`.
        normalize: Bring the outputs to length one (cosine scores).
        init_std: Standard deviation of the initial vectors, positive.

    Raises:
        ValueError: If an argument is out of range or the graph has no user-item edges.

    Example:
        >>> import torch
        >>> from torch_geometric.data import HeteroData
        >>> graph = HeteroData({"user": {"num_nodes": 2}, "item": {"num_nodes": 3}})
        >>> graph["user", "interacts", "item"].edge_index = torch.tensor([[0, 0, 1, 1], [0, 1, 1, 2]])
        >>> model = SeparateInterestGCN(graph, num_interests=4, embedding_dim=8)
        >>> model.embedding.shape  # a center and four interests, for five nodes
        torch.Size([5, 5, 8])
        >>> model(Batch(user=torch.tensor([1, 0]))).interests.shape
        torch.Size([2, 4, 8])
    """

    _kept: Layers | None = None

    def __init__(
        self,
        graph: HeteroData,
        num_interests: int = 4,
        embedding_dim: int = 64,
        num_layers: int = 3,
        *,
        weight: EdgeWeight | None = None,
        score: Score = "user_virtual",
        normalize: bool = False,
        init_std: float = 0.1,
    ) -> None:
        super().__init__()
        at_least(1, num_interests=num_interests, embedding_dim=embedding_dim)
        at_least(0, num_layers=num_layers)
        positive(init_std=init_std)
        adjacency = user_item_adjacency(graph, LightGCNWeight() if weight is None else weight)
        self.num_users, self.num_layers = int(graph["user"].num_nodes), num_layers
        self.normalize = normalize
        self.arrangement = Arrangement(score, normalize)
        self.edges = EdgeBuffers(adjacency)
        num_nodes = adjacency.size[0]
        self.embedding = nn.Parameter(torch.randn(1 + num_interests, num_nodes, embedding_dim) * init_std)

    def forward(self, batch: Batch) -> Representations:
        """Return the interests of the users of the batch and the vectors of all items.

        Raises:
            ValueError: If the batch has a number that is no user's (checked on the CPU).
        """
        require_users(batch.user, self.num_users)
        virtuals, centers = self._layers()
        ego = self.embedding.transpose(0, 1).flatten(1)  # [num_nodes, (1 + num_interests) * dim]
        return self.arrangement.represent(virtuals, centers, ego, batch.user, slice(self.num_users, None))

    @torch.no_grad()
    def propagating_once(self) -> AbstractContextManager[None]:
        """Propagate now, and no more for what this thread asks in evaluation mode in this context, as InterestGCN's."""
        return keeping(self, self._layers())

    @torch.no_grad()
    def propagated(self) -> "SeparateInterestGCN":
        """Return a copy that has propagated over the graph, so that a request costs less, as InterestGCN's."""
        other = deepcopy(self, {id(self.edges): self.edges, id(self._kept): None})
        other._kept = other._layers()
        return other

    def _layers(self) -> Layers:
        """Return layer means of the virtual interests, ``[num_nodes, num_interests, dim]``, and centers: one each."""
        if (layers := kept(self, self._kept)) is not None:
            return layers
        adjacency = self.edges()
        x: Tensor = self.embedding  # [1 + num_interests, num_nodes, dim], the center first
        total = x
        for _ in range(self.num_layers):
            x = propagate(adjacency, x)
            total = total + x
        center, *virtual = (total / (self.num_layers + 1)).unbind(0)
        return [torch.stack(virtual, dim=1)], [center]

    @torch.no_grad()
    def contributions(self) -> Callable[[Batch], Contributions]:
        """Return a function that says through which neighbours users came to their interests, as InterestGCN's."""
        adjacency, x = self.edges(), self.embedding.detach()
        sent = torch.zeros_like(x)  # what a node gives its neighbours in all layers
        for _ in range(self.num_layers):
            sent += x
            x = propagate(adjacency, x)
        return partial(self._contributions, sent / (self.num_layers + 1))

    @torch.no_grad()
    def _contributions(self, sent: Tensor, batch: Batch) -> Contributions:
        adjacency = self.edges()
        entries, row = adjacency.entries(batch.user)
        src = adjacency.col[entries].long()
        parts = sent[:, src].transpose(0, 1) * adjacency.value[entries].view(-1, 1, 1)
        own = self.embedding[:, batch.user].transpose(0, 1) / (self.num_layers + 1)  # [batch, 1 + num_interests, dim]
        return self.arrangement.decompose(
            (parts[:, 1:], own[:, 1:]), (parts[:, 0], own[:, 0]), row, src - self.num_users
        )
