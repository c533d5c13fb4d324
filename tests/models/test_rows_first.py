"""Means over layers, of the rows of a batch or of all nodes first."""

import torch
from torch_geometric.data import HeteroData

from graphmi.models import InterestGCN
from graphmi.typing import Batch


def test_batches_larger_than_the_graph_equal_their_rows_one_by_one():
    graph = HeteroData({"user": {"num_nodes": 4}, "item": {"num_nodes": 5}})
    graph["user", "interacts", "item"].edge_index = torch.tensor([[0, 0, 1, 1, 2, 2], [0, 1, 1, 2, 2, 3]])
    for score in ("user_virtual", "pair_max", "symmetric", "center"):
        model = InterestGCN(graph, num_interests=2, embedding_dim=4, score=score, normalize=True).double()
        user = torch.arange(4).repeat(5)  # more rows than the nine nodes
        together = model(Batch(user=user)).interests
        alone = torch.cat([model(Batch(user=each)).interests for each in user.split(1)])
        torch.testing.assert_close(together, alone)
