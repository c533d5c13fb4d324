"""The command ``graphmi compare``."""

import textwrap
from collections.abc import Sequence
from dataclasses import replace
from itertools import starmap
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from graphmi.commands.comparing import Comparison, side_by_side
from graphmi.commands.paper_table import PaperTable, by_data, corrected_together, without_shared_end
from graphmi.commands.table_files import FORMATS, write_table
from graphmi.commands.tables import say
from graphmi.comparison import Model, check_comparable, models_of, named
from graphmi.run import RunFolder
from graphmi.usage import UsageError, command_parser, parse, require_file

__all__ = ["compare", "main"]


def main(arguments: Sequence[str]) -> None:
    """Run the command.

    Args:
        arguments: The words after ``graphmi compare``.

    Raises:
        UsageError: If an option, the metric or the format of the file is unknown, or there are fewer than two runs.
        FileNotFoundError: If a run has no result.
        ValueError: If the runs cannot be compared.
    """
    parser = command_parser(
        "compare",
        "Put runs side by side: accuracy, fairness by user group, and each run against the first by "
        "paired tests on the same users.",
    )
    parser.add_argument("runs", type=str, nargs="+", help="Run folders; the first is what the others are compared to.")
    parser.add_argument(
        "--metric", type=str, help="The metric of groups and tests; the first run's monitor when omitted."
    )
    parser.add_argument(
        "--seeds", action="store_true", help="Runs whose configurations differ in nothing but the seed are one model."
    )
    parser.add_argument(
        "--table",
        type=str,
        nargs="+",
        metavar="METRIC",
        help="Show the table of a paper: a row for each model, a column for each of these metrics on each data set. "
        "The runs may be of several data sets or splits; on each, the first is what the others are compared to. Models "
        "of one name are one row: keep runs in DATA/MODEL or MODEL/DATA, and seeds in folders below.",
    )
    parser.add_argument(
        "--out", type=str, help="File for the table: .md or .tex as it is shown; .csv or .json with all digits."
    )
    options = parse(parser, arguments)
    if options.out:
        require_file(Path(options.out), FORMATS)
    runs = [RunFolder(run) for run in options.runs]
    compared: Comparison | PaperTable
    if options.table:
        compared = _paper_table(runs, options.metric, options.seeds, list(dict.fromkeys(options.table)))
    else:
        compared = side_by_side(_models(runs, options.seeds), options.metric)
    _show(compared)
    if options.out:
        write_table(compared, Path(options.out))
        say(f"table: {options.out}")


def compare(folders: Sequence[RunFolder], metric: str | None = None, *, seeds: bool = False) -> Table:
    """Return one table of several runs.

    Args:
        folders: At least two runs on the same data and protocol.
        metric: The metric of groups and tests; the one that the first run monitored when omitted.
        seeds: Whether runs whose configurations differ in nothing but the seed are one model.

    Raises:
        FileNotFoundError: If a run has no result.
        UsageError: If the metric is unknown, or there is one model only.
        ValueError: If the runs differ in data or protocol.
    """
    return _table(side_by_side(_models(folders, seeds), metric))


def _paper_table(folders: Sequence[RunFolder], metric: str | None, seeds: bool, columns: Sequence[str]) -> PaperTable:
    compared = [
        replace(side_by_side(without_shared_end(_models(runs, seeds)), metric, columns), title=data)
        for data, runs in by_data(folders).items()
    ]
    return PaperTable(corrected_together(compared), columns)


def _models(folders: Sequence[RunFolder], seeds: bool) -> list[Model]:
    if len(folders) < 2:
        raise UsageError(f"name at least two run folders of each data set (got '{folders[0].path}' alone)")
    runs = named(folders)
    check_comparable(runs)
    models = models_of(runs, seeds=seeds)
    if len(models) < 2:
        raise UsageError(f"all {len(runs)} runs differ in nothing but the seed: leave out --seeds, or name others")
    return models


def _show(compared: Comparison | PaperTable) -> None:
    """Print one table, or several where the terminal is too narrow; no number is cut."""
    console, tables = Console(), [_table(compared)]
    if console.is_terminal and _width(console, tables[0]) > console.width:
        tables = [_table(part) for part in compared.narrow()]
    console.width = max(console.width, *(_width(console, table) for table in tables))
    console.print(*tables, sep="\n")


def _width(console: Console, table: Table) -> int:
    return console.measure(table, options=console.options.update(max_width=10_000)).maximum


def _table(compared: Comparison | PaperTable) -> Table:
    table = Table(title=Text(compared.title, "table.title"), caption=Text(compared.caption, "table.caption"))
    for number, (above, name) in enumerate(compared.columns()):
        # a long name is broken at its hyphens, so that the table stays narrow
        head = textwrap.fill(f"{above} {name}".strip(), 22 if " less " in name else 12)
        table.add_column(Text(head), justify="right" if number else "left", overflow="fold")
    for part, rows in compared.grid():
        if part:
            table.add_row(Text(part.replace("by ", "by\n").replace("-", "\n"), "bold"))
        for (name, place), *cells in rows:
            lines = textwrap.wrap(name, 20, break_long_words=False, break_on_hyphens=False)
            table.add_row(_styled("\n".join(lines), place), *starmap(_styled, cells))
        table.add_section()
    return table


def _styled(cell: str, place: int) -> Text:
    text = Text(cell, ("bold", "underline", "")[place])
    text.highlight_regex(r"\[.*\]", "dim")
    return text
