"""The command ``graphmi export``."""

from collections.abc import Sequence
from pathlib import Path

from graphmi.atomic import replacing
from graphmi.commands.beside import add_runs, restore_runs
from graphmi.commands.tables import say
from graphmi.progress import counting
from graphmi.usage import UsageError, command_parser, parse
from graphmi.vectors import vectors

__all__ = ["main"]


def main(arguments: Sequence[str]) -> None:
    """Run the command.

    Args:
        arguments: The words after ``graphmi export``.

    Raises:
        UsageError: If an option is unknown, or ``--out`` is a file.
        FileNotFoundError: If there is no trained model.
        ValueError: If the data is not that of the run.
    """
    parser = command_parser(
        "export",
        "Write the interests of all users and the vectors of all items to users.parquet and "
        "items.parquet, for a search engine or an analysis of your own. The score of a user and an item is the largest "
        "inner product of any of their vectors.",
    )
    add_runs(parser)
    parser.add_argument("--out", type=str, required=True, help="Folder to write to.")
    options = parse(parser, arguments)
    folder = Path(options.out)
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"'--out' must name a folder, and '{options.out}' is a file")
    run = restore_runs(options)
    with counting("users", len(run.interactions.users)) as shown:
        users, items = vectors(run.interactions, run.model, shown)
    for name, table in (("users", users), ("items", items)):
        path = folder / f"{name}.parquet"
        with replacing(path) as part:
            table.write_parquet(part)
        size = table["vector"].to_numpy().shape[1]
        say(f"{len(table):,} vectors of {size} numbers: {path}")
