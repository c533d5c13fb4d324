import pytest
import torch
from torch_geometric.data import HeteroData


@pytest.fixture(scope="session")
def make_graph():
    """A training graph from each user's known items."""

    def make(known, num_items):
        graph = HeteroData()
        graph["user"].num_nodes, graph["item"].num_nodes = len(known), num_items
        pairs = [(user, item) for user, items in enumerate(known) for item in items]
        graph["user", "interacts", "item"].edge_index = torch.tensor(pairs, dtype=torch.long).view(-1, 2).T
        return graph

    return make
