"""A graph in mini-batches: PyG's LinkLoader, graphmi's sampler of neighbours and its layers, in a loop of one's own.

A training step sees a batch of pairs, negatives that PyG draws, a few neighbours of each, and a few of theirs. Its time
and memory depend on the batch and the number of neighbours, not on the size of the graph. Neither pyg-lib nor
torch-sparse is needed. Evaluation propagates over the whole graph, which without gradients needs little memory.

    python examples/sampled_graph.py [--data planted] [--epochs 10] [--neighbors 2 5 -1]

The same model in graphmi's own trainer, with any of its samplers and losses, needs one option:
`graphmi train interest-gcn --data ml-100k --model.num_neighbors 10 --model.sparse true`.
"""

import argparse
import sys
from dataclasses import replace

import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch_geometric.loader import LinkLoader
from torch_geometric.sampler import NegativeSampling

from graphmi.cli import answer
from graphmi.data import Dataset, RandomSplit, open_data
from graphmi.evaluator import Evaluator
from graphmi.losses import BPRLoss, MultiInterestLoss
from graphmi.models import InterestGCN
from graphmi.neighbors import BipartiteNeighborSampler
from graphmi.nn import SelectReadout
from graphmi.optim import LazyAdam
from graphmi.typing import Negatives

EDGE, REVERSE_EDGE = ("user", "interacts", "item"), ("item", "rev_interacts", "user")


def train(dataset: Dataset, num_neighbors: int, epochs: int, batch_size: int = 2048) -> tuple[float, float]:
    """Return the validation NDCG@20 and the mean number of edges that a batch propagates over."""
    torch.manual_seed(0)
    graph = dataset.graph()
    model = InterestGCN(graph, num_interests=4, embedding_dim=32, num_layers=2, sparse=True)
    loader = LinkLoader(
        graph,
        BipartiteNeighborSampler(graph, [num_neighbors] * 2),
        edge_label_index=EDGE,
        neg_sampling=NegativeSampling("triplet"),
        batch_size=batch_size,
        shuffle=True,
    )
    loss = MultiInterestLoss(SelectReadout(anchor="candidate"), BPRLoss())
    optimizer = LazyAdam(model.parameters(), lr=0.05)  # touches the rows of the nodes in the batch, no others
    num_edges = []
    for _ in track(range(epochs), f"{num_neighbors} neighbors", transient=True):
        for data in loader:
            out = model.on_sample(data)  # of each user and item of the batch once; all ids are those of the batch
            pairs = replace(out, interests=out.interests[data["user"].src_index])
            negatives = Negatives(data["item"].dst_neg_index.unsqueeze(1))
            value = loss(pairs, data["item"].dst_pos_index, negatives)
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
            num_edges.append(data[EDGE].num_edges + data[REVERSE_EDGE].num_edges)
    ndcg = Evaluator(dataset.valid, dataset.valid_history)(model).metrics["ndcg@20"]
    return ndcg, sum(num_edges) / len(num_edges)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="planted", help="a name of `graphmi data list`, or a file")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--neighbors", type=int, nargs="+", default=[2, 5, -1], help="per node and hop; -1 for all")
    arguments = parser.parse_args()
    dataset = RandomSplit()(open_data(arguments.data))
    table = Table("neighbors", "edges per batch", "validation NDCG@20", title=arguments.data)
    for num_neighbors in arguments.neighbors:
        ndcg, num_edges = train(dataset, num_neighbors, arguments.epochs)
        table.add_row("all" if num_neighbors == -1 else str(num_neighbors), f"{num_edges:,.0f}", f"{ndcg:.4f}")
    Console().print(table)


if __name__ == "__main__":
    sys.exit(answer(main))
