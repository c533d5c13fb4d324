"""REMI: negatives that are hard for the interest in question, and interests that do not rest on one item.

Xie et al., Rethinking Multi-Interest Learning for Candidate Matching in Recommender Systems, RecSys 2023,
https://arxiv.org/abs/2302.14532. Uniform negatives are easy for an interest that has specialised, so REMI weighs those
higher that score high (beta); and self-attention tends to put all weight of an interest on a single item (routing
collapse), which a penalty on the variance of the routing weights prevents.

    python examples/remi.py [--data ml-100k] [--epochs 300]

The table takes the two parts away one by one. `largest weight` is the mean of the largest routing weight of an
interest, 1 where an interest rests on one item; `hardness` is the share of the softmax's weight that the ten hardest of
a user's negatives have.
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
from graphmi.losses import HardNegativeWeighting
from graphmi.typing import Batch

BETA = 1.0
VARIANTS = {  # beta, routing regularization
    "ComiRec-SA": (0.0, False),
    "hard negatives": (BETA, False),
    "routing regularization": (0.0, True),
    "REMI": (BETA, True),
}


def train(arguments: argparse.Namespace, beta: float, regularized: bool) -> tuple[Dataset, Trained]:
    """Train the preset with or without its two parts."""
    options: dict[str, object] = {} if regularized else {"loss__regularizers": []}
    run = experiment(
        "remi",
        arguments.data,
        loss__weighting__beta=beta,
        trainer__epochs=arguments.epochs,
        trainer__learning_rate=0.003,
        trainer__validate_every=5,
        replicates=0,
        **options,
    )
    dataset = run.dataset()
    return dataset, run.train(dataset)


@torch.no_grad()
def measure(dataset: Dataset, trained: Trained, beta: float) -> tuple[str, str]:
    """Return the largest routing weight, and the share of the ten hardest of all items as negatives."""
    model, users = trained.model.cpu().eval(), dataset.test.user
    history, mask = Histories(dataset.known("test")).read(users, model.max_length)
    out = model(Batch(user=users, history=history, mask=mask))
    largest = out.routing.amax(-1).mean()
    scores = torch.einsum("bkd,nd->bkn", out.interests, out.items[torch.arange(len(out.items))])
    share = (scores + HardNegativeWeighting(beta)(scores)).softmax(-1).topk(10).values.sum(-1).mean()
    return f"{largest:.2f}", f"{share:.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="planted", help="a name of 'graphmi data list', or a file")
    parser.add_argument("--epochs", type=int, default=30, help="most epochs; a user is one example in each")
    arguments = parser.parse_args()
    table = Table("scheme", "recall@20", "ndcg@20", "largest weight", "hardness", title=f"{arguments.data}, test")
    for name, (beta, regularized) in VARIANTS.items():
        dataset, trained = train(arguments, beta, regularized)
        accuracy = (f"{trained.test.metrics[metric]:.4f}" for metric in ("recall@20", "ndcg@20"))
        table.add_row(name, *accuracy, *measure(dataset, trained, beta))
    Console().print(table)


if __name__ == "__main__":
    sys.exit(answer(main))
