"""A search over the options of a model of your own: any class that turns a batch into ``Representations``.

The model below is PyG's GraphSAGE on the user-item graph, one interest per user; graphmi does not know it. Its
arguments are options like all others, so a range beside a name is all that a search needs. What comes out is what
``tuning/study.py`` gives for presets: ``best.yaml``, runs over several seeds and a page.

    python examples/tune_own_model.py [--data ml-100k] [--epochs 50] [--trials 20] [--out studies/sage]

Started again it goes on; started twice, two processes share the trials.
"""

import argparse
import sys

import optuna
import torch
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from rich.console import Console
from torch import Tensor, nn
from torch_geometric.data import HeteroData
from torch_geometric.nn import GraphSAGE

from graphmi.cli import answer
from graphmi.config import read_config
from graphmi.tuning import Search, finish
from graphmi.typing import Batch, Representations


class SageModel(nn.Module):
    """GraphSAGE over users and items.

    Args:
        graph: The training graph.
        dim: Size of the vectors.
        num_layers: Number of convolutions.
    """

    edge_index: Tensor

    def __init__(self, graph: HeteroData, dim: int = 32, num_layers: int = 2) -> None:
        super().__init__()
        self.num_users = int(graph["user"].num_nodes)
        user, item = graph["user", "interacts", "item"].edge_index
        item = item + self.num_users
        both = torch.stack([torch.cat([user, item]), torch.cat([item, user])])
        self.register_buffer("edge_index", both, persistent=False)
        self.embedding = nn.Embedding(self.num_users + int(graph["item"].num_nodes), dim)
        self.layers = GraphSAGE(dim, dim, num_layers)

    def forward(self, batch: Batch) -> Representations:
        """Return one interest per user, and all items."""
        nodes = self.layers(self.embedding.weight, self.edge_index)
        return Representations(nodes[batch.user].unsqueeze(1), nodes[self.num_users :])


CONFIG = """
model: tune_own_model.SageModel
loss:
  class_path: MultiInterestLoss
  init_args: {readout: SelectReadout, objective: {class_path: SampledSoftmaxLoss}}
sampler: {class_path: UniformSampler, init_args: {num_negatives: 256, shared: true}}
"""
SPACE = {
    "model.dim": CategoricalDistribution([16, 32, 64]),
    "model.num_layers": IntDistribution(1, 3),
    "trainer.learning_rate": FloatDistribution(1e-4, 1e-1, log=True),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="planted")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--trials", type=int, default=6)
    parser.add_argument("--out", default="studies/sage")
    arguments = parser.parse_args()
    words = ["--data", arguments.data, "--trainer.epochs", str(arguments.epochs), "--replicates", "0"]
    search = Search(read_config(CONFIG, arguments=words), SPACE, arguments.out)
    search.run(arguments.trials)
    Console().print(search.best_trial.params)
    Console().print(f"see {finish(search, seeds=2)}")


if __name__ == "__main__":
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sys.exit(answer(main))
