"""A study is a set of questions, a question a set of cells, a cell a preset with some options."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from figures import Draw, bars

from graphmi.data import Dataset
from graphmi.experiment import Experiment, Trained

METRIC = "ndcg@20"
COLUMNS = (METRIC, "recall@20", "spread", "seconds")

Options = dict[str, object]
Measure = Callable[[Experiment, Dataset, Trained], Mapping[str, float]]


@dataclass(frozen=True)
class Cell:
    """One configuration.

    Attributes:
        preset: Name of the preset.
        options: Options over it, two underscores for a dot.
        backbone: Put under the preset of a sequence model.
        at: Where it stands in the figure: ``(x,)``, ``(line, x)`` or ``(row, column)``; not part of what it is.
    """

    preset: str
    options: Options = field(default_factory=dict)
    backbone: str | None = None
    at: tuple[object, ...] = field(default=(), compare=False)


@dataclass(frozen=True)
class Question:
    """Cells that answer one question.

    Attributes:
        asks: The question.
        cells: By name; the same name in several questions of a study is the same cell.
        against: The cell that the others are compared with, user by user, or which one each; none when omitted.
        columns: What the table shows, see :func:`value`.
        curves: Columns of ``metrics.csv`` whose way over the epochs is kept for the figure.
        figure: Draws the figure.
        data: The data sets on which it is meant to be asked, for who reads; the command names one.
    """

    asks: str
    cells: Mapping[str, Cell]
    against: str | Mapping[str, str] | None = None
    columns: Sequence[str] = COLUMNS
    curves: Sequence[str] = ()
    figure: Draw = field(default_factory=lambda: bars(METRIC))
    data: Sequence[str] = ("ml-100k",)

    def pairs(self) -> Mapping[str, str]:
        """Return which cell is compared with which."""
        if isinstance(self.against, str):
            return {cell: self.against for cell in self.cells if cell != self.against}
        return self.against or {}


@dataclass(frozen=True)
class Study:
    """Questions with what their cells share.

    Attributes:
        name: Names the folder of the results.
        questions: By name.
        small: Options of every cell, under its own: a budget of about a minute per cell.
        full: Options over those of ``small`` for ``--full``, under the cell's own.
        measure: Measures more of a trained model, for ``columns``.
    """

    name: str
    questions: Mapping[str, Question]
    small: Options
    full: Options
    measure: Measure | None = None

    def cells(self) -> dict[str, Cell]:
        """Return all cells by name.

        Raises:
            ValueError: If two questions have different cells of one name.
        """
        found: dict[str, Cell] = {}
        for question in self.questions.values():
            for name, cell in question.cells.items():
                if found.setdefault(name, cell) != cell:
                    raise ValueError(f"'{name}' is the name of two different cells")
        return found
