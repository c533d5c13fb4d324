"""What the numbers of runs say, as a table and in words."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from graphmi.comparison import NamedRun, mean_interval, paired, shared_metrics
from graphmi.metrics import Interval, PairedResult, holm

__all__ = ["Cell", "Summary"]

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
    number of runs, and the bootstrap interval of the mean difference does not hold zero.

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

    @cached_property
    def differences(self) -> list[tuple[NamedRun, PairedResult, float]]:
        """The runs after the first, their difference from it and its p-value after Holm's correction."""
        tests = [paired(self.runs[0], run, self.metric)["all"] for run in self.runs[1:]]
        corrected = holm([test.wilcoxon for test in tests])
        return list(zip(self.runs[1:], tests, corrected, strict=True))

    @property
    def grouping(self) -> str | None:
        """The groups that are spoken of: at equal activity where all runs have them."""
        for name in ("diversity-controlled", "diversity"):
            if all(f"{name}/{self.metric}" in run.result["groups"] for run in self.runs):
                return name
        return None

    def sentences(self) -> Iterator[str]:
        """Yield what stands out, a sentence each."""
        yield from self._groups()
        yield from self._interests()
        yield (
            "Every run is one training with one seed: the intervals say how much depends on the users, not on the seed."
        )

    def lead(self) -> str:
        """Return what the runs are, and which is the most accurate."""
        return " ".join([self._what(), *self._accuracy()])

    def _what(self) -> str:
        test = f"{len(self.runs[0].per_user['user']):,} users with items to find in the test"
        size = f"{self.data['name']}, {self.data['users']:,} users and {self.data['items']:,} items"
        subject = f"the run {self.runs[0].name}" if len(self.runs) == 1 else f"{len(self.runs)} runs side by side"
        return f"This page shows {subject} on {size}. Every number is a mean over the {test}, ranked among all items."

    def _accuracy(self) -> Iterator[str]:
        best = max(self.runs, key=lambda run: float(run.result["metrics"][self.metric]))
        value = best.result["metrics"][self.metric]
        interval = _interval(mean_interval(best, self.metric))
        if len(self.runs) == 1:
            yield f"It reaches a test {self.metric} of {value:.4f} (95 % interval over users {interval})."
            return
        yield f"{best.name} has the highest test {self.metric}: {value:.4f} (95 % interval over users {interval})."
        for verdict, found in _by_verdict(self.differences).items():
            yield f"{', '.join(found)} {verdict[len(found) > 1]} {self.runs[0].name}."

    def _groups(self) -> Iterator[str]:
        if self.grouping is None:
            return
        at = " at equal activity" if self.grouping == "diversity-controlled" else ""
        for run in self.runs if len(self.runs) < 4 else ():
            yield _ends(run, run.result["groups"][f"{self.grouping}/{self.metric}"], at)
        for run in self.runs[1:] if len(self.runs) < 4 else ():
            yield self._by_group(run, at)
        spread = {run.name: run.result["groups"][f"{self.grouping}/{self.metric}"] for run in self.runs}
        if len(spread) > 1:
            yield _spread(spread, at)

    def _by_group(self, run: NamedRun, at: str) -> str:
        tests = paired(self.runs[0], run, self.metric, self.runs[0].per_user[f"group/{self.grouping}"])
        differ = [
            f"group {int(name) + 1} ({test.difference:+.4f})"
            for name, test in tests.items()
            if name != "all" and _significant(test, test.wilcoxon_holm)
        ]
        if not differ:
            return (
                f"In no diversity group{at} is the difference between {run.name} and {self.runs[0].name} significant."
            )
        return (
            f"By diversity group{at}, {run.name} differs significantly from {self.runs[0].name} in {', '.join(differ)}."
        )

    def _interests(self) -> Iterator[str]:
        for run in self.runs:
            found = run.result.get("interests") or {}
            used = next((value for name, value in found.items() if name.startswith("effective@")), None)
            if used is None:
                continue
            of = len(run.result["interest_share"][0])
            correlation = found.get("effective-diversity correlation")
            rest = "" if correlation is None else f"; {_correlation(correlation)}"
            yield f"A list of {run.name} draws on {used:.1f} of {of} interests (effective number, a mean){rest}."

    def header(self) -> list[str]:
        """Return the names of the columns of :meth:`rows`."""
        first = [f"{self.metric} less {self.runs[0].name}"] if len(self.runs) > 1 else []
        spread = ["spread between groups"] if self.grouping else []
        return ["run", *self._metrics(), *first, *spread, "interests in use", "parameters", "epochs", "seconds"]

    def rows(self) -> list[list[Cell]]:
        """Return a row of cells for each run."""
        columns = [self._metric_column(name) for name in self._metrics()]
        if len(self.runs) > 1:
            columns.append([Cell("-", "compared to"), *(_difference(test, p) for _, test, p in self.differences)])
        if self.grouping:
            columns.append(self._spread_column())
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
        notes = [_interval(mean_interval(run, name)) for run in self.runs]
        return _best([Cell(f"{v:.4f}", note) for v, note in zip(values, notes, strict=True)], values)

    def _spread_column(self) -> list[Cell]:
        groups = [run.result["groups"][f"{self.grouping}/{self.metric}"] for run in self.runs]
        cells = [Cell(f"{group['std']:.4f}", _ends_text(group["intervals"].get("std"))) for group in groups]
        return _best(cells, [-group["std"] for group in groups])


def _best(cells: list[Cell], values: list[float]) -> list[Cell]:
    """Mark the cells of the highest value; one run alone is not the best of anything."""
    if len(cells) < 2:
        return cells
    return [replace(cell, best=value == max(values)) for cell, value in zip(cells, values, strict=True)]


def _significant(test: PairedResult, p: float) -> bool:
    return p < _LEVEL and not test.interval.low <= 0 <= test.interval.high


def _by_verdict(
    differences: Sequence[tuple[NamedRun, PairedResult, float]],
) -> dict[tuple[str, str], list[str]]:
    """Return the runs by what is to be said of them, of one and of several."""
    found: dict[tuple[str, str], list[str]] = {}
    for run, test, p in differences:
        verdict = ("does not differ significantly from", "do not differ significantly from")
        if _significant(test, p):
            better = "better" if test.difference > 0 else "worse"
            verdict = (f"is significantly {better} than", f"are significantly {better} than")
        interval = f"[{test.interval.low:+.4f}, {test.interval.high:+.4f}]"
        found.setdefault(verdict, []).append(f"{run.name} ({test.difference:+.4f} {interval}, {_p(p)})")
    return found


def _p(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def _difference(test: PairedResult, p: float) -> Cell:
    verdict = "significant" if _significant(test, p) else "not significant"
    interval = f"[{test.interval.low:+.4f}, {test.interval.high:+.4f}]"
    return Cell(f"{test.difference:+.4f}", interval, f"{_p(p)}, {verdict}")


def _interval(interval: Interval) -> str:
    return f"[{interval.low:.4f}, {interval.high:.4f}]"


def _ends_text(ends: Sequence[float] | None) -> str:
    return "" if ends is None else f"[{ends[0]:.4f}, {ends[1]:.4f}]"


def _ends(run: NamedRun, group: dict[str, Any], at: str) -> str:
    """Say whether the broad are served worse than the narrow."""
    present = [g for g, value in enumerate(group["mean"]) if value is not None]
    narrow, broad = (group["mean"][g] for g in (present[0], present[-1]))
    first, last = (group["intervals"].get(str(g)) for g in (present[0], present[-1]))
    values = f"{narrow:.4f} in the group of the narrowest taste and {broad:.4f} in that of the broadest{at}"
    if first is None or last is None:
        return f"{run.name} reaches {values}."
    if first[0] <= last[1] and last[0] <= first[1]:
        return f"{run.name} reaches {values}; the intervals overlap, so this is no clear difference."
    return f"{run.name} serves users of broad taste {'better' if broad > narrow else 'worse'}: {values}."


def _spread(spread: dict[str, dict[str, Any]], at: str) -> str:
    best = min(spread, key=lambda name: float(spread[name]["std"]))
    ends = [group["intervals"].get("std") for group in spread.values()]
    text = f"The smallest spread between groups{at} is that of {best} (standard deviation {spread[best]['std']:.4f})"
    known = [end for end in ends if end is not None]
    if len(known) == len(ends) and max(low for low, _ in known) <= min(high for _, high in known):
        return f"{text}; the intervals of all runs overlap, so no run is clearly more even than another."
    return f"{text}."


def _correlation(rho: float) -> str:
    if abs(rho) < 0.1:
        return f"how many has next to nothing to do with how broad a user's taste is (rank correlation {rho:+.2f})"
    return f"{'more' if rho > 0 else 'fewer'} for users of broad taste (rank correlation {rho:+.2f})"


def _in_use(run: NamedRun) -> Cell:
    found = run.result.get("interests") or {}
    used = next((value for name, value in found.items() if name.startswith("effective@")), None)
    return Cell("1") if used is None else Cell(f"{used:.2f}", f"of {len(run.result['interest_share'][0])}")


def _epochs(run: NamedRun) -> Cell:
    epochs, best = run.result["epochs"], run.result["best_epoch"]
    return Cell(str(epochs), f"best: {best}") if epochs else Cell("-", "nothing to train")
