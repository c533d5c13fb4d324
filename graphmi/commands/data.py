"""The commands ``graphmi data list``, ``fetch`` and ``stats``."""

from collections.abc import Mapping
from typing import Literal

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from graphmi.commands.tables import bar, say
from graphmi.data.filter import Filter
from graphmi.data.interactions import Interactions
from graphmi.data.sources import SOURCES, find_source, open_data
from graphmi.data.stats import Distribution, Stats, time_span
from graphmi.data.stats import stats as describe

__all__ = ["fetch", "list_sources", "stats"]

_BAR = 32
_NO_FILTER = Filter()
_STATISTICS = ("min", "10 %", "20 %", "30 %", "40 %", "median", "60 %", "70 %", "80 %", "90 %", "max", "mean", "Gini")


def list_sources() -> None:
    """Print the data sets that are known by name."""
    table = Table("name", title="Data sets", show_lines=True)
    table.add_column("what it is, home and licence", overflow="fold")
    table.add_column("size", no_wrap=True)
    for source in SOURCES.values():
        what = f"{source.summary}\n[dim]{escape(source.home)}\n{escape(source.licence)}[/dim]"
        table.add_row(source.name, what, source.size.replace(", ", "\n"))
    Console().print(table)


def fetch(name: str) -> None:
    """Download a data set, check that it is whole and can be read, and print what it is.

    Args:
        name: A name of ``graphmi data list``, with options behind a colon: ``amazon:year=2014,category=Books``.

    Raises:
        DataError: If the name or an option is unknown.
        DownloadError: If the files cannot be obtained, or changed since they were downloaded.
    """
    source, options = find_source(name)
    data = source.load(**options)
    source.verify()
    place = f", in {source.folder}" if source.folder.exists() else ""
    say(f"{name}: {_sizes(data)}{place}")


def stats(
    data: str,
    user: str | None = None,
    item: str | None = None,
    time: str | None = None,
    weight: str | None = None,
    category: str | None = None,
    separator: str | None = None,
    columns: Mapping[str, str] | str | None = None,
    format: Literal["sequences"] | None = None,  # noqa: A002 (the word people type)
    attributes: str | None = None,
    filter: Filter = _NO_FILTER,  # noqa: A002 (as in an experiment)
) -> None:
    """Print the size, density, degrees, diversity and time span of a data set.

    Args:
        data: A name of ``graphmi data list``, or a file.
        user: Column of user ids, for a file.
        item: Column of item ids, for a file.
        time: Column of times, for a file.
        weight: Column of weights, for a file.
        category: Column of categories of items, for a file; with ``attributes`` a column there.
        separator: Separator of a text file.
        columns: Names of all columns of a text file without a header, with commas between; or the other options, as
            ``graphmi train`` takes them: ``--columns.user customer`` is ``--user customer``.
        format: ``sequences`` for a file with one line per user, the items in time order.
        attributes: File with categories, titles or vectors of the items, JSON or a table.
        filter: Which interactions are kept before they are counted, as in ``graphmi train``; all, repeated pairs too,
            where all options of it are as by default.

    Raises:
        DataError: If the data is unknown or cannot be used, or nothing is left of it.
    """
    options = {"user": user, "item": item, "time": time, "weight": weight, "category": category}
    options |= {"separator": separator, "format": format, "attributes": attributes}
    options |= columns if isinstance(columns, Mapping) else {"columns": columns}
    given = {name: value for name, value in options.items() if value is not None}
    interactions = open_data(data, **given)
    filtered = filter != _NO_FILTER
    numbers = describe(filter(interactions) if filtered else interactions)
    console = Console()
    console.print(_overview(f"{data}{', filtered' * filtered}", numbers))
    console.print(_summary(numbers))
    console.print(_histogram("interactions per user", numbers.user_degree, whole=True))
    console.print(_histogram("interactions per item", numbers.item_degree, whole=True))
    if numbers.diversity is not None:
        console.print(_histogram("category entropy per user (nats)", numbers.diversity, whole=False))


def _sizes(data: Interactions) -> str:
    return f"{data.num_users:,} users, {data.num_items:,} items, {len(data):,} interactions"


def _overview(name: str, numbers: Stats) -> Table:
    table = Table(title=Text(name, "table.title"), show_header=False)
    table.add_row("users", f"{numbers.num_users:,}")
    table.add_row("items", f"{numbers.num_items:,}")
    table.add_row("interactions", f"{numbers.num_interactions:,}")
    table.add_row("different pairs", f"{numbers.num_pairs:,}")
    table.add_row("density", f"{numbers.density:.4%}")
    table.add_row("categories", f"{numbers.num_categories:,}" if numbers.num_categories else "none")
    if numbers.vector_size:
        table.add_row("vectors", f"{numbers.vector_size:,} numbers, for {numbers.num_vectors:,} of the items")
    table.add_row("time", time_span(*numbers.time) if numbers.time else "none")
    return table


def _summary(numbers: Stats) -> Table:
    columns = {"per user": numbers.user_degree, "per item": numbers.item_degree, "entropy": numbers.diversity}
    known = {name: column for name, column in columns.items() if column is not None}
    table = Table("", *known)
    for name, *row in zip(_STATISTICS, *(_texts(column) for column in known.values()), strict=True):
        table.add_row(name, *row)
    return table


def _texts(values: Distribution) -> list[str]:
    numbers = (values.minimum, *values.deciles, values.maximum, values.mean)
    return [*(f"{number:,.4g}" for number in numbers), f"{values.gini:.3f}"]


def _histogram(title: str, values: Distribution, *, whole: bool) -> Table:
    table = Table(title=title, box=None, show_header=False, title_justify="left")
    table.add_column(justify="right")
    table.add_column(min_width=_BAR)
    table.add_column(justify="right")
    for low, high, count in zip(values.edges[:-1], values.edges[1:], values.counts, strict=True):
        table.add_row(_bin(low, high, whole), bar(count / max(values.counts), _BAR), f"{count:,}")
    return table


def _bin(low: float, high: float, whole: bool) -> str:
    if not whole:
        return f"{low:.2f}-{high:.2f}"
    return f"{low:,.0f}" if high - low <= 1 else f"{low:,.0f}-{high - 1:,.0f}"
