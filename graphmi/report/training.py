"""Panels of what changed over the epochs."""

from collections.abc import Iterator, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from graphmi.comparison import Model, NamedRun
from graphmi.report.panel import Panel, color, dashes, label

__all__ = ["collapse_panels", "training_panels"]

_WORDS = {
    "collapse": "share of interests that rest on one item",
    "routing entropy": "spread of an interest over the history",
    "cosine": "cosine between interests of a user",
}


def training_panels(models: Sequence[Model], metric: str) -> list[Panel]:
    """Return training loss and validation metric over the epochs, a line for each seed; none without training.

    How to read it: the metric should level off before the end of training. A loss that still falls while the metric
    falls too is overfitting; losses of different objectives cannot be compared with each other.
    """
    return [
        *_curves(models, "loss", "training loss"),
        *_curves(models, metric, f"validation {metric}"),
    ]


def collapse_panels(models: Sequence[Model]) -> list[Panel]:
    """Return how the interests developed over the epochs, for runs that recorded it.

    How to read it: routing has collapsed where most interests rest on one item of the history; interests are copies
    of each other where the cosine between them is near one.
    """
    return [panel for name, words in _WORDS.items() for panel in _curves(models, f"interests/{name}", words)]


def _curves(models: Sequence[Model], column: str, words: str) -> list[Panel]:
    """Return one panel of a column of ``metrics.csv``; none where no run has it."""
    # By the number of the model, for its look, and the name of the run.
    curves = {
        (index, name): {row["epoch"]: row[column] for row in run.epochs if column in row}
        for index, model in enumerate(models)
        for name, run in _seeds(model)
    }
    curves = {line: points for line, points in curves.items() if points}
    if not curves:
        return []

    def draw(ax: Axes) -> None:
        for (index, _), points in curves.items():
            look: dict[str, Any] = {"color": color(index), "ls": dashes(index), "label": label(models[index].name)}
            ax.plot(list(points), list(points.values()), marker="." if len(points) == 1 else "", **look)
        ax.set(xlabel="epoch", ylabel=words)
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))

    values = {line: list(points.values()) for line, points in curves.items()}
    ends = "; ".join(f"{name} from {found[0]:.4g} to {found[-1]:.4g}" for (_, name), found in values.items())
    epochs = sorted({epoch for points in curves.values() for epoch in points})
    return [
        Panel(
            title=words[0].upper() + words[1:],
            description=f"{words[0].upper()}{words[1:]} over the epochs: {ends}.",
            header=("epoch", *(name for _, name in curves)),
            rows=tuple((f"{epoch:.0f}", *(points.get(epoch) for points in curves.values())) for epoch in epochs),
            draw=draw,
        )
    ]


def _seeds(model: Model) -> Iterator[tuple[str, NamedRun]]:
    """Yield the runs of a model by their names, of which one alone has that of the model."""
    for run in model.runs:
        yield model.name if len(model.runs) == 1 else f"{model.name}, seed {run.result['seed']}", run
