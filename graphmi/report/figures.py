"""Figures of one or more runs: how they trained, whom they serve, and what their interests do.

Every function returns a matplotlib figure of its own: ``figure.savefig("name.png", dpi=150)`` or ``"name.svg"`` writes
it.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from matplotlib.figure import Figure

from graphmi.comparison import models_of, named
from graphmi.report.groups import group_panels, spread_panels
from graphmi.report.interests import diversity_panels, heat_map_panels
from graphmi.report.panel import Panel, draw, save
from graphmi.report.training import collapse_panels, training_panels
from graphmi.run import RunFolder

__all__ = [
    "interest_heat_map",
    "interests_against_diversity",
    "metric_by_group",
    "routing_collapse",
    "save_figures",
    "training_curves",
    "utility_against_spread",
]


def training_curves(runs: Sequence[RunFolder], metric: str = "ndcg@20") -> Figure:
    """Draw loss and validation metric over the epochs, see :func:`graphmi.report.training.training_panels`.

    Args:
        runs: Runs with a ``metrics.csv``; a run without training (popularity) is left out.
        metric: A validation metric.
    """
    return draw(training_panels(models_of(named(runs)), metric))


def metric_by_group(runs: Sequence[RunFolder], metric: str = "ndcg@20") -> Figure:
    """Draw the test metric of each diversity group with its bootstrap interval, plain and controlled for activity.

    How to read it: a flat line serves all alike. On data where active users are diverse too, the plain panel mixes
    both; only what is left in the panel at equal activity belongs to diversity itself.

    Args:
        runs: Finished runs with user groups.
        metric: A test metric.
    """
    return draw(group_panels(models_of(named(runs)), metric))


def utility_against_spread(runs: Sequence[RunFolder], metric: str = "ndcg@20") -> Figure:
    """Draw accuracy against the standard deviation over diversity groups: up and to the left is better.

    Args:
        runs: Finished runs with user groups.
        metric: A test metric.
    """
    return draw(spread_panels(models_of(named(runs)), metric))


def interest_heat_map(runs: Sequence[RunFolder]) -> Figure:
    """Draw who fills the top 10, rank x interest, one panel per run with several interests.

    How to read it: one dark column means that one interest recommends nearly everything; even columns mean that all
    are in use (figure 1 of BaM, IEEE BigData 2024).

    Args:
        runs: Finished runs.
    """
    return draw(heat_map_panels(models_of(named(runs))))


def interests_against_diversity(runs: Sequence[RunFolder]) -> Figure:
    """Draw the effective number of interests in the top 10 against the diversity of the user's taste.

    Runs whose longest list is shorter have a panel of their own, as longer lists draw on more interests.

    How to read it: a rising line means that the model gives broad users more interests.

    Args:
        runs: Finished runs; those with one interest are left out.
    """
    return draw(diversity_panels(models_of(named(runs))))


def routing_collapse(runs: Sequence[RunFolder]) -> Figure:
    """Draw over the epochs how many interests rest on one item, and how alike the interests of a user are.

    Args:
        runs: Runs with a ``metrics.csv``; those that recorded nothing of interests are left out.
    """
    return draw(collapse_panels(models_of(named(runs))))


def save_figures(
    runs: Sequence[RunFolder],
    folder: str | Path,
    metric: str = "ndcg@20",
    formats: Sequence[Literal["png", "svg"]] = ("png",),
) -> list[Path]:
    """Write all figures of runs into a folder, and return their paths; what no run has numbers for is left out.

    Args:
        runs: Finished runs.
        folder: Made if it does not exist.
        metric: The metric shown.
        formats: ``"png"``, ``"svg"`` or both.
    """
    folder, shown = Path(folder), models_of(named(runs))
    folder.mkdir(parents=True, exist_ok=True)
    figures: dict[str, list[Panel]] = {
        "training_curves": training_panels(shown, metric),
        "metric_by_group": group_panels(shown, metric),
        "utility_against_spread": spread_panels(shown, metric),
        "interest_heat_map": heat_map_panels(shown),
        "interests_against_diversity": diversity_panels(shown),
        "routing_collapse": collapse_panels(shown),
    }
    paths = []
    for name, panels in figures.items():
        for ending in formats if panels else ():
            paths.append(folder / f"{name}.{ending}")
            save(draw(panels), paths[-1])
    return paths
