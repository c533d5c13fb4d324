"""BaM: every interest gets to learn, because the one that is trained is drawn and not always the best.

Towards True Multi-interest Recommendation: Enhanced Scheme for Balanced Interest Training, IEEE BigData 2024,
https://github.com/jlunits2/BaM. Training the interest that fits the target best lets the rich get richer: an interest
that was never best never learns, and in serving one interest finds nearly all items. BaM draws the interest in
proportion to exp(fit). The draw has an expectation that needs no drawing (`ExpectedReadout`), where the projection of
BaM-l, which the draw leaves random, would learn.

    python examples/bam.py [--data ml-100k] [--epochs 300] [--backbone mind]

The table compares selections on one backbone. `largest share` is the share of a user's 10 best items that come from the
interest that finds most, on average; `effective` the number of interests that as evenly used would be as diverse
(exp of the entropy of the shares over all users).
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
from graphmi.presets import backbone_names
from graphmi.retrieval import top_k
from graphmi.typing import Batch

EXPECTED = {"loss__readout": "ExpectedReadout", "loss__readout__selector": "SoftmaxSelector"}
VARIANTS = {
    "hard": ("comirec-sa", {}),
    "BaM-p, drawn": ("bam", {}),
    "BaM-l, drawn after a projection": ("bam-linear", {}),
    "expectation of BaM-p": ("bam", EXPECTED),
    "BaM-p with log-sum-exp": ("bam-long", {}),
}


def train(preset: str, arguments: argparse.Namespace, options: dict[str, object]) -> tuple[Dataset, Trained]:
    """Train a preset on the backbone that was asked for."""
    run = experiment(
        preset,
        arguments.data,
        backbone=arguments.backbone,
        trainer__epochs=arguments.epochs,
        trainer__learning_rate=0.003,
        trainer__validate_every=5,
        replicates=0,
        **options,
    )
    dataset = run.dataset()
    return dataset, run.train(dataset)


@torch.no_grad()
def balance(dataset: Dataset, trained: Trained) -> tuple[str, str]:
    """Return the largest share of the 10 best items, and the effective number of interests."""
    model, users = trained.model.cpu().eval(), dataset.test.user
    history, mask = Histories(dataset.known("test")).read(users, model.max_length)
    out = model(Batch(user=users, history=history, mask=mask))
    best = top_k(out.interests, out.items, 10, interest_mask=out.interest_mask)
    share = torch.nn.functional.one_hot(best.interest, out.interests.size(1)).float().mean(1)  # [users, num_interests]
    effective = torch.special.entr(share.mean(0)).sum().exp()
    return f"{share.amax(1).mean():.2f}", f"{effective:.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="planted", help="a name of 'graphmi data list', or a file")
    parser.add_argument("--epochs", type=int, default=30, help="most epochs; a user is one example in each")
    parser.add_argument("--backbone", choices=backbone_names(), default="comirec-sa")
    arguments = parser.parse_args()
    title = f"{arguments.data} on {arguments.backbone}, test"
    table = Table("selection", "recall@20", "ndcg@20", "largest share", "effective", title=title)
    for name, (preset, options) in VARIANTS.items():
        dataset, trained = train(preset, arguments, options)
        accuracy = (f"{trained.test.metrics[metric]:.4f}" for metric in ("recall@20", "ndcg@20"))
        table.add_row(name, *accuracy, *balance(dataset, trained))
    Console().print(table)


if __name__ == "__main__":
    sys.exit(answer(main))
