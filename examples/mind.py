"""MIND: interests by capsule routing, as many as the history is long enough for.

Li et al., Multi-Interest Network with Dynamic Routing for Recommendation at Tmall, CIKM 2019,
https://arxiv.org/abs/1904.08030. The items of a history are shared out among interest capsules, in iterations: what
agrees with a capsule gets more of it. A history of n items has log2(n) capsules, at least one and at most K. In
training the capsules attend to the item that came next (label-aware attention): the larger the power, the more does the
capsule that fits best count alone. In serving the best one counts.

    python examples/mind.py [--data ml-100k] [--epochs 200]

The first table compares powers, and a single interest trained in the same way. Users of `planted` have two topics: the
single vector is nearer to one of them and recommends less of the other, which recall hardly shows, because either topic
may come next. The second table asks MIND again with less of the histories: fewer items, fewer interests.
"""

import argparse
import sys

import torch
from rich.console import Console
from rich.table import Table

from graphmi.cli import answer
from graphmi.config import experiment
from graphmi.data import Dataset, Histories
from graphmi.experiment import Experiment, Trained
from graphmi.retrieval import rank
from graphmi.typing import Batch

COLUMNS = ("recall@20", "ndcg@20", "topics among 20", "interests")
VARIANTS = {
    "one interest": {"model__extractor__num_interests": 1},
    "MIND, power 1": {},
    "MIND, power 16": {"loss__readout__selector__power": 16},
}


def train(arguments: argparse.Namespace, **options: object) -> tuple[Experiment, Dataset, Trained]:
    """Train the preset with some options of it changed."""
    run = experiment(
        "mind",
        arguments.data,
        trainer__epochs=arguments.epochs,
        trainer__learning_rate=0.003,
        trainer__validate_every=5,
        replicates=0,
        **options,
    )
    dataset = run.dataset()
    return run, dataset, run.train(dataset)


@torch.no_grad()
def measure(run: Experiment, dataset: Dataset, trained: Trained, max_length: int | None = None) -> list[str]:
    """Return accuracy on the test, categories among the 20 best items, and active interests per user."""
    model = trained.model.cpu().eval()
    model.max_length = max_length or model.max_length  # the evaluator reads that much of each history
    metrics = run.evaluate(model, dataset, "test").metrics
    users, graph = dataset.test.user.unique(), dataset.graph()
    history, mask = Histories(dataset.known("test")).read(users, model.max_length)
    out = model(Batch(user=users, history=history, mask=mask))
    topics, category = "-", graph["item"].get("category")
    if category is not None:
        _, best = rank(out.interests, out.items, 20, interest_mask=out.interest_mask)
        topics = f"{category[best].amax(1).sum(1).mean():.2f}"
    interests = out.interest_mask.sum(1).float().mean()
    return [f"{metrics['recall@20']:.4f}", f"{metrics['ndcg@20']:.4f}", topics, f"{interests:.2f}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="planted", help="a name of 'graphmi data list', or a file")
    parser.add_argument("--epochs", type=int, default=40, help="most epochs; a user is one example in each")
    arguments = parser.parse_args()
    compared = Table("model", *COLUMNS, title=f"test on {arguments.data}")
    for name, options in VARIANTS.items():
        trained = train(arguments, **options)
        compared.add_row(name, *measure(*trained))
    shortened = Table("items read", *COLUMNS, title=f"{name}, with less of the histories")
    for length in (1, 2, 4, 8, 16, 32):
        shortened.add_row(f"at most {length}", *measure(*trained, max_length=length))
    Console().print(compared, shortened, sep="\n")


if __name__ == "__main__":
    sys.exit(answer(main))
