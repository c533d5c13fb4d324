"""Figures of one or more runs: how they trained, whom they serve, and what the spread between users costs."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from graphmi.run import RunFolder

__all__ = ["metric_by_group", "save_figures", "training_curves", "utility_against_spread"]

# Okabe and Ito: told apart by all kinds of color vision. Markers differ too, for prints without color.
_COLORS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#000000")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")


def training_curves(runs: Sequence[RunFolder], metric: str = "ndcg@20") -> Figure:
    """Draw loss and validation metric over the epochs.

    Args:
        runs: Runs with a ``metrics.csv``; a run without training (popularity) is left out.
        metric: A validation metric.
    """
    figure, (left, right) = _figure(1, 2)
    for n, run in enumerate(runs):
        rows = _rows(run)
        for axes, column in ((left, "loss"), (right, metric)):
            points = [(float(row["epoch"]), float(row[column])) for row in rows if row.get(column)]
            if points:
                axes.plot(*zip(*points, strict=True), color=_color(n), label=run.path.name)
    for axes, label in ((left, "training loss"), (right, f"validation {metric}")):
        axes.set(xlabel="epoch", ylabel=label)
    right.legend(frameon=False)
    return figure


def metric_by_group(runs: Sequence[RunFolder], metric: str = "ndcg@20") -> Figure:
    """Draw the test metric of each diversity group with its bootstrap interval, plain and controlled for activity.

    Args:
        runs: Finished runs on data with categories.
        metric: A test metric.
    """
    results = {run.path.name: run.read_result() for run in runs}
    names = {name.split("/")[0] for result in results.values() for name in result["groups"]}
    figure, axes = _figure(1, max(1, len(names)), share="y")
    for ax, grouping in zip(axes, sorted(names), strict=False):
        for n, (run, result) in enumerate(results.items()):
            if (group := result["groups"].get(f"{grouping}/{metric}")) is not None:
                _draw_groups(ax, n, len(results), f"{run} (std {group['std']:.4f})", group)
        ax.set(title=grouping.replace("-", ", "), xlabel="group, from narrow to broad taste")
        ax.legend(frameon=False, loc="upper left", bbox_to_anchor=(0, -0.16))  # below: the intervals fill the axes
    axes[0].set_ylabel(f"test {metric}")
    return figure


def utility_against_spread(
    runs: Sequence[RunFolder], metric: str = "ndcg@20", grouping: str = "diversity-controlled"
) -> Figure:
    """Draw accuracy against the standard deviation over diversity groups: up and to the left is better.

    Args:
        runs: Finished runs on data with categories.
        metric: A test metric.
        grouping: ``"diversity"`` or ``"diversity-controlled"``.
    """
    figure, (ax,) = _figure(1, 1)
    for n, run in enumerate(runs):
        result = run.read_result()
        if (group := result["groups"].get(f"{grouping}/{metric}")) is not None:
            value = result["metrics"][metric]
            ax.scatter(group["std"], value, s=70, color=_color(n), marker=_MARKERS[n % len(_MARKERS)])
            ax.annotate(run.path.name, (group["std"], value), xytext=(8, 4), textcoords="offset points")
    ax.margins(0.3)
    ax.set(xlabel=f"standard deviation over groups ({grouping})", ylabel=f"test {metric}")
    return figure


def save_figures(runs: Sequence[RunFolder], folder: str | Path, metric: str = "ndcg@20") -> list[Path]:
    """Write all figures as PNG into a folder, and return their paths.

    Args:
        runs: Finished runs.
        folder: Made if it does not exist.
        metric: The metric shown.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for draw in (training_curves, metric_by_group, utility_against_spread):
        path = folder / f"{draw.__name__}.png"
        draw(runs, metric).savefig(path, dpi=150)
        paths.append(path)
    return paths


def _draw_groups(ax: Axes, n: int, num_runs: int, label: str, group: Mapping[str, Any]) -> None:
    mean, intervals = group["mean"], group["intervals"]
    present = [g for g, value in enumerate(mean) if value is not None]
    shift = 0.12 * (n - (num_runs - 1) / 2)
    ends = [intervals.get(str(g), [mean[g], mean[g]]) for g in present]
    errors = [
        [mean[g] - low for g, (low, _) in zip(present, ends, strict=True)],
        [high - mean[g] for g, (_, high) in zip(present, ends, strict=True)],
    ]
    ax.errorbar(
        [g + 1 + shift for g in present],
        [mean[g] for g in present],
        yerr=errors,
        color=_color(n),
        marker=_MARKERS[n % len(_MARKERS)],
        capsize=3,
        linewidth=1.2,
        label=label,
    )
    ax.set_xticks([g + 1 for g in present])


def _rows(run: RunFolder) -> list[dict[str, str]]:
    path = run.path / "metrics.csv"
    if not path.is_file():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def _figure(rows: int, columns: int, share: str | None = None) -> tuple[Figure, list[Axes]]:
    # Not pyplot: it keeps figures alive, and chooses a backend that may need a screen.
    figure = Figure(figsize=(4.8 * columns, 3.6 * rows), layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False, sharey=share == "y").flat)
    for ax in axes:
        ax.spines[["top", "right"]].set_visible(False)
        ax.grid(alpha=0.25)
    return figure, axes


def _color(n: int) -> str:
    return _COLORS[n % len(_COLORS)]
