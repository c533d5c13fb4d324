"""Panels of whom a run serves: metrics by diversity group, and the spread between the groups."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes

from graphmi.comparison import NamedRun, mean_interval
from graphmi.report.panel import Panel, color, dashes, label, marker

__all__ = ["GROUPINGS", "group_panels", "spread_panels"]

# The kinds of groups, and how the page calls them.
GROUPINGS = {
    "diversity": "By diversity of taste",
    "diversity-controlled": "By diversity of taste, at equal activity",
}


def group_panels(runs: Sequence[NamedRun], metric: str) -> list[Panel]:
    """Return the test metric of each diversity group with its bootstrap interval, plain and controlled for activity.

    How to read it: a flat line serves all alike. On data where active users are diverse too, the plain panel mixes
    both; only what is left in the panel at equal activity belongs to diversity itself.
    """
    return [
        _group_panel(runs, present, metric, grouping)
        for grouping in GROUPINGS
        if (present := _having(runs, f"{grouping}/{metric}"))
    ]


def spread_panels(runs: Sequence[NamedRun], metric: str) -> list[Panel]:
    """Return accuracy against the standard deviation over diversity groups.

    How to read it: up is more accurate, left is more even; a run above and to the left of another is better at both.
    """
    return [
        _spread_panel(runs, present, metric, grouping)
        for grouping in reversed(GROUPINGS)
        if (present := _having(runs, f"{grouping}/{metric}"))
    ]


def _having(runs: Sequence[NamedRun], key: str) -> dict[int, Mapping[str, Any]]:
    """Return the group results of the runs that have them, by the position of the run."""
    return {n: run.result["groups"][key] for n, run in enumerate(runs) if key in run.result["groups"]}


def _group_panel(
    runs: Sequence[NamedRun], present: Mapping[int, Mapping[str, Any]], metric: str, grouping: str
) -> Panel:
    def draw(ax: Axes) -> None:
        for index, group in present.items():
            _draw_groups(ax, index, 0.12 * (index - (len(runs) - 1) / 2), label(runs[index].name), group)
        ax.set(xlabel="group, from narrow to broad taste", ylabel=f"test {metric}")
        ax.set_xticks(range(1, 1 + max(len(group["mean"]) for group in present.values())))

    rows = [
        (runs[index].name, str(g + 1), count, value, *group["intervals"].get(str(g), (None, None)))
        for index, group in present.items()
        for g, (value, count) in enumerate(zip(group["mean"], group["count"], strict=True))
    ]
    ends = "; ".join(f"{runs[index].name} {_ends(group['mean'])}" for index, group in present.items())
    return Panel(
        title=GROUPINGS[grouping],
        description=f"Test {metric} from the group of the narrowest to that of the broadest taste: {ends}.",
        header=("run", "group", "users", metric, "from", "to"),
        rows=tuple(rows),
        draw=draw,
    )


def _ends(mean: Sequence[float | None]) -> str:
    values = [value for value in mean if value is not None]
    return f"from {values[0]:.4f} to {values[-1]:.4f}" if values else "has no group with users"


def _draw_groups(ax: Axes, index: int, shift: float, name: str, group: Mapping[str, Any]) -> None:
    mean, intervals = group["mean"], group["intervals"]
    present = [g for g, value in enumerate(mean) if value is not None]
    ends = [intervals.get(str(g), [mean[g], mean[g]]) for g in present]
    errors = [
        [mean[g] - low for g, (low, _) in zip(present, ends, strict=True)],
        [high - mean[g] for g, (_, high) in zip(present, ends, strict=True)],
    ]
    ax.errorbar(
        [g + 1 + shift for g in present],
        [mean[g] for g in present],
        yerr=errors,
        color=color(index),
        marker=marker(index),
        ls=dashes(index),
        capsize=3,
        linewidth=1.2,
        label=name,
    )


def _spread_panel(
    runs: Sequence[NamedRun], present: Mapping[int, Mapping[str, Any]], metric: str, grouping: str
) -> Panel:
    points = {index: (group["std"], runs[index].result["metrics"][metric]) for index, group in present.items()}
    wide = {index: group["intervals"].get("std") or [group["std"]] * 2 for index, group in present.items()}
    high = {index: mean_interval(runs[index], metric) for index in present}

    def draw(ax: Axes) -> None:
        for index, (std, value) in points.items():
            ax.hlines(value, *wide[index], color=color(index), alpha=0.7)
            ax.vlines(std, high[index].low, high[index].high, color=color(index), alpha=0.7)
            ax.plot(std, value, marker(index), color=color(index), markersize=8, label=label(runs[index].name))
        ax.set(xlabel="standard deviation between groups", ylabel=f"test {metric}")

    said = "; ".join(f"{runs[index].name} {value:.4f} at {std:.4f}" for index, (std, value) in points.items())
    return Panel(
        title=GROUPINGS[grouping],
        description=f"Test {metric} against the standard deviation between groups; up and to the left is better: "
        f"{said}.",
        header=("run", metric, "from", "to", "standard deviation", "from", "to"),
        rows=tuple(
            (runs[index].name, value, high[index].low, high[index].high, std, *wide[index])
            for index, (std, value) in points.items()
        ),
        draw=draw,
    )
