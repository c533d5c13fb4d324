"""ComiRec: several interests from a history, by self-attention or by dynamic routing.

Cen et al., Controllable Multi-Interest Framework for Recommendation, KDD 2020, https://arxiv.org/abs/2005.09347. A user
reads one target per step, as published: the interest that fits the target best is trained against shared negatives, and
in serving every interest searches for itself. The other way to train is new: the interests after every prefix of a
history come from one pass, so that a step has fifty targets per user instead of one.

    python examples/comirec.py [--data ml-100k] [--epochs 300]

The table compares both extractors and both ways, at about the same number of targets, and a single interest beside
them. Users of `planted` have two topics; `topics` counts the categories among a user's 20 best items.
"""

import argparse
import sys

import torch
from rich.console import Console
from rich.table import Table

from graphmi.cli import answer
from graphmi.config import experiment
from graphmi.data import Dataset, Histories
from graphmi.experiment import Trained
from graphmi.retrieval import top_k
from graphmi.typing import Batch

PREFIXES = {"loader": "PrefixLoader", "loader__batch_size": 1024}
VARIANTS = {  # preset, options, and how many passes over the users make as many targets
    "self-attention, one interest": ("comirec-sa", {"model__extractor__num_interests": 1}, 1),
    "self-attention": ("comirec-sa", {}, 1),
    "dynamic routing": ("comirec-dr", {}, 1),
    "self-attention, all prefixes": ("comirec-sa", PREFIXES, 10),
}


def train(
    preset: str, arguments: argparse.Namespace, options: dict[str, object], fewer: int
) -> tuple[Dataset, Trained]:
    """Train a preset with some options of it changed."""
    run = experiment(
        preset,
        arguments.data,
        trainer__epochs=max(1, arguments.epochs // fewer),
        trainer__learning_rate=0.003,
        trainer__validate_every=max(1, 5 // fewer),
        replicates=0,
        **options,
    )
    dataset = run.dataset()
    return dataset, run.train(dataset)


@torch.no_grad()
def topics(dataset: Dataset, trained: Trained) -> tuple[str, str]:
    """Return how many categories and how many interests the 20 best items of a user come from."""
    model, category = trained.model.cpu().eval(), dataset.graph()["item"].get("category")
    users = dataset.test.user
    history, mask = Histories(dataset.known("test")).read(users, model.max_length)
    out = model(Batch(user=users, history=history, mask=mask))
    best = top_k(out.interests, out.items, 20, interest_mask=out.interest_mask)
    used = torch.nn.functional.one_hot(best.interest, out.interests.size(1)).amax(1).sum(1).float().mean()
    found = "-" if category is None else f"{category[best.ids].amax(1).sum(1).mean():.2f}"
    return found, f"{used:.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="planted", help="a name of 'graphmi data list', or a file")
    parser.add_argument("--epochs", type=int, default=30, help="most epochs; a user is one example in each")
    arguments = parser.parse_args()
    table = Table(
        "model", "recall@20", "ndcg@20", "topics", "interests used", "targets/s", title=f"{arguments.data}, test"
    )
    for name, (preset, options, fewer) in VARIANTS.items():
        dataset, trained = train(preset, arguments, options, fewer)
        metrics, history = trained.test.metrics, trained.history
        accuracy = (f"{metrics['recall@20']:.4f}", f"{metrics['ndcg@20']:.4f}")
        table.add_row(name, *accuracy, *topics(dataset, trained), f"{history.pairs / history.seconds:,.0f}")
    Console().print(table)


if __name__ == "__main__":
    sys.exit(answer(main))
