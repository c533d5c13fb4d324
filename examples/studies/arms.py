"""Do arms of several seeds differ, and for which users? Runs that differ in nothing but the seed are one arm.

    graphmi train PRESET --data ml-100k --seed 0 --out runs/one/0      # and other seeds, and other arms
    python examples/studies/arms.py runs/one/* runs/several/*

The first arm is what the others are compared with, user by user and averaged over seeds: of all users, and by groups of
interest diversity at equal activity (``--groups diversity`` for plain ones), narrow users first, with Holm's correction
for the number of arms, and of groups. ``--out`` is the file of the numbers.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from answers import wide_console
from apart import compared, table
from figures import interval
from question import METRIC
from rich.box import MARKDOWN
from rich.table import Table
from torch import Tensor

from graphmi.cli import answer
from graphmi.comparison import Model, NamedRun, by_seed, check_comparable, named
from graphmi.estimates import paired
from graphmi.result import versions
from graphmi.run import RunFolder

SHOWN = ("ndcg@10", METRIC, "recall@10", "recall@20")


@dataclass(frozen=True)
class Seeds(Model):
    """Runs that differ by their seeds, as a row of a table."""

    @property
    def per_user(self) -> Tensor:
        """The test metric of each user, averaged."""
        return self.of_users(METRIC)


@dataclass(frozen=True)
class Arm(Seeds):
    """Seeds, and what they say of groups of users.

    Attributes:
        kind: The groups.
    """

    kind: str

    def numbers(self) -> dict[str, list[float]]:
        """Return what the table shows, a list each."""
        return {
            "valid": [run.result["valid_metrics"][METRIC] for run in self.runs],
            **{name: [run.result["metrics"][name] for run in self.runs] for name in SHOWN},
            "spread": [run.result["groups"][f"{self.kind}/{METRIC}"]["std"] for run in self.runs],
        }

    def by_group(self) -> list[list[float]]:
        """Return the metric of each group, for each run."""
        return [run.result["groups"][f"{self.kind}/{METRIC}"]["mean"] for run in self.runs]


def by_folder(folders: Sequence[Path]) -> dict[str, Sequence[NamedRun]]:
    """Return runs that can be compared, by their arm; its name is mostly that of the folder of its seeds."""
    runs = named([RunFolder(folder) for folder in folders])
    check_comparable(runs)
    return {model.name: model.runs for model in by_seed(runs)}


def tested(arms: Sequence[Arm]) -> dict[str, dict[str, dict[str, Any]]]:
    """Return how each arm differs from the first in each group."""
    group = arms[0].runs[0].per_user[f"group/{arms[0].kind}"]
    tests = paired([arm.per_user for arm in arms], group)
    return {
        arm.name: {name: test.to_dict() for name, test in found.items() if name != "all"}
        for arm, found in zip(arms[1:], tests, strict=True)
    }


def groups(arms: Sequence[Arm], tests: dict[str, dict[str, dict[str, Any]]]) -> Table:
    """Return the metric of each group, and how arms differ from the first."""
    number = len(arms[0].by_group()[0])
    shown = Table(*[f"{METRIC} of", *(f"group {place + 1}" for place in range(number))], box=MARKDOWN)
    for arm in arms:
        shown.add_row(arm.name, *(f"{interval(values)[0]:.4f}" for values in zip(*arm.by_group(), strict=True)))
        if found := tests.get(arm.name):
            cells = (
                f"{one['difference']:+.4f} [{one['interval'][0]:+.4f}, {one['interval'][1]:+.4f}] "
                f"p = {one['wilcoxon_holm']:.2g}"
                for one in found.values()
            )
            shown.add_row(f"less {arms[0].name}", *cells)
    return shown


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("runs", type=Path, nargs="+", help="run folders of 'graphmi train'")
    parser.add_argument("--groups", choices=("diversity-controlled", "diversity"), default="diversity-controlled")
    parser.add_argument("--out", type=Path, default=Path("runs/arms.json"))
    arguments = parser.parse_args()
    arms = [Arm(name, runs, arguments.groups) for name, runs in by_folder(arguments.runs).items()]
    tests = compared(arms)
    in_groups = tested(arms)
    wide_console().print(table(arms, tests))
    wide_console().print(groups(arms, in_groups))
    content = {
        "versions": versions(),
        "arms": {arm.name: {**arm.numbers(), "groups": arm.by_group()} for arm in arms},
        "seconds": {arm.name: [run.result["timings"]["train_seconds"] for run in arm.runs] for arm in arms},
        f"less {arms[0].name}": tests,
        f"less {arms[0].name}, in groups": in_groups,
    }
    RunFolder(arguments.out.parent).write_text(arguments.out.name, json.dumps(content, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(answer(main))
