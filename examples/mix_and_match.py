"""One backbone, and many ways to train it: every readout with every objective, side by side.

The backbone is ComiRec-SA, whose interests after every item of a history train in one pass (PrefixLoader). Papers
differ in what they do with its interests. Rows are readouts, from several interests to a loss; columns are objectives
with a weighting of the negatives. ComiRec, BaM, REMI, MIND and MTMI are cells of this table, and so is what nobody has
published yet.

    python examples/mix_and_match.py [--data ml-100k] [--epochs 50] [--interests 4]

Each cell is the NDCG@20 on the test, of the epoch that is best on validation. The last row is a single interest.
"""

import argparse
import sys
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace

from rich.console import Console
from rich.progress import track
from rich.table import Table

from graphmi.cli import answer
from graphmi.config import experiment
from graphmi.experiment import Experiment
from graphmi.losses import BPRLoss, HardNegativeWeighting, MultiInterestLoss, SampledSoftmaxLoss
from graphmi.nn import (
    ArgmaxSelector,
    ExpectedReadout,
    InverseDistanceSelector,
    JointReadout,
    LabelAwareSelector,
    LogSumExpReadout,
    MixtureReadout,
    Readout,
    SampledSelector,
    SelectReadout,
    SoftmaxSelector,
)

READOUTS = {
    "the best for the target (ComiRec)": SelectReadout(ArgmaxSelector()),
    "drawn (BaM)": SelectReadout(SampledSelector()),
    "drawn, and all (BaM, long)": JointReadout([SelectReadout(SampledSelector()), LogSumExpReadout()]),
    "expectation of the draw": ExpectedReadout(SoftmaxSelector()),
    "attention (MIND)": SelectReadout(LabelAwareSelector()),
    "inverse distance (MTMI)": SelectReadout(InverseDistanceSelector(), anchor="candidate"),
    "the best for each item, as served": SelectReadout(ArgmaxSelector(), anchor="candidate"),
    "log-sum-exp": LogSumExpReadout(),
    "mixture of softmaxes": MixtureReadout(embedding_dim=64),
}
OBJECTIVES = {
    "softmax": (SampledSoftmaxLoss(), None),
    "hard negatives\n(REMI)": (SampledSoftmaxLoss(), HardNegativeWeighting(beta=1.0)),
    "BPR": (BPRLoss(), None),
}


def backbone(num_interests: int, arguments: argparse.Namespace) -> Experiment:
    """Return the preset, trained on the targets of all prefixes."""
    return experiment(
        "comirec-sa",
        arguments.data,
        model__extractor__num_interests=num_interests,
        loader="PrefixLoader",
        loader__batch_size=1024,
        sampler__num_negatives=100,
        trainer__epochs=arguments.epochs,
        trainer__learning_rate=0.01,
        trainer__validate_every=2,
        trainer__progress=False,
        replicates=0,
    )


def cells(run: Experiment, readout: Readout) -> Iterator[str]:
    """Train with each objective, and give the test metrics."""
    dataset = run.dataset()
    for objective, weighting in OBJECTIVES.values():
        trained = replace(run, loss=MultiInterestLoss(deepcopy(readout), objective, weighting)).train(dataset)
        yield f"{trained.test.metrics['ndcg@20']:.4f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="planted:num_users=400", help="a name of 'graphmi data list', or a file")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--interests", type=int, default=4)
    arguments = parser.parse_args()
    several, single = backbone(arguments.interests, arguments), backbone(1, arguments)
    rows = {name: (several, readout) for name, readout in READOUTS.items()}
    rows["a single interest"] = (single, SelectReadout())
    table = Table("which interest is trained", *OBJECTIVES, title=f"ComiRec-SA, NDCG@20, test on {arguments.data}")
    for name, (run, readout) in track(rows.items(), "Training", transient=True):
        table.add_row(name, *cells(run, readout))
    Console().print(table)


if __name__ == "__main__":
    sys.exit(answer(main))
