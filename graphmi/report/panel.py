"""A panel: one picture, what it says in words, and the numbers behind it."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import matplotlib as mpl
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

__all__ = ["COLORS", "MARKERS", "Panel", "color", "dashes", "draw", "label", "marker", "save"]

# Okabe and Ito: told apart by all kinds of color vision. Markers and dashes differ too, for prints without color.
COLORS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_DASHES: tuple[str | tuple[int, tuple[int, ...]], ...] = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (6, 2, 1, 2)))  # type: ignore[assignment]


@dataclass(frozen=True, eq=False)
class Panel:
    """One picture with the numbers behind it.

    Attributes:
        title: What is shown, in a few words.
        description: What there is to see, in a sentence or two, for those who cannot see it.
        header: Names of the columns of the table.
        rows: The numbers that are drawn, row by row.
        draw: Draws them into axes.
    """

    title: str
    description: str
    header: tuple[str, ...]
    rows: tuple[tuple[str | float | None, ...], ...]
    draw: Callable[[Axes], None]


def draw(panels: Sequence[Panel], *, titles: bool = True, size: tuple[float, float] = (4.8, 3.6)) -> Figure:
    """Return one figure with the panels side by side and a legend of everything that has a label.

    Args:
        panels: What to draw; none gives a figure that says so.
        titles: Whether the panels have their titles.
        size: Width and height of a panel in inches.
    """
    # Not pyplot: it keeps figures alive, and chooses a backend that may need a screen.
    with _style():
        figure = Figure(figsize=(size[0] * max(1, len(panels)), size[1]), layout="constrained")
        if not panels:
            figure.text(0.5, 0.5, "nothing to show: no run has these numbers", ha="center")
        for index, panel in enumerate(panels):
            ax = figure.add_subplot(1, len(panels), index + 1)
            ax.spines[["top", "right"]].set_visible(False)
            ax.grid(alpha=0.25)
            panel.draw(ax)
            if titles:
                ax.set_title(panel.title)
        _legend(figure)
    return figure


def save(figure: Figure, target: str | Path | BinaryIO, file_format: str | None = None) -> None:
    """Write a figure as PNG or SVG; text stays text in an SVG, and equal figures give equal files.

    Args:
        figure: The figure.
        target: A path, whose ending says the format, or an open file.
        file_format: The format for an open file.
    """
    file_format = file_format or Path(str(target)).suffix.lstrip(".")
    metadata = {"Date": None} if file_format == "svg" else None
    with _style(), mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "graphmi"}):
        figure.savefig(target, dpi=150, format=file_format, metadata=metadata)


def color(index: int) -> str:
    """Return the color of the run, interest or category of this number."""
    return COLORS[index % len(COLORS)]


def label(name: str) -> str:
    """Return a name for a legend; matplotlib leaves out those that begin with an underscore."""
    return f" {name}" if name.startswith("_") else name


def marker(index: int) -> str:
    """Return the marker that goes with :func:`color`; the pairs repeat after 49."""
    return MARKERS[(index + index // len(MARKERS)) % len(MARKERS)]


def dashes(index: int) -> str | tuple[int, tuple[int, ...]]:
    """Return the line style that goes with :func:`color`."""
    return _DASHES[index % len(_DASHES)]


@contextmanager
def _style() -> Iterator[None]:
    """Take names of runs and titles as they are, whatever characters they hold."""
    with mpl.rc_context({"text.parse_math": False, "font.size": 9}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def _legend(figure: Figure) -> None:
    handles: dict[str, Artist] = {}
    for ax in figure.axes:
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    if handles:
        columns = 1 if max(map(len, handles)) > 24 else 2
        figure.legend(
            list(handles.values()),
            list(handles),
            loc="outside lower center",
            frameon=False,
            ncols=columns * len(figure.axes),
        )
