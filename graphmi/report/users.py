"""Panels of one user: the history and the list by category, and the list with its interests."""

from collections import defaultdict
from collections.abc import Mapping

from matplotlib.axes import Axes

from graphmi.data import Interactions
from graphmi.explain import Explanation
from graphmi.report.panel import COLORS, Panel, color, marker

__all__ = ["user_panels"]

_CATEGORIES, _TITLE = 10, 40  # most of them, longest title


def user_panels(name: str, train: Interactions, told: Explanation) -> list[Panel]:
    """Return what a user had and what a run recommends.

    How to read it: a list that follows the user's taste has bars of similar lengths; a list from one interest has
    points in one column.

    Args:
        name: The name of the run.
        train: The training interactions, for titles and categories.
        told: What the run makes of the user.
    """
    by_category = [] if train.categories is None else [_category_panel(train, told)]
    return [*by_category, _list_panel(name, train, told)]


def _category_panel(train: Interactions, told: Explanation) -> Panel:
    known = _shares(train, told.history)
    listed = _shares(train, tuple(one.item for one in told.recommendations))
    names = sorted({*known, *listed}, key=lambda name: (-known[name], -listed[name], name))[:_CATEGORIES]

    def draw(ax: Axes) -> None:
        places = range(len(names))
        ax.barh([p - 0.2 for p in places], [known[n] for n in names], 0.38, color=COLORS[0], label="known items")
        ax.barh(
            [p + 0.2 for p in places],
            [listed[n] for n in names],
            0.38,
            facecolor="none",
            edgecolor=COLORS[1],
            hatch="////",
            label="recommendations",
        )
        ax.set_yticks(places, names)
        ax.invert_yaxis()
        ax.set(xlabel="share of all labels")

    return Panel(
        title="Categories",
        description="Share of each category among the known items and the recommendations of the user.",
        header=("category", "known items", "recommendations"),
        rows=tuple((one, known[one], listed[one]) for one in names),
        draw=draw,
    )


def _list_panel(name: str, train: Interactions, told: Explanation) -> Panel:
    titles = train.titles or tuple(map(str, train.items.ids))
    rows = [(one, titles[one.item]) for one in told.recommendations]

    def draw(ax: Axes) -> None:
        for rank, (one, _) in enumerate(rows):
            ax.plot(one.interest + 1, rank, marker(one.interest), color=color(one.interest), ms=7)
        ax.set_yticks(range(len(rows)), [_label(title, one.hit) for one, title in rows])
        ax.set_xticks(range(1, len(told.interests) + 1))
        ax.set(xlim=(0.5, len(told.interests) + 0.5), xlabel="interest")
        ax.invert_yaxis()

    return Panel(
        title=f"{name} (✓: found in the test)",
        description="The recommendations of the user, best first, and the interest that each comes from.",
        header=("item", "interest", "found"),
        rows=tuple((title, str(one.interest + 1), "✓" if one.hit else "") for one, title in rows),
        draw=draw,
    )


def _label(title: str, hit: bool) -> str:
    short = title if len(title) <= _TITLE else f"{title[: _TITLE - 1]}…"
    return f"✓ {short}" if hit else short


def _shares(train: Interactions, items: tuple[int, ...]) -> Mapping[str, float]:
    """Return the share of each category in the labels of some items; 0 for those that do not occur."""
    found: defaultdict[str, float] = defaultdict(float)
    if train.categories is not None and items:
        count = train.categories.matrix(train.num_items)[list(items)].sum(0)
        share = (count / count.sum().clamp(min=1)).tolist()
        found.update((name, one) for name, one in zip(train.categories.names, share, strict=True) if one)
    return found
