"""The floor of every comparison."""

import torch
from torch import Tensor, nn
from torch_geometric.data import HeteroData

from graphmi.edges import user_item_edges
from graphmi.typing import Batch, Representations

__all__ = ["Popularity"]


class Popularity(nn.Module):
    """Every user is recommended the items with the most training users. Nothing is trained.

    Args:
        graph: The training graph, ``('user', 'interacts', 'item')``.

    Shapes:
        - **input:** a batch of users ``[batch]``
        - **output:** ``interests [batch, 1, 1]`` of ones, ``items [num_items, 1]`` of counts

    Example:
        >>> import torch
        >>> from torch_geometric.data import HeteroData
        >>> graph = HeteroData({"user": {"num_nodes": 2}, "item": {"num_nodes": 3}})
        >>> graph["user", "interacts", "item"].edge_index = torch.tensor([[0, 0, 1], [0, 1, 1]])
        >>> Popularity(graph)(Batch(user=torch.tensor([0]))).items
        tensor([[1.],
                [2.],
                [0.]])
    """

    count: Tensor

    def __init__(self, graph: HeteroData) -> None:
        super().__init__()
        item = user_item_edges(graph)[1]
        self.register_buffer("count", torch.bincount(item, minlength=int(graph["item"].num_nodes)).float())

    def forward(self, batch: Batch) -> Representations:
        """Return the same interest for all users, and item counts."""
        ones = self.count.new_ones(batch.user.numel(), 1, 1)
        return Representations(interests=ones, items=self.count.unsqueeze(1))
