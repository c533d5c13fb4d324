r"""A selector of your own: how it is written, used from Python, and named on the command line.

Which interest does a target train? ComiRec says: the one that fits best, and the others learn nothing from it. BaM
draws one. Here is another answer, in ten lines: the two that fit best share the target. A selector returns weights over
the interests, and everything else composes with it: any model, objective, weighting and sampler.

    python examples/custom_selector.py [--data ml-100k] [--epochs 200]

The command takes the class too, by its name on the import path, and its arguments become options:

    cd examples
    PYTHONPATH=. graphmi train comirec-sa --data planted --out runs/top-two \
        --loss.readout.selector custom_selector.TopTwoSelector --loss.readout.selector.temperature 2
"""

import argparse
import sys
from collections.abc import Mapping
from dataclasses import replace

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from graphmi.cli import answer
from graphmi.config import experiment
from graphmi.losses import MultiInterestLoss, SampledSoftmaxLoss
from graphmi.nn import ArgmaxSelector, SampledSelector, Selector, SelectReadout, mask_interests

METRICS = ("recall@20", "ndcg@20")


class TopTwoSelector(Selector):
    """The two interests that fit the item best, in proportion to their fit.

    Args:
        temperature: Multiplies the fit: 0 counts the two alike, a large one only the better.
    """

    def __init__(self, temperature: float = 1.0) -> None:
        super().__init__()
        self.temperature = temperature

    def forward(self, interests: Tensor, anchor: Tensor, interest_mask: Tensor | None = None) -> Tensor:
        """Return the weights, ``[batch, num_interests, num_anchors]``."""
        fit = mask_interests(interests @ anchor.transpose(-1, -2), interest_mask)
        second = fit.topk(min(2, fit.size(1)), dim=1).values[:, -1:]  # [batch, 1, num_anchors]
        return (self.temperature * fit).masked_fill(fit < second, -torch.inf).softmax(1)


def train(selector: Selector, arguments: argparse.Namespace) -> Mapping[str, float]:
    """Train ComiRec-SA with this selector in its loss, and return the test metrics of its best epoch."""
    run = experiment(
        "comirec-sa",
        arguments.data,
        trainer__epochs=arguments.epochs,
        trainer__learning_rate=0.003,
        trainer__validate_every=5,
        replicates=0,
    )
    run = replace(run, loss=MultiInterestLoss(SelectReadout(selector), SampledSoftmaxLoss()))
    return run.train(run.dataset()).test.metrics


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="planted", help="a name of 'graphmi data list', or a file")
    parser.add_argument("--epochs", type=int, default=20, help="most epochs; a user is one example in each")
    arguments = parser.parse_args()
    table = Table("selector", *METRICS, title=f"ComiRec-SA, test on {arguments.data}")
    for selector in (ArgmaxSelector(), SampledSelector(), TopTwoSelector()):
        metrics = train(selector, arguments)
        table.add_row(type(selector).__name__, *(f"{metrics[name]:.4f}" for name in METRICS))
    Console().print(table)


if __name__ == "__main__":
    sys.exit(answer(main))
