"""Can one embedding fit all? A multi-interest graph network beside LightGCN: accuracy, and how it is spread over users.

The question of the WWW 2024 paper, https://arxiv.org/abs/2402.13495. Users differ in how many interests they have, and
one vector may serve those with few better than those with many. The paper gives every user several virtual interests,
made from one vector by attention, so that hardly a parameter is added; what is then compared is the utility by groups
of users from narrow to broad taste, and its standard deviation over these groups.

    python examples/multi_interest_gnn.py [--data ml-100k] [--epochs 200]

Users of `planted` have two interests each, in a space that is made small here (--dim): two of eight topics do not fit
into one direction of it. Groups are by the entropy of the categories that a user met, in training only.
"""

import argparse
import sys

from rich.console import Console
from rich.table import Table

from graphmi.cli import answer
from graphmi.config import experiment
from graphmi.experiment import Trained

METRICS = ("recall@20", "ndcg@20")
MODELS = {
    "LightGCN": ("lightgcn-softmax", 1),
    "K = 2": ("interest-gcn-softmax", 2),
    "K = 4": ("interest-gcn-softmax", 4),
}


def train(preset: str, num_interests: int, arguments: argparse.Namespace) -> Trained:
    """Train, choose the epoch on validation, and evaluate it on the test."""
    run = experiment(
        preset,
        arguments.data,
        split="RandomSplit",
        model__num_interests=num_interests,
        model__embedding_dim=arguments.dim,
        trainer__epochs=arguments.epochs,
        trainer__learning_rate=0.01,
        groups__num_groups=arguments.groups,
        replicates=0,
    )
    return run.train(run.dataset())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="planted", help="a name of 'graphmi data list', or a file with categories")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--dim", type=int, default=4, help="size of all vectors; more for real data")
    parser.add_argument("--groups", type=int, default=5, help="groups of users, from narrow to broad taste")
    arguments = parser.parse_args()
    accuracy = Table("model", "best epoch", *METRICS, title=f"test on {arguments.data}")
    numbers = [str(number + 1) for number in range(arguments.groups)]
    spread = Table("model", *numbers, "std", "gap", title="NDCG@20 by diversity of interests, the narrowest first")
    for name, (preset, num_interests) in MODELS.items():
        trained = train(preset, num_interests, arguments)
        values = (f"{trained.test.metrics[metric]:.4f}" for metric in METRICS)
        accuracy.add_row(name, str(trained.history.best_epoch), *values)
        group = trained.test.groups["diversity/ndcg@20"]
        spread.add_row(name, *(f"{mean:.4f}" for mean in group.mean), f"{group.std:.4f}", f"{group.gap:.4f}")
    Console().print(accuracy, spread, sep="\n")


if __name__ == "__main__":
    sys.exit(answer(main))
