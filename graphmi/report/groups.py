"""Panels of whom a model serves: metrics by diversity group, and the spread between the groups."""

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes

from graphmi.comparison import Model, averaged
from graphmi.estimates import Estimate, GroupEstimates, group_estimates, metric_estimate
from graphmi.report.panel import Panel, color, dashes, label, marker

__all__ = ["GROUPINGS", "group_panels", "spread_panels"]

# The kinds of groups, and how the page calls them.
GROUPINGS = {
    "diversity": "By diversity of taste",
    "diversity-controlled": "By diversity of taste, at equal activity",
}


def group_panels(models: Sequence[Model], metric: str) -> list[Panel]:
    """Return the test metric of each diversity group with its interval, plain and controlled for activity."""
    return [
        _group_panel(models, present, metric, grouping)
        for grouping in GROUPINGS
        if (present := _having(models, f"{grouping}/{metric}"))
    ]


def spread_panels(models: Sequence[Model], metric: str) -> list[Panel]:
    """Return accuracy against the standard deviation over diversity groups: up and to the left is better."""
    return [
        _spread_panel(models, present, metric, grouping)
        for grouping in reversed(GROUPINGS)
        if (present := _having(models, f"{grouping}/{metric}"))
    ]


def _having(models: Sequence[Model], key: str) -> dict[int, GroupEstimates]:
    """Return the group results of the models that have them, by the position of the model."""
    return {
        n: group_estimates(model, key, seeds=averaged(models))
        for n, model in enumerate(models)
        if all(key in run.result["groups"] for run in model.runs)
    }


def _group_panel(models: Sequence[Model], present: Mapping[int, GroupEstimates], metric: str, grouping: str) -> Panel:
    def draw(ax: Axes) -> None:
        for index, group in present.items():
            _draw_groups(ax, index, 0.12 * (index - (len(models) - 1) / 2), label(models[index].name), group)
        ax.set(xlabel="group, from narrow to broad taste", ylabel=f"test {metric}")
        ax.set_xticks(range(1, 1 + max(len(group.mean) for group in present.values())))

    rows = [
        (models[index].name, str(g + 1), count, *_numbers(one))
        for index, group in present.items()
        for g, (one, count) in enumerate(zip(group.mean, group.count, strict=True))
    ]
    said = "; ".join(f"{models[index].name} {_ends(group)}" for index, group in present.items())
    return Panel(
        title=GROUPINGS[grouping],
        description=f"Test {metric} from the group of the narrowest to that of the broadest taste: {said}.",
        header=("model", "group", "users", metric, "from", "to"),
        rows=tuple(rows),
        draw=draw,
    )


def _numbers(estimate: Estimate | None) -> tuple[float | None, float | None, float | None]:
    """Return a number and the ends of its interval."""
    if estimate is None:
        return None, None, None
    if estimate.interval is None:
        return estimate.value, None, None
    return estimate.value, estimate.interval.low, estimate.interval.high


def _ends(group: GroupEstimates) -> str:
    values = [one.value for one in group.present.values()]
    return f"from {values[0]:.4f} to {values[-1]:.4f}" if values else "has no group with users"


def _draw_groups(ax: Axes, index: int, shift: float, name: str, group: GroupEstimates) -> None:
    means = group.present.values()
    ax.errorbar(
        [g + 1 + shift for g in group.present],
        [one.value for one in means],
        # An interval of few replicates need not hold the mean.
        yerr=[
            [max(0.0, one.value - one.line.low) for one in means],
            [max(0.0, one.line.high - one.value) for one in means],
        ],
        color=color(index),
        marker=marker(index),
        ls=dashes(index),
        capsize=3,
        linewidth=1.2,
        label=name,
    )


def _spread_panel(models: Sequence[Model], present: Mapping[int, GroupEstimates], metric: str, grouping: str) -> Panel:
    high = {n: metric_estimate(models[n], metric, seeds=averaged(models)) for n in present}
    wide = {n: group.std for n, group in present.items()}

    def draw(ax: Axes) -> None:
        for n, one in high.items():
            std = wide[n]
            ax.hlines(one.value, std.line.low, std.line.high, color=color(n), alpha=0.7)
            ax.vlines(std.value, one.line.low, one.line.high, color=color(n), alpha=0.7)
            ax.plot(std.value, one.value, marker(n), color=color(n), markersize=8, label=label(models[n].name))
        ax.set(xlabel="standard deviation between groups", ylabel=f"test {metric}")
        ax.locator_params(axis="x", nbins=6)

    said = "; ".join(f"{models[n].name} {one.value:.4f} at {wide[n].value:.4f}" for n, one in high.items())
    return Panel(
        title=GROUPINGS[grouping],
        description=f"Test {metric} against the standard deviation between groups; up and to the left is better: "
        f"{said}.",
        header=("model", metric, "from", "to", "standard deviation", "from", "to"),
        rows=tuple((models[n].name, *_numbers(one), *_numbers(wide[n])) for n, one in high.items()),
        draw=draw,
    )
