"""The table of a paper: models as rows, metrics on one or several data sets as columns."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from graphmi.commands.comparing import Cell, Comparison, Row
from graphmi.comparison import Model
from graphmi.metrics import PairedResult, SpreadDifference, corrected
from graphmi.report.summary import is_significant
from graphmi.run import RunFolder

__all__ = ["PaperTable", "by_data", "corrected_together", "without_shared_end"]

_MISSING = "\N{EN DASH}"


@dataclass(frozen=True)
class PaperTable:
    """Models as rows, metrics on data sets as columns.

    Attributes:
        comparisons: One for each data set; models of one name are one row.
        metrics: What stands under each data set.
        title: What stands above.
    """

    comparisons: Sequence[Comparison]
    metrics: Sequence[str]
    title: str = "test"

    @property
    def compared_to(self) -> dict[str, str]:
        """The model that the others are compared to on each data set."""
        return {one.title: one.compared_to for one in self.comparisons}

    @property
    def caption(self) -> str:
        """How to read it."""
        firsts = self.compared_to
        same = len(set(firsts.values())) == 1
        first = " and ".join(dict.fromkeys(name if same else f"{name} on {data}" for data, name in firsts.items()))
        seeds = any(len(values) > 1 for one in self.comparisons for row in one.rows for values in row.values)
        return (
            f"Bold: the best of a column; underlined: the second{'; ±: 95 % t intervals over seeds' * seeds}. "
            f"†: better than {first} (p < 0.05, and the 95 % bootstrap interval of the difference does not hold zero). "
            f"p: Wilcoxon signed-rank test on the same {'users, by means over seeds' if seeds else 'users'}, after "
            "Holm's correction over the models and data sets of each metric, within groups over the groups too."
        )

    def columns(self) -> list[tuple[str, str]]:
        """Return for each column of :meth:`grid` the data set and the metric."""
        return [("", ""), *((one.title, metric) for one in self.comparisons for metric in self.metrics)]

    def grid(self) -> Iterator[tuple[str, list[list[Cell]]]]:
        """Yield name and values of each model, with a dash where it was not run; nothing stands above them."""
        columns = [_column(one, metric) for one in self.comparisons for metric in self.metrics]
        names = dict.fromkeys(name for one in self.comparisons for name in one.models)
        yield "", [[(name, 2), *(column.get(name, (_MISSING, 2)) for column in columns)] for name in names]

    def narrow(self) -> list["PaperTable"]:
        """Return narrower tables: one for each data set."""
        return [replace(self, comparisons=[one]) for one in self.comparisons]

    def records(self) -> list[dict[str, Any]]:
        """Return the numbers of each data set, row and model, not rounded; those of groups too."""
        return [{"data": one.title, **record} for one in self.comparisons for record in one.records()]


def by_data(folders: Sequence[RunFolder]) -> dict[str, list[RunFolder]]:
    """Return runs by the name of their data and the kind of split, in the order of their first; none twice.

    Raises:
        FileNotFoundError: If a run has no result.
    """
    found: dict[str, list[RunFolder]] = {}
    for folder in {folder.path.resolve(): folder for folder in folders}.values():
        result = folder.require().read_result()
        found.setdefault(f"{result['data']['name']}, {result['protocol']['split']}", []).append(folder)
    return found


def without_shared_end(models: Sequence[Model]) -> list[Model]:
    """Return models without the end that all names share: ``mf`` and ``ease`` of ``mf/ml-1m`` and ``ease/ml-1m``."""
    names = [Path(model.name) for model in models]
    while len({name.name for name in names}) == 1:
        names = [name.parent for name in names]
    return [replace(model, name=name.as_posix()) for model, name in zip(models, names, strict=True)]


def corrected_together(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """Return comparisons on several data sets with Holm's correction over the data sets too."""
    families: dict[str, list[PairedResult]] = {}
    for row in (row for one in comparisons for row in one.rows):
        tests = [test for test in row.differences if isinstance(test, PairedResult)]
        families.setdefault(row.part or row.name, []).extend(tests)
    anew = {name: iter(corrected([{"all": test} for test in tests])) for name, tests in families.items()}
    return [
        replace(one, rows=[_with_tests(row, anew[row.part or row.name]) for row in one.rows]) for one in comparisons
    ]


def _with_tests(row: Row, tests: Iterator[Mapping[str, PairedResult]]) -> Row:
    anew = [next(tests)["all"] if isinstance(test, PairedResult) else test for test in row.differences]
    return replace(row, differences=anew)


def _column(comparison: Comparison, metric: str) -> dict[str, Cell]:
    """Return the cell of each model; those that four decimals do not tell apart share a place."""
    row = next(row for row in comparison.rows if not row.part and row.name == metric)
    values = [round(numbers["value"], 4) for numbers in row.numbers()]
    places, texts = sorted(set(values), reverse=True), row.cells()[1 : len(values) + 1]
    marks = ["", *("†" * _is_better(test) for test in row.differences)]
    return {
        name: (text + mark, min(places.index(value), 2))
        for name, text, mark, value in zip(comparison.models, texts, marks, values, strict=True)
    }


def _is_better(test: PairedResult | SpreadDifference | None) -> bool:
    return isinstance(test, PairedResult) and test.difference > 0 and is_significant(test)
