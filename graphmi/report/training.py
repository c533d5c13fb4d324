"""Panels of what changed over the epochs."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from graphmi.comparison import NamedRun
from graphmi.report.panel import Panel, color, dashes, label

__all__ = ["collapse_panels", "training_panels"]

_WORDS = {
    "collapse": "share of interests that rest on one item",
    "routing entropy": "spread of an interest over the history",
    "cosine": "cosine between interests of a user",
}


def training_panels(runs: Sequence[NamedRun], metric: str) -> list[Panel]:
    """Return training loss and validation metric over the epochs; a run without training is left out.

    How to read it: the metric should level off before the end of training. A loss that still falls while the metric
    falls too is overfitting; losses of different objectives cannot be compared with each other.
    """
    return [
        *_curves(runs, "loss", "training loss"),
        *_curves(runs, metric, f"validation {metric}"),
    ]


def collapse_panels(runs: Sequence[NamedRun]) -> list[Panel]:
    """Return how the interests developed over the epochs, for runs that recorded it.

    How to read it: routing has collapsed where most interests rest on one item of the history; interests are copies
    of each other where the cosine between them is near one.
    """
    return [panel for name, words in _WORDS.items() for panel in _curves(runs, f"interests/{name}", words)]


def _curves(runs: Sequence[NamedRun], column: str, words: str) -> list[Panel]:
    """Return one panel of a column of ``metrics.csv``; none where no run has it."""
    curves = {
        index: [(row["epoch"], row[column]) for row in run.epochs if column in row] for index, run in enumerate(runs)
    }
    curves = {index: points for index, points in curves.items() if points}
    if not curves:
        return []

    def draw(ax: Axes) -> None:
        for index, points in curves.items():
            epochs, values = zip(*points, strict=True)
            dot = "." if len(points) == 1 else ""
            ax.plot(epochs, values, marker=dot, color=color(index), ls=dashes(index), label=label(runs[index].name))
        ax.set(xlabel="epoch", ylabel=words)
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))

    ends = "; ".join(f"{runs[index].name} from {p[0][1]:.4g} to {p[-1][1]:.4g}" for index, p in curves.items())
    epochs = sorted({epoch for points in curves.values() for epoch, _ in points})
    values = {index: dict(points) for index, points in curves.items()}
    return [
        Panel(
            title=words[0].upper() + words[1:],
            description=f"{words[0].upper()}{words[1:]} over the epochs: {ends}.",
            header=("epoch", *(runs[index].name for index in curves)),
            rows=tuple((f"{epoch:.0f}", *(values[index].get(epoch) for index in curves)) for epoch in epochs),
            draw=draw,
        )
    ]
