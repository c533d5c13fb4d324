"""The command ``graphmi recommend``."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import polars as pl
from jsonargparse import ArgumentParser, Namespace
from rich.console import Console
from rich.table import Table
from rich.text import Text

from graphmi.atomic import replacing
from graphmi.commands.beside import add_runs, restore_runs
from graphmi.commands.ids import TABLES, read_ids, require_ids
from graphmi.commands.tables import say
from graphmi.data import SOURCES, Interactions, open_data
from graphmi.data.vocabulary import Values
from graphmi.experiment import Experiment
from graphmi.progress import counting
from graphmi.recommendation import Recommendation
from graphmi.recommender import Recommender
from graphmi.usage import UsageError, command_parser, parse, require_file

__all__ = ["main"]


def main(arguments: Sequence[str]) -> None:
    """Run the command.

    Args:
        arguments: The words after ``graphmi recommend``.

    Raises:
        UsageError: If an option or an id is unknown, or nobody was named.
        FileNotFoundError: If there is no trained model, or no file of users or histories.
        DataError: If the file of histories cannot be used.
        ValueError: If the data is not that of the run, or an option is out of its range.
    """
    options = parse(_parser(), arguments)
    _require_sense(options)
    run = restore_runs(options)
    data = run.interactions
    require_ids(data.users, options.user or [], "user")
    require_ids(data.items, [*(options.history or []), *(options.among or []), *options.without], "item")
    users = options.user
    if options.users:
        users = read_ids(Path(options.users), data.users, str(run.experiment.columns.get("user", "user_id")))
    given = {name: options[name] for name in ("k", "among", "without", "repeat", "quota", "variety")}
    recommender = Recommender(data, run.model, **given)
    if options.histories:
        _write_for(recommender, _others(Path(options.histories), run.experiment), Path(options.out))
    elif options.out:
        _write(recommender, users, Path(options.out))
    elif options.history:
        [found] = recommender.for_histories([options.history])
        Console().print(_table(f"After {', '.join(options.history)}", found, data))
    else:
        for user, found in zip(users, recommender(users), strict=True):
            Console().print(_table(f"User {user}", found, data))


def _parser() -> ArgumentParser:
    parser = command_parser(
        "recommend",
        "Recommend items to users of the data, to somebody with a history of their own, or to all users in "
        "a file. All that the data has of a user is known, targets of the test too.",
    )
    add_runs(parser)
    parser.add_argument("--user", type=str, nargs="+", help="Ids of users.")
    parser.add_argument(
        "--users",
        type=str,
        help="File with ids of users: text with an id in each line, or .csv or .parquet with the column that the run "
        "was trained with, --columns.user or else user_id.",
    )
    parser.add_argument("--history", type=str, nargs="+", help="Ids of the items of somebody else, the latest last.")
    parser.add_argument(
        "--histories",
        type=str,
        help="File with interactions of others, or with more of the same users than the run has, in the columns of its "
        "data; lists for all users in it go to --out.",
    )
    parser.add_argument("--k", type=int, default=10, help="Length of the lists.")
    parser.add_argument("--among", type=str, nargs="+", help="Ids of the only items that may be recommended.")
    parser.add_argument("--without", type=str, nargs="+", default=[], help="Ids of items that may not.")
    parser.add_argument("--repeat", type=bool, default=False, help="Recommend what users know, too.")
    parser.add_argument("--quota", type=int, help="Most items of one interest.")
    parser.add_argument("--variety", type=float, default=0.0, help="Score that an item loses for each of its category.")
    parser.add_argument("--out", type=str, help="File to write, .csv or .parquet; with all users if none is named.")
    return parser


def _require_sense(options: Namespace) -> None:
    """Raise a ``UsageError`` where nobody is named, one option excludes another, or ``--out`` is no table."""
    if not (options.user or options.users or options.history or options.histories or options.out):
        raise UsageError(
            "name users with --user or in a file with --users, items with --history, or a file for all users with --out"
        )
    if options.histories and (options.user or options.users or options.history or not options.out):
        raise UsageError("--histories is a file of all who are asked about, and needs --out: give these two alone")
    if options.user and options.users:
        raise UsageError("name users with --user, or in a file with --users, but not with both")
    if options.history and (options.user or options.users or options.out):
        raise UsageError("--history is for somebody else than --user and --users, and is shown, not written to --out")
    if options.out:
        require_file(Path(options.out), TABLES)


def _write(recommender: Recommender, users: Values | None, path: Path) -> None:
    total = len(recommender.interactions.users) if users is None else len(users)
    with counting("users", total) as shown:
        table = recommender.table(users, shown)
    _save(table, path)
    say(f"{len(table):,} recommendations for {total:,} users: {path}")


def _write_for(recommender: Recommender, others: Interactions, path: Path) -> None:
    with counting("users", others.num_users) as shown:
        table = recommender.table_for(others, shown)
    _save(table, path)
    unknown = int((~recommender.interactions.items.contains(others.items.ids)).sum())
    answered = table["user_id"].n_unique()
    say(
        f"{len(table):,} recommendations for {answered:,} of {others.num_users:,} users, by their items "
        f"({unknown:,} of {others.num_items:,} are unknown to the run): {path}"
    )


def _others(path: Path, experiment: Experiment) -> Interactions:
    """Return the interactions in a file that is like the data of a run."""
    columns = {} if experiment.data.partition(":")[0] in SOURCES else dict(experiment.columns)
    for name in ("category", "attributes"):  # of items, which the run knows
        columns.pop(name, None)
    data, least = open_data(path, **columns), experiment.filter.min_weight
    if least is not None and data.weight is None:
        raise UsageError(
            f"the run leaves out weights below {least}, and '{path}' has none: give it the column of the data"
        )
    return replace(experiment.filter, k_core=1)(data)


def _save(table: pl.DataFrame, path: Path) -> None:
    with replacing(path) as part:
        table.write_csv(part) if path.suffix == ".csv" else table.write_parquet(part)


def _table(title: str, found: Sequence[Recommendation], data: Interactions) -> Table:
    table = Table(title=Text(title, "table.title"), title_justify="left")
    for name in ("rank", "item", "title", "score", "interest"):
        table.add_column(name, justify="left" if name in ("item", "title") else "right")
    titles = data.titles
    place = data.items.encode(pl.Series([one.item for one in found], dtype=data.items.ids.dtype)).tolist()
    for rank, (one, item) in enumerate(zip(found, place, strict=True), start=1):
        name = titles[item] if titles else ""
        table.add_row(str(rank), Text(str(one.item)), Text(name), f"{one.score:.4f}", str(one.interest + 1))
    if not titles:
        table.columns.pop(2)
    return table
