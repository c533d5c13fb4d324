"""A multi-interest layer inside a GNN of your own: another task, node features, and PyG's HeteroConv.

The task is not recommendation: users are *classified*. Each user of a planted world has two of eight topics, and the
network must name both from the items that the user touched. Items carry noisy features, users carry none. One branch
pools the neighbours into a single vector; the other uses MultiInterestConv and reads all of its interests.

    python examples/layer_in_your_gnn.py [--epochs 60] [--interests 4]

Nothing of graphmi but the layer is used in the network; the data are any HeteroData.
"""

import argparse
import sys

import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import Tensor, nn
from torch_geometric.data import HeteroData
from torch_geometric.nn import HeteroConv, SAGEConv
from torch_geometric.utils import one_hot
from torchmetrics.functional.classification import multilabel_average_precision

from graphmi.cli import answer
from graphmi.data import to_graph
from graphmi.data.planted import planted_world
from graphmi.nn import MultiInterestConv

NUM_TOPICS, NUM_FEATURES = 8, 32
TO_USER, TO_ITEM = ("item", "rev_interacts", "user"), ("user", "interacts", "item")


def make_data(seed: int = 0) -> tuple[HeteroData, Tensor]:
    """Return a graph with noisy item features, and the topics of each user, ``[num_users, num_topics]``."""
    interactions, topics = planted_world(800, 400, NUM_TOPICS, interests_per_user=2, noise=0.2, seed=seed)
    data = to_graph(interactions)
    generator = torch.Generator().manual_seed(seed)
    topic_features = torch.randn(NUM_TOPICS, NUM_FEATURES, generator=generator)
    noise = torch.randn(interactions.num_items, NUM_FEATURES, generator=generator)
    data["item"].x = data["item"].category @ topic_features + 2.5 * noise
    data["user"].x = torch.zeros(interactions.num_users, NUM_FEATURES)
    return data, one_hot(topics.flatten(), NUM_TOPICS).view(*topics.shape, -1).sum(1)


class UserClassifier(nn.Module):
    """Two hops of SAGE over both node types, then the interests of each user, and a linear classifier on them.

    Args:
        num_interests: Vectors per user in the last layer; 1 is ordinary pooling.
        dim: Hidden size.
    """

    def __init__(self, num_interests: int, dim: int = 32) -> None:
        super().__init__()
        self.first = HeteroConv({TO_USER: SAGEConv((-1, -1), dim), TO_ITEM: SAGEConv((-1, -1), dim)})
        convs = {edge: MultiInterestConv(dim, num_interests, rescale=True) for edge in (TO_USER, TO_ITEM)}
        self.last = HeteroConv(convs)
        self.classify = nn.Linear(num_interests * dim, NUM_TOPICS)

    def forward(self, data: HeteroData) -> Tensor:
        """Return the logit of every topic for every user, ``[num_users, num_topics]``."""
        x = {node: h.relu() for node, h in self.first(data.x_dict, data.edge_index_dict).items()}
        virtual, _ = self.last(x, data.edge_index_dict)["user"]  # [num_users, num_interests, dim]
        return self.classify(virtual.flatten(1))


def train(num_interests: int, epochs: int, seed: int = 0) -> float:
    """Return the average precision over users that were not trained on."""
    data, topics = make_data(seed)
    torch.manual_seed(seed)
    model = UserClassifier(num_interests)
    model(data)  # PyG's lazy sizes
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    fitted = torch.rand(len(topics), generator=torch.Generator().manual_seed(seed)) < 0.5
    for _ in track(range(epochs), f"num_interests = {num_interests}", transient=True):
        loss = nn.functional.binary_cross_entropy_with_logits(model(data)[fitted], topics[fitted].float())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        held_out = model(data)[~fitted]
    return float(multilabel_average_precision(held_out, topics[~fitted].long(), num_labels=NUM_TOPICS))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--interests", type=int, default=4)
    arguments = parser.parse_args()
    table = Table("num_interests", "average precision", title="topics of held-out users")
    for num_interests in (1, arguments.interests):
        table.add_row(str(num_interests), f"{train(num_interests, arguments.epochs):.4f}")
    Console().print(table)


if __name__ == "__main__":
    sys.exit(answer(main))
