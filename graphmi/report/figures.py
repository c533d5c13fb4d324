"""Figures of one or more runs: how they trained, whom they serve, and what their interests do.

Every function returns a matplotlib figure of its own: ``figure.savefig("name.png", dpi=150)`` or ``"name.svg"`` writes
it.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from matplotlib.figure import Figure

from graphmi.comparison import named
from graphmi.explain import Explainer
from graphmi.report.groups import group_panels, spread_panels
from graphmi.report.interests import diversity_panels, heat_map_panels
from graphmi.report.items import coloured_categories, item_category, item_panel, map_items
from graphmi.report.panel import Panel, draw, save
from graphmi.report.training import collapse_panels, training_panels
from graphmi.report.users import user_panels
from graphmi.restore import restore
from graphmi.run import RunFolder

__all__ = [
    "interest_heat_map",
    "interests_against_diversity",
    "item_map",
    "metric_by_group",
    "routing_collapse",
    "save_figures",
    "training_curves",
    "user_figure",
    "utility_against_spread",
]


def training_curves(runs: Sequence[RunFolder], metric: str = "ndcg@20") -> Figure:
    """Draw loss and validation metric over the epochs, see :func:`graphmi.report.training.training_panels`.

    Args:
        runs: Runs with a ``metrics.csv``; a run without training (popularity) is left out.
        metric: A validation metric.
    """
    return draw(training_panels(named(runs), metric))


def metric_by_group(runs: Sequence[RunFolder], metric: str = "ndcg@20") -> Figure:
    """Draw the test metric of each diversity group with its bootstrap interval, plain and controlled for activity.

    How to read it: a flat line serves all alike. On data where active users are diverse too, the plain panel mixes
    both; only what is left in the panel at equal activity belongs to diversity itself.

    Args:
        runs: Finished runs with user groups.
        metric: A test metric.
    """
    return draw(group_panels(named(runs), metric))


def utility_against_spread(runs: Sequence[RunFolder], metric: str = "ndcg@20") -> Figure:
    """Draw accuracy against the standard deviation over diversity groups: up and to the left is better.

    Args:
        runs: Finished runs with user groups.
        metric: A test metric.
    """
    return draw(spread_panels(named(runs), metric))


def interest_heat_map(runs: Sequence[RunFolder]) -> Figure:
    """Draw who fills the top 10, rank x interest, one panel per run with several interests.

    How to read it: one dark column means that one interest recommends nearly everything; even columns mean that all
    are in use (figure 1 of BaM, IEEE BigData 2024).

    Args:
        runs: Finished runs.
    """
    return draw(heat_map_panels(named(runs)))


def interests_against_diversity(runs: Sequence[RunFolder]) -> Figure:
    """Draw the effective number of interests in the top 10 against the diversity of the user's taste.

    Runs whose longest list is shorter have a panel of their own, as longer lists draw on more interests.

    How to read it: a rising line means that the model gives broad users more interests.

    Args:
        runs: Finished runs; those with one interest are left out.
    """
    return draw(diversity_panels(named(runs)))


def routing_collapse(runs: Sequence[RunFolder]) -> Figure:
    """Draw over the epochs how many interests rest on one item, and how alike the interests of a user are.

    Args:
        runs: Runs with a ``metrics.csv``; those that recorded nothing of interests are left out.
    """
    return draw(collapse_panels(named(runs)))


def item_map(run: RunFolder, by: Literal["categories", "interests"] = "categories", num_items: int = 5000) -> Figure:
    """Draw where a model puts the items, see :func:`graphmi.report.items.map_items`.

    Args:
        run: A finished run, whose model is asked.
        by: What colors show: the category of an item, or the interest that fits it best for most of its users.
        num_items: Most items shown, the most popular ones; at least 1.

    Raises:
        ValueError: If there are no categories, only one interest, or only a number for each item (popularity).
    """
    restored = restore(run)
    train, found = restored.dataset.train, map_items(restored, num_items)
    if found is None:
        raise ValueError(f"'{run.path}' has a single number for each item, which makes no map")
    if by == "interests":
        if found.interest is None:
            raise ValueError(f"'{run.path}' has one interest; draw its items by='categories'")
        label, names = found.interest, [f"interest {n + 1}" for n in range(int(found.interest.max()) + 1)]
    else:
        if train.categories is None:
            raise ValueError(f"the data of '{run.path}' has no categories; draw its items by='interests'")
        coloured = coloured_categories(train)
        label = item_category(train.categories, train.num_items, coloured)[found.item]
        names = [train.categories.names[category] for category in coloured]
    return draw([item_panel(named([run])[0].name, found, label, names)], size=(7, 6))


def user_figure(run: RunFolder, user: str | int, k: int = 10) -> Figure:
    """Draw what a user had and what a run recommends: categories side by side, and the interest of each item.

    How to read it: a list that follows the user's taste has bars of similar lengths; a list from one interest has
    points in one column.

    Args:
        run: A finished run, whose model is asked.
        user: The id of the user in the data.
        k: Length of the list, at least 1.

    Raises:
        DataError: If there is no such user.
    """
    restored = restore(run)
    train = restored.dataset.train
    [told] = Explainer(restored.dataset, restored.model)(train.users.encode([str(user)]), k=k, num_causes=0)
    return draw(user_panels(named([run])[0].name, train, told), size=(6, 4))


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
    folder, shown = Path(folder), named(runs)
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
