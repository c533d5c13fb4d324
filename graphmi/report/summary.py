"""The numbers of models side by side, and the tables of the page."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import PurePath
from statistics import fmean
from typing import Any

from graphmi.comparison import Model, NamedRun, averaged, shared_lists, shared_metrics
from graphmi.data import SOURCES
from graphmi.estimates import (
    Estimate,
    GroupEstimates,
    group_estimates,
    metric_estimate,
    over_seeds,
    paired,
    paired_spreads,
    seed_interval,
)
from graphmi.metrics import Interval, PairedResult, SpreadDifference

__all__ = ["Cell", "Summary", "around", "excludes_zero", "in_use", "is_significant", "of_interests", "p_text", "signed"]

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
    """The numbers of models whose runs may be compared.

    A difference counts as significant where the Wilcoxon signed-rank test says so, after Holm's correction for the
    number of models (within groups for that of models and groups), and the bootstrap interval of the mean difference
    does not hold zero; one of spreads where its paired bootstrap interval does not.

    Attributes:
        models: At least one; the others are tested against the first, by the means of users over the seeds.
        metric: A test metric of all.
    """

    models: Sequence[Model]
    metric: str

    @property
    def first(self) -> Model:
        """What the others are compared to."""
        return self.models[0]

    @property
    def runs(self) -> list[NamedRun]:
        """The runs of all models."""
        return [run for model in self.models for run in model.runs]

    @property
    def averaged(self) -> bool:
        """Whether numbers are means over seeds, with intervals over them."""
        return averaged(self.models)

    @property
    def seeds(self) -> str:
        """How many seeds the models have, in words; some have several."""
        counts = [len(model.runs) for model in self.models]
        fewest = f"{min(counts)} to " if min(counts) < max(counts) else ""
        return f"{fewest}{max(counts)} seeds" + " each" * (len(counts) > 1)

    @property
    def data(self) -> dict[str, Any]:
        """What the models were evaluated on."""
        found: dict[str, Any] = self.first.first.result["data"]
        return found

    @property
    def data_name(self) -> str:
        """The name of the data without its options, or that of its file without the folders."""
        name: str = self.data["name"]
        source = name.partition(":")[0]
        return source if source in SOURCES else PurePath(name).name

    @cached_property
    def differences(self) -> list[tuple[Model, PairedResult]]:
        """The models after the first, and their difference from it."""
        tests = paired([model.of_users(self.metric) for model in self.models])
        return [(model, test["all"]) for model, test in zip(self.models[1:], tests, strict=True)]

    @cached_property
    def group_differences(self) -> list[tuple[Model, dict[str, PairedResult], SpreadDifference]]:
        """The models after the first, and how they differ from it in each group and in the spread between groups."""
        group = self.first.first.per_user[f"group/{self.grouping}"]
        spreads = paired_spreads([model.of_runs(self.metric) for model in self.models], group)
        tests = paired([model.of_users(self.metric) for model in self.models], group)
        return list(zip(self.models[1:], tests, [found["std"] for found in spreads], strict=True))

    @cached_property
    def accuracy(self) -> list[Estimate]:
        """The metric of each model."""
        return self._estimates(self.metric)

    @cached_property
    def groups(self) -> list[GroupEstimates]:
        """The metric of each model by :attr:`grouping`."""
        key = f"{self.grouping}/{self.metric}"
        return [group_estimates(model, key, seeds=self.averaged) for model in self.models]

    @property
    def grouping(self) -> str | None:
        """The groups that are spoken of: at equal activity where all models have them."""
        for name in ("diversity-controlled", "diversity"):
            if all(f"{name}/{self.metric}" in run.result["groups"] for run in self.runs):
                return name
        return None

    @property
    def one_length(self) -> bool:
        """Whether the interests of all models were looked at in lists of one length: longer ones draw on more."""
        return len({found[2] for model in self.models if (found := in_use(model))}) < 2

    def header(self) -> list[str]:
        """Return the names of the columns of :meth:`rows`."""
        kind = "model" if self.averaged else "run"
        first = [f"{self.metric} less {self.first.name}"] if len(self.models) > 1 else []
        spread = ["spread between groups"] if self.grouping else []
        used = ["interests in use"] if self.one_length else []
        return [kind, *self._metrics(), *first, *spread, *used, "parameters", "epochs", "seconds"]

    def rows(self) -> list[list[Cell]]:
        """Return a row of cells for each model."""
        columns = [self._metric_column(name) for name in self._metrics()]
        if len(self.models) > 1:
            columns.append([Cell("-", "compared to"), *(_difference(test) for _, test in self.differences)])
        if self.grouping:
            columns.append(self._spread_column())
        if self.one_length:
            columns.append([_in_use(model) for model in self.models])
        columns.append([Cell(f"{model.first.result['num_parameters']:,}") for model in self.models])
        columns.append([_epochs(model) for model in self.models])
        columns.append([Cell(f"{fmean(model.each('timings', 'train_seconds')):,.0f}") for model in self.models])
        return [list(row) for row in zip(*columns, strict=True)]

    @property
    def lists(self) -> list[str]:
        """The names of what is known of all lists beyond accuracy, the columns of :meth:`list_rows`."""
        return shared_lists(self.runs, self.metric)

    def list_rows(self) -> list[list[Cell]]:
        """Return a row of cells for each model: what its lists are like."""
        return [[_list_cell(model.each("lists", name)) for name in self.lists] for model in self.models]

    def _metrics(self) -> list[str]:
        k = self.metric.partition("@")[2]
        wanted = (self.metric, f"ndcg@{k}", f"recall@{k}")
        return [name for name in dict.fromkeys(wanted) if name in shared_metrics(self.runs)]

    def _estimates(self, name: str) -> list[Estimate]:
        return [metric_estimate(model, name, seeds=self.averaged) for model in self.models]

    def _metric_column(self, name: str) -> list[Cell]:
        found = self.accuracy if name == self.metric else self._estimates(name)
        return _best([Cell(f"{one.value:.4f}", around(one)) for one in found], [one.value for one in found])

    def _spread_column(self) -> list[Cell]:
        against = ["", *(f"less {self.first.name}: {signed(spread)}" for *_, spread in self.group_differences)]
        spreads = [group.std for group in self.groups]
        cells = [Cell(f"{one.value:.4f}", around(one), less) for one, less in zip(spreads, against, strict=True)]
        return _best(cells, [-one.value for one in spreads])


def _best(cells: list[Cell], values: list[float]) -> list[Cell]:
    """Mark the cells of the highest value; one model alone is not the best of anything."""
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


def around(estimate: Estimate) -> str:
    """Return an interval as text: half of it over seeds, its ends over users; empty where it is not known."""
    interval = estimate.interval
    if interval is None:
        return ""
    half = (interval.high - interval.low) / 2
    return f"± {half:.4f}" if estimate.of_seeds else f"[{interval.low:.4f}, {interval.high:.4f}]"


def of_interests(model: Model, name: str) -> float | None:
    """Return what is known of the interests by a name, a mean over the seeds; ``None`` where nothing is."""
    return seed_interval([(run.result.get("interests") or {}).get(name) for run in model.runs])[0]


def in_use(model: Model) -> tuple[float, int, int] | None:
    """Return how many interests a list draws on, of how many, and its length; ``None`` for one interest."""
    for name in model.first.result.get("interests") or {}:
        if name.startswith("effective@") and (value := of_interests(model, name)) is not None:
            return value, len(model.first.result["interest_share"][0]), int(name.partition("@")[2])
    return None


def _in_use(model: Model) -> Cell:
    found = in_use(model)
    return Cell("1") if found is None else Cell(f"{found[0]:.2f}", f"of {found[1]} in the top {found[2]}")


def _epochs(model: Model) -> Cell:
    epochs, best = ([run.result[name] for run in model.runs] for name in ("epochs", "best_epoch"))
    if not all(epochs):
        return Cell("-", "not trained")
    told = f"best: {fmean(best):.0f}" if model.first.result.get("valid_metrics") else "validation trained on, too"
    return Cell(f"{fmean(epochs):.0f}", told)


def _list_cell(values: Sequence[float | None]) -> Cell:
    known = [value for value in values if value is not None]
    return Cell(f"{(found := over_seeds(known)).value:.4f}", around(found)) if known else Cell("-")
