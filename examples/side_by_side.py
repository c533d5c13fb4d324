"""Two kinds of models as one: a sequence model, and beside it what looks at the same users another way.

The three are trained apart (item neighbours need no training), and their scores add up: the vectors of users and items
lie side by side, so what evaluates, ranks, explains and serves one model does so for two. How much the second one
weighs is chosen on validation. On three data sets of four such pairs were 2 to 7 % better than the sequence model
alone (docs/results/both.md).

    python examples/side_by_side.py [--data ml-100k] [--epochs 40]

Of runs of the command the same is ``graphmi recommend RUN --beside RUN --weights 0.3 --user ID``.
"""

import argparse
import sys

from rich.console import Console
from rich.table import Table
from torch import nn

from graphmi.cli import answer
from graphmi.config import experiment
from graphmi.experiment import Experiment
from graphmi.models import SideBySide
from graphmi.recommender import Recommender

WEIGHTS = (0.1, 0.2, 0.3, 0.5, 1.0)
METRIC = "ndcg@20"
BESIDE = {  # preset and options of what is put beside the sequence model
    "LightGCN, by the latest items": ("lightgcn-latest", {}),
    "item neighbours of the latest items": ("item-knn", {"model__max_length": 3}),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="planted:num_users=300", help="a name of 'graphmi data list', or a file")
    parser.add_argument("--epochs", type=int, default=10)
    arguments = parser.parse_args()

    def asked(preset: str, **options: object) -> Experiment:
        return experiment(
            preset, arguments.data, trainer__epochs=arguments.epochs, trainer__progress=False, replicates=0, **options
        )

    sequence = asked("multi-interest-transformer", model__extractor__num_interests=1)
    dataset = sequence.dataset()
    table = Table("model", "weight", "validation", "test", title=f"{METRIC} on {arguments.data}")

    def add(name: str, model: nn.Module, weight: str = "") -> None:
        valid, test = (sequence.evaluate(model, dataset, part).metrics[METRIC] for part in ("valid", "test"))
        table.add_row(name, weight, f"{valid:.4f}", f"{test:.4f}")

    first = sequence.fit(dataset).model
    add("a sequence model", first)
    pairs = {}
    for name, (preset, options) in BESIDE.items():
        second = asked(preset, **options).fit(dataset).model
        add(name, second)
        tried = {weight: SideBySide([first, second], weights=[1.0, weight]) for weight in WEIGHTS}
        valid = {weight: sequence.evaluate(pair, dataset, "valid").metrics[METRIC] for weight, pair in tried.items()}
        best = max(valid, key=valid.__getitem__)
        pairs[name] = tried[best]
        add("  and the sequence model, added up", pairs[name], f"{best:g}")
    Console().print(table)

    data = sequence.interactions()
    recommender = Recommender(data, pairs["LightGCN, by the latest items"], k=3)
    [known] = recommender(data.users.ids[:1])
    [new] = recommender.for_histories([data.items.ids[:3]])
    print("for a user:", [one.item for one in known], " for somebody new:", [one.item for one in new])


if __name__ == "__main__":
    sys.exit(answer(main))
