"""The command ``graphmi export``."""

import io
from collections.abc import Sequence
from pathlib import Path

import torch

from graphmi.atomic import replacing
from graphmi.commands.beside import add_runs, restore_runs
from graphmi.commands.tables import say
from graphmi.program import interests_program
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
    parser.add_argument(
        "--program",
        action="store_true",
        help="Write interests.pt2 as well, which torch.export.load reads: a program from histories, as rows of "
        "items.parquet, to interests. Of a graph model, EASE or item neighbours it answers as for new users.",
    )
    options = parse(parser, arguments)
    folder = Path(options.out)
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"'--out' must name a folder, and '{options.out}' is a file")
    run = restore_runs(options)
    program = interests_program(run.model) if options.program else None  # first: not every model can be one
    with counting("users", len(run.interactions.users)) as shown:
        users, items = vectors(run.interactions, run.model, shown)
    for name, table in (("users", users), ("items", items)):
        path = folder / f"{name}.parquet"
        with replacing(path) as part:
            table.write_parquet(part)
        size = table["vector"].to_numpy().shape[1]
        say(f"{len(table):,} vectors of {size} numbers: {path}")
    if program is not None:
        path, content = folder / "interests.pt2", io.BytesIO()
        torch.export.save(program, content)
        with replacing(path) as part:
            part.write_bytes(content.getvalue())
        say(f"a program from histories to interests: {path}")
