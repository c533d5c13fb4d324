"""What the numbers of runs say, as a table and in words."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import PurePath
from typing import Any

from graphmi.comparison import NamedRun, mean_interval, paired, paired_spreads, shared_metrics
from graphmi.metrics import Interval, PairedResult, SpreadDifference

__all__ = ["Cell", "Summary", "bracketed", "excludes_zero", "in_use", "is_significant", "p_text", "signed"]

_LEVEL = 0.05


@dataclass(frozen=True)
class Cell:
    """A cell of a table.

    Attributes:
        text: What it says.
        note: What stands below it, such as an interval.
        verdict: What stands below that, such as the outcome of a test.
        best: Whether it is the best of its column.
    """

    text: str
    note: str = ""
    verdict: str = ""
    best: bool = False


@dataclass(frozen=True)
class Summary:
    """What stands out in runs that may be compared.

    A difference counts as significant where the Wilcoxon signed-rank test says so, after Holm's correction for the
    number of runs (within groups for that of runs and groups), and the bootstrap interval of the mean difference does
    not hold zero; one of spreads where its paired bootstrap interval does not.

    Attributes:
        runs: At least one; the others are tested against the first.
        metric: A test metric of all.
    """

    runs: Sequence[NamedRun]
    metric: str

    @property
    def data(self) -> dict[str, Any]:
        """What the runs were evaluated on."""
        found: dict[str, Any] = self.runs[0].result["data"]
        return found

    @property
    def data_name(self) -> str:
        """The name of the data without its options, or that of its file without the folders."""
        return PurePath(self.data["name"].partition(":")[0]).name

    @cached_property
    def differences(self) -> list[tuple[NamedRun, PairedResult]]:
        """The runs after the first, and their difference from it."""
        tests = paired([run.per_user[self.metric] for run in self.runs])
        return [(run, test["all"]) for run, test in zip(self.runs[1:], tests, strict=True)]

    @cached_property
    def group_differences(self) -> list[tuple[NamedRun, dict[str, PairedResult], SpreadDifference]]:
        """The runs after the first, and how they differ from it in each group and in the spread between groups."""
        group = self.runs[0].per_user[f"group/{self.grouping}"]
        values = [run.per_user[self.metric] for run in self.runs]
        spreads = [found["std"] for found in paired_spreads(values, group)]
        return list(zip(self.runs[1:], paired(values, group), spreads, strict=True))

    @property
    def grouping(self) -> str | None:
        """The groups that are spoken of: at equal activity where all runs have them."""
        for name in ("diversity-controlled", "diversity"):
            if all(f"{name}/{self.metric}" in run.result["groups"] for run in self.runs):
                return name
        return None

    @property
    def one_length(self) -> bool:
        """Whether the interests of all runs were looked at in lists of one length: longer ones draw on more."""
        return len({found[2] for run in self.runs if (found := in_use(run))}) < 2

    def header(self) -> list[str]:
        """Return the names of the columns of :meth:`rows`."""
        first = [f"{self.metric} less {self.runs[0].name}"] if len(self.runs) > 1 else []
        spread = ["spread between groups"] if self.grouping else []
        used = ["interests in use"] if self.one_length else []
        return ["run", *self._metrics(), *first, *spread, *used, "parameters", "epochs", "seconds"]

    def rows(self) -> list[list[Cell]]:
        """Return a row of cells for each run."""
        columns = [self._metric_column(name) for name in self._metrics()]
        if len(self.runs) > 1:
            columns.append([Cell("-", "compared to"), *(_difference(test) for _, test in self.differences)])
        if self.grouping:
            columns.append(self._spread_column())
        if self.one_length:
            columns.append([_in_use(run) for run in self.runs])
        columns.append([Cell(f"{run.result['num_parameters']:,}") for run in self.runs])
        columns.append([_epochs(run) for run in self.runs])
        columns.append([Cell(f"{run.result['timings']['train_seconds']:,.0f}") for run in self.runs])
        return [list(row) for row in zip(*columns, strict=True)]

    def _metrics(self) -> list[str]:
        k = self.metric.partition("@")[2]
        wanted = (self.metric, f"ndcg@{k}", f"recall@{k}")
        return [name for name in dict.fromkeys(wanted) if name in shared_metrics(self.runs)]

    def _metric_column(self, name: str) -> list[Cell]:
        values = [float(run.result["metrics"][name]) for run in self.runs]
        notes = [bracketed(mean_interval(run, name)) for run in self.runs]
        return _best([Cell(f"{v:.4f}", note) for v, note in zip(values, notes, strict=True)], values)

    def _spread_column(self) -> list[Cell]:
        groups = [run.result["groups"][f"{self.grouping}/{self.metric}"] for run in self.runs]
        against = ["", *(f"less {self.runs[0].name}: {signed(spread)}" for *_, spread in self.group_differences)]
        cells = [
            Cell(f"{group['std']:.4f}", _ends_text(group["intervals"].get("std")), less)
            for group, less in zip(groups, against, strict=True)
        ]
        return _best(cells, [-group["std"] for group in groups])


def _best(cells: list[Cell], values: list[float]) -> list[Cell]:
    """Mark the cells of the highest value; one run alone is not the best of anything."""
    if len(cells) < 2:
        return cells
    return [replace(cell, best=value == max(values)) for cell, value in zip(cells, values, strict=True)]


def is_significant(test: PairedResult) -> bool:
    """Return whether a difference counts."""
    return test.wilcoxon_holm < _LEVEL and excludes_zero(test.interval)


def excludes_zero(interval: Interval) -> bool:
    """Return whether an interval lies on one side of zero."""
    return not interval.low <= 0 <= interval.high


def p_text(p: float) -> str:
    """Return a p-value as people write it."""
    return "no test" if math.isnan(p) else "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def signed(found: PairedResult | SpreadDifference) -> str:
    """Return a difference with its interval as text."""
    return f"{found.difference:+.4f} [{found.interval.low:+.4f}, {found.interval.high:+.4f}]"


def _difference(test: PairedResult) -> Cell:
    verdict = "significant" if is_significant(test) else "not significant"
    difference, interval = signed(test).split(" ", 1)
    return Cell(difference, interval, f"{p_text(test.wilcoxon_holm)}, {verdict}")


def bracketed(interval: Interval) -> str:
    """Return an interval as text."""
    return f"[{interval.low:.4f}, {interval.high:.4f}]"


def _ends_text(ends: Sequence[float] | None) -> str:
    return "" if ends is None else f"[{ends[0]:.4f}, {ends[1]:.4f}]"


def in_use(run: NamedRun) -> tuple[float, int, int] | None:
    """Return how many interests a list draws on, of how many, and its length; ``None`` for a run with one interest."""
    for name, value in (run.result.get("interests") or {}).items():
        if name.startswith("effective@") and value is not None:
            return float(value), len(run.result["interest_share"][0]), int(name.partition("@")[2])
    return None


def _in_use(run: NamedRun) -> Cell:
    found = in_use(run)
    return Cell("1") if found is None else Cell(f"{found[0]:.2f}", f"of {found[1]} in the top {found[2]}")


def _epochs(run: NamedRun) -> Cell:
    epochs, best = run.result["epochs"], run.result["best_epoch"]
    return Cell(str(epochs), f"best: {best}") if epochs else Cell("-", "not trained")
