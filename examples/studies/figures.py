"""Figures of the studies, from the numbers of their cells: bars, gains, lines, curves, points and heat maps."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from graphmi.estimates import seed_interval

Cells = Mapping[str, Mapping[str, Any]]
Draw = Callable[[Axes, Cells], None]


def interval(values: Sequence[float | None]) -> tuple[float, float]:
    """Return mean and half-width of the 95 % t interval of the known values: NaN for none, no width for one."""
    mean, half = seed_interval(values)
    return float("nan") if mean is None else mean, half or 0.0


def bars(metric: str) -> Draw:
    """Return what draws one bar per cell with its 95 % t interval over the seeds."""

    def draw(axes: Axes, cells: Cells) -> None:
        centers, halves = zip(*(interval(cell["values"].get(metric, [])) for cell in cells.values()), strict=True)
        places = range(len(cells))
        axes.errorbar(centers, places, xerr=halves, fmt="o", capsize=3)
        axes.set_yticks(places, list(cells))
        axes.set_xlabel(metric)
        axes.invert_yaxis()
        axes.grid(axis="x", alpha=0.3)

    return draw


def gains(metric: str) -> Draw:
    """Return what draws how much each cell differs from the one it is compared with, 95 % interval over the users."""

    def draw(axes: Axes, cells: Cells) -> None:
        tested = {name: cell["compared"] for name, cell in cells.items() if cell["compared"]}
        if not tested:
            return
        centers = [test["difference"] for test in tested.values()]
        low, high = zip(*(test["interval"] for test in tested.values()), strict=True)
        halves = [[one - end for one, end in zip(centers, low, strict=True)]]
        halves.append([end - one for one, end in zip(centers, high, strict=True)])
        axes.errorbar(centers, range(len(tested)), xerr=halves, fmt="o", capsize=3)
        axes.set_yticks(range(len(tested)), list(tested))
        axes.axvline(0, color="gray", linewidth=1)
        axes.set_xlabel(f"difference in {metric}")
        axes.invert_yaxis()
        axes.grid(axis="x", alpha=0.3)

    return draw


def curves(metric: str) -> Draw:
    """Return what draws a metric over the epochs, a colour per cell and a line per seed."""

    def draw(axes: Axes, cells: Cells) -> None:
        for number, (name, cell) in enumerate(cells.items()):
            for seed, points in enumerate(cell["curves"][metric]):
                color = plt.get_cmap("viridis")(number / max(1, len(cells) - 1))
                axes.plot(*zip(*points, strict=True), color=color, label=name if seed == 0 else None)
        axes.set_xlabel("epoch")
        axes.set_ylabel(metric)
        axes.grid(alpha=0.3)
        axes.legend(fontsize="small")

    return draw


def lines(metric: str, x: str, log: bool = False) -> Draw:
    """Return what draws a line per first entry of ``at`` over its last one; a single line where there is one entry."""

    def draw(axes: Axes, cells: Cells) -> None:
        points: dict[object, list[tuple[float, float, float]]] = {}
        for cell in cells.values():
            if at := cell["at"]:
                center, half = interval(cell["values"].get(metric, []))
                points.setdefault(at[0] if len(at) > 1 else "", []).append((float(at[-1]), center, half))
        for name, line in points.items():
            places, centers, halves = zip(*sorted(line), strict=True)
            axes.errorbar(places, centers, yerr=halves, marker="o", capsize=3, label=str(name) or None)
        known = [place for line in points.values() for place, *_ in line]
        if log:
            axes.set_xscale("symlog", linthresh=min(filter(None, known), default=1))
        elif all(place.is_integer() for place in known):
            axes.xaxis.get_major_locator().set_params(integer=True)
        axes.figure.set_figheight(4.5)
        axes.set_xlabel(x)
        axes.set_ylabel(metric)
        axes.grid(alpha=0.3)
        if len(points) > 1:
            axes.legend()

    return draw


def stacked(columns: Sequence[str]) -> Draw:
    """Return what draws the means of these columns side by side in one bar per cell, such as shares of a whole."""

    def draw(axes: Axes, cells: Cells) -> None:
        left = [0.0] * len(cells)
        for column in columns:
            widths = [interval(cell["values"].get(column, []))[0] for cell in cells.values()]
            axes.barh(list(cells), widths, left=left, label=column)
            left = [start + width for start, width in zip(left, widths, strict=True)]
        axes.invert_yaxis()
        axes.legend(fontsize="small", ncols=len(columns), loc="upper center", bbox_to_anchor=(0.4, -0.07))

    return draw


def scatter(x: str, y: str) -> Draw:
    """Return what draws a point per cell and seed, a colour and a mark per cell."""

    def draw(axes: Axes, cells: Cells) -> None:
        known = {name: cell["values"] for name, cell in cells.items() if None not in cell["values"][x]}
        for number, (name, values) in enumerate(known.items()):
            color, mark = plt.get_cmap("tab10")(number % 10), "os^D"[number // 10 % 4]
            axes.scatter(values[x], values[y], color=color, marker=mark, label=name, s=25)
        axes.set_xlabel(x)
        axes.set_ylabel(y)
        axes.grid(alpha=0.3)
        axes.legend(fontsize="x-small", loc="center left", bbox_to_anchor=(1.0, 0.5))

    return draw


def heat(metric: str) -> Draw:
    """Return what draws a matrix of cells whose ``at`` is ``(row, column)``."""

    def draw(axes: Axes, cells: Cells) -> None:
        placed = {
            tuple(cell["at"]): interval(cell["values"].get(metric, []))[0] for cell in cells.values() if cell["at"]
        }
        rows, columns = (list(dict.fromkeys(at[place] for at in placed)) for place in (0, 1))
        axes.figure.set_figheight(max(3, 0.35 * len(rows) + 1.5))
        matrix = [[placed.get((row, column), float("nan")) for column in columns] for row in rows]
        image = axes.imshow(matrix, aspect="auto", cmap="viridis")
        axes.set_xticks(range(len(columns)), columns, rotation=30, ha="right")
        axes.set_yticks(range(len(rows)), rows)
        low, high = image.get_clim()
        for row, line in enumerate(matrix):
            for column, one in enumerate(line):
                color = "white" if one <= (low + high) / 2 else "black"  # black where nothing is known
                axes.text(column, row, f"{one:.3f}" if one == one else "-", ha="center", va="center", color=color)
        axes.figure.colorbar(image, ax=axes, label=metric)

    return draw


def save(draw: Draw, title: str, cells: Cells, path: Path) -> None:
    """Draw a figure into a PNG file."""
    figure, axes = plt.subplots(figsize=(7, max(3, 0.3 * len(cells) + 1)), layout="constrained")
    draw(axes, cells)
    axes.set_title(title, fontsize="medium", wrap=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)
