"""What ``graphmi compare`` shows: numbers of models side by side, and how each differs from the first."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

from graphmi.commands.tables import group_names, number
from graphmi.comparison import Model, averaged, choose_metric, shared_interests, shared_lists, shared_metrics
from graphmi.estimates import paired, paired_spreads, seed_interval
from graphmi.metrics import PairedResult, SpreadDifference

__all__ = ["Cell", "Comparison", "Row", "side_by_side"]

Cell = tuple[str, int]  # its text; 0 where it is the best of its column, 1 where the second, 2 otherwise

_SEEDS = (
    "Means over seeds ± 95 % t intervals; differences are of users' means over these seeds and say nothing of others. "
)


@dataclass(frozen=True)
class Row:
    """A row of the comparison.

    Attributes:
        part: What stands above it; empty for the metrics of all users.
        name: What is compared: a metric, a group, a spread between groups.
        values: For each model one value per run.
        differences: How each model after the first differs from it; ``None`` where nothing is tested, as for a group
            without users.
    """

    part: str
    name: str
    values: Sequence[Sequence[float | None]]
    differences: Sequence[PairedResult | SpreadDifference | None]

    def cells(self) -> list[str]:
        """Return the row as text: its name, the values, then difference and p-value of each."""
        return [
            self.name,
            *map(_value, self.values),
            *(text for test in self.differences for text in _difference(test)),
        ]

    def of(self, place: int) -> "Row":
        """Return the row for the first model and that in a place."""
        return replace(self, values=[self.values[0], self.values[place]], differences=[self.differences[place - 1]])

    def numbers(self) -> Iterator[dict[str, Any]]:
        """Yield the row as numbers, for each model."""
        for values, test in zip(self.values, (None, *self.differences), strict=True):
            center, half = seed_interval(values)
            p = test.wilcoxon_holm if isinstance(test, PairedResult) else None
            yield {
                "value": center,
                "half_width": half,
                "difference": test and test.difference,
                "low": test and test.interval.low,
                "high": test and test.interval.high,
                "p": p if p == p else None,  # NaN: too few users for a test
            }


@dataclass(frozen=True)
class Comparison:
    """Models side by side.

    Attributes:
        title: What they were evaluated on.
        models: Their names; the first is what the others are compared to.
        rows: What is compared.
        caption: How to read it.
    """

    title: str
    models: Sequence[str]
    rows: Sequence[Row]
    caption: str

    @property
    def compared_to(self) -> str:
        """The model that the others are compared to."""
        return self.models[0]

    def columns(self) -> list[tuple[str, str]]:
        """Return what stands above each column of :meth:`grid`, here nothing, and its name."""
        first, *others = self.models
        differences = [text for name in others for text in (f"{name} less {first}", "p")]
        return [("", name) for name in ("", first, *others, *differences)]

    def grid(self) -> Iterator[tuple[str, list[list[Cell]]]]:
        """Yield the rows as text, by what stands above them."""
        for part, rows in groupby(self.rows, lambda row: row.part):
            yield part, [[(text, 2) for text in row.cells()] for row in rows]

    def records(self) -> list[dict[str, Any]]:
        """Return the numbers of each row and model, not rounded."""
        return [
            {"part": row.part, "row": row.name, "run": name, **numbers}
            for row in self.rows
            for name, numbers in zip(self.models, row.numbers(), strict=True)
        ]

    def narrow(self) -> list["Comparison"]:
        """Return narrower tables: each model beside the first."""
        return [
            replace(self, models=[self.models[0], name], rows=[row.of(place) for row in self.rows])
            for place, name in enumerate(self.models[1:], 1)
        ]


def side_by_side(models: Sequence[Model], metric: str | None = None, also: Sequence[str] = ()) -> Comparison:
    """Compare models on the same data and protocol.

    Args:
        models: At least two.
        metric: The metric of groups and tests, whose length is that of the lists beyond accuracy; the one that the
            first run monitored when omitted.
        also: Metrics that are shown beside it, NDCG and recall.

    Raises:
        FileNotFoundError: If a run has no result.
        UsageError: If a metric is unknown.
    """
    runs = [run for model in models for run in model.runs]
    metric, first = choose_metric(runs, metric), runs[0].result
    wanted = {metric, *(choose_metric(runs, name) for name in also)}
    shown = [name for name in shared_metrics(runs) if name in wanted or name.startswith(("ndcg@", "recall@"))]
    rows = [_accuracy(models, name) for name in shown]
    rows += [_described(models, "lists", name, "beyond accuracy") for name in shared_lists(runs, metric)]
    rows += [_described(models, "interests", name, "interests") for name in shared_interests(runs)]
    for kind in group_names(first["groups"]):
        if all(f"group/{kind}" in run.per_user for run in runs):
            rows += _fairness(models, kind, metric)
    return Comparison(f"{first['data']['name']}, test", [model.name for model in models], rows, _caption(models))


def _accuracy(models: Sequence[Model], metric: str) -> Row:
    tests = paired([model.of_users(metric) for model in models])
    return Row("", metric, [model.each("metrics", metric) for model in models], [test["all"] for test in tests])


def _described(models: Sequence[Model], part: str, name: str, above: str) -> Row:
    """Return what the lists or interests are like: a description, of which no one asks whether it differs."""
    return Row(above, name, [model.each(part, name) for model in models], [None] * (len(models) - 1))


def _fairness(models: Sequence[Model], kind: str, metric: str) -> Iterator[Row]:
    part, group = f"{metric} by {kind}", models[0].runs[0].per_user[f"group/{kind}"]
    results = [model.each("groups", f"{kind}/{metric}") for model in models]
    users = [model.of_users(metric) for model in models]
    tests, spreads = paired(users, group), paired_spreads([model.of_runs(metric) for model in models], group)
    for index, _ in enumerate(results[0][0]["mean"]):
        means = [[one["mean"][index] for one in found] for found in results]
        yield Row(part, f"group {index + 1}", means, [test.get(str(index)) for test in tests])
    for name in ("std", "gap", "cv"):
        yield Row(part, name, [[one[name] for one in found] for found in results], [one[name] for one in spreads])


def _caption(models: Sequence[Model]) -> str:
    seeds = averaged(models)
    correction = "within groups after Holm's correction"
    if len(models) > 2:
        what = "models" if seeds else "runs"
        correction = f"after Holm's correction over the {what}, within groups over the groups too"
    return (
        f"{_SEEDS if seeds else ''}Differences from {models[0].name} with 95 % bootstrap intervals; for those of std, "
        "gap and cv the users of each group are drawn anew, the same for both. p: Wilcoxon signed-rank test on the "
        f"same users, {correction}."
    )


def _value(values: Sequence[float | None]) -> str:
    center, half = seed_interval(values)
    return number(center) if half is None else f"{number(center)} ± {half:.4f}"


def _difference(test: PairedResult | SpreadDifference | None) -> tuple[str, str]:
    if test is None:
        return "", ""
    difference, low, high = (_signed(value) for value in (test.difference, test.interval.low, test.interval.high))
    return f"{difference} [{low},{high}]", _p(test)


def _p(test: PairedResult | SpreadDifference) -> str:
    if isinstance(test, SpreadDifference):
        return ""
    return "<0.001" if test.wilcoxon_holm < 0.001 else f"{test.wilcoxon_holm:.3f}".replace("nan", "-")


def _signed(value: float) -> str:
    """Return a difference in few characters, so that a table of two runs fits on a narrow terminal."""
    text = f"{value:+.4f}"
    return text[0] + text[1:].removeprefix("0")
