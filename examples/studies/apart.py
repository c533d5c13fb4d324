"""Are models that were trained apart, side by side, better than one? Their vectors as interests of one user.

Several runs of one experiment that differ by their seeds are put together in two ways. *By the best*: the vector of
each is an interest with items of its own, and the best one counts, as in serving several interests. *Added up*: all
vectors side by side are one long one, so the scores add up. How many runs and which way is chosen on validation; the
test is compared with the runs alone, user by user and averaged over them, with Holm's correction over the rows.

    graphmi train PRESET --data ml-100k --seed 0 --out runs/apart/0     # and: seeds 1, 2, 3
    python examples/studies/apart.py runs/apart/0 runs/apart/1 runs/apart/2 runs/apart/3

``--beside`` names other runs on the same data for the table, such as a wider model. ``--out`` is the file of the
numbers.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import torch
from answers import wide_console
from figures import interval
from question import METRIC
from rich.box import MARKDOWN
from rich.table import Table
from torch import Tensor, nn

from graphmi.cli import answer
from graphmi.estimates import paired
from graphmi.evaluation import Evaluation
from graphmi.models import SideBySide
from graphmi.restore import Restored, restore
from graphmi.result import describe_data, versions
from graphmi.run import RunFolder
from graphmi.usage import UsageError

SHOWN = (METRIC, "recall@20", "ndcg@10", "recall@10")
Reading = Literal["best", "sum"]
READINGS: dict[Reading, str] = {"best": "by the best", "sum": "added up"}


class Compared(Protocol):
    """What a table compares: the metric of each user, and numbers, several of a name where there are several runs."""

    @property
    def name(self) -> str:
        """What was evaluated."""
        ...

    @property
    def per_user(self) -> Tensor:
        """The test metric of each user, averaged where there are several runs."""
        ...

    def numbers(self) -> Mapping[str, Sequence[float]]:
        """Return what the table shows, a list each."""
        ...


@dataclass(frozen=True)
class Row:
    """A row of the table.

    Attributes:
        name: What was evaluated.
        valid: Validation metric of each.
        test: The test of each: several where runs are alone.
    """

    name: str
    valid: Sequence[float]
    test: Sequence[Evaluation]

    @property
    def per_user(self) -> Tensor:
        """The test metric of each user, averaged."""
        return torch.stack([one.per_user[METRIC] for one in self.test]).mean(0)

    def numbers(self) -> dict[str, Any]:
        """Return what the table shows, a list each."""
        spread = [one.groups[f"diversity-controlled/{METRIC}"].std for one in self.test if one.groups]
        return {
            "valid": list(self.valid),
            **{name: [one.metrics[name] for one in self.test] for name in SHOWN},
            "spread": spread,
        }


def evaluated(name: str, asked: Restored, models: Sequence[nn.Module], diversity: Tensor) -> Row:
    """Return validation and test of some models, each on its own."""
    one, valid, test = asked.experiment, [], []
    with torch.no_grad():
        for model in models:
            valid.append(one.evaluate(model, asked.dataset, "valid", (20,), diversity).metrics[METRIC])
            test.append(one.evaluate(model, asked.dataset, "test", (10, 20), diversity))
    return Row(name, valid, test)


def rows(runs: Sequence[Restored], beside: Mapping[str, Restored]) -> list[Row]:
    """Return the runs alone, what is beside them, and the first 2, 3, ... of them together."""
    models = [run.model for run in runs]
    diversity = runs[0].experiment.groups.values(runs[0].dataset.train)  # of all, which have the same data
    found = [evaluated("alone", runs[0], models, diversity)]
    found += [evaluated(name, run, [run.model], diversity) for name, run in beside.items()]
    for number in range(2, len(models) + 1):
        found += [
            evaluated(f"{number}, {text}", runs[0], [SideBySide(models[:number], reading)], diversity)
            for reading, text in READINGS.items()
        ]
    return found


def opened(folders: Sequence[Path]) -> list[Restored]:
    """Return runs, which must have the same data."""
    runs = [restore(RunFolder(folder)) for folder in folders]
    for folder, run in zip(folders, runs, strict=True):
        if describe_data(run.experiment, run.dataset) != describe_data(runs[0].experiment, runs[0].dataset):
            raise UsageError(f"'{folder}' has other data than '{folders[0]}': name runs of the same data and split")
    return runs


def compared(found: Sequence[Compared]) -> dict[str, dict[str, object]]:
    """Return how each row differs from the first, user by user, with Holm's correction over the rows."""
    tests = paired([row.per_user for row in found])
    return {row.name: test["all"].to_dict() for row, test in zip(found[1:], tests, strict=True)}


def table(found: Sequence[Compared], tests: Mapping[str, Mapping[str, Any]]) -> Table:
    """Return all rows, with the columns of the last."""
    shown, columns = Table(box=MARKDOWN), found[-1].numbers()
    for column in ("", *columns, f"less {found[0].name}", "p (Holm)"):
        shown.add_column(column, justify="right" if column else "left")
    for row in found:
        numbers, test = row.numbers(), tests.get(row.name)
        last = ("", "")
        if test:
            low, high = test["interval"]
            last = f"{test['difference']:+.4f} [{low:+.4f}, {high:+.4f}]", f"{test['wilcoxon_holm']:.2g}"
        shown.add_row(row.name, *(_text(numbers[name]) for name in columns), *last)
    return shown


def _text(values: Sequence[float]) -> str:
    center, half = interval(values)
    return f"{center:.4f} ± {half:.4f}" if half else f"{center:.4f}"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("runs", type=Path, nargs="+", help="run folders of 'graphmi train'")
    parser.add_argument("--beside", type=Path, nargs="*", default=[], help="other runs for the table")
    parser.add_argument("--out", type=Path, default=Path("runs/apart.json"))
    arguments = parser.parse_args()
    if len(arguments.runs) < 2:
        raise UsageError(f"name at least two runs (got {arguments.runs[0]})")
    asked = opened([*arguments.runs, *arguments.beside])
    runs, others = asked[: len(arguments.runs)], asked[len(arguments.runs) :]
    found = rows(runs, dict(zip((folder.name for folder in arguments.beside), others, strict=True)))
    tests = compared(found)
    wide_console().print(table(found, tests))
    content = {
        "data": Path(runs[0].experiment.data).name,
        "versions": versions(),
        "rows": {row.name: row.numbers() for row in found},
        "less alone": tests,
    }
    RunFolder(arguments.out.parent).write_text(arguments.out.name, json.dumps(content, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(answer(main))
