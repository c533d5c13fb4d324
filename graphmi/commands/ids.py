"""Ids of users and items on the command line, and in files that it names."""

from bisect import bisect
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from graphmi.data import DataError, Vocabulary
from graphmi.data.damage import what_is_wrong
from graphmi.usage import UsageError, require_name

__all__ = ["TABLES", "find_id", "read_ids", "require_ids"]

TABLES = (".csv", ".parquet")  # how the names of files with columns end


def find_id(vocabulary: Vocabulary, value: str, what: str) -> int:
    """Return the index of an id; arguments and errors are those of :func:`require_ids`."""
    require_ids(vocabulary, [value], what)
    return int(vocabulary.encode([value]))


def require_ids(vocabulary: Vocabulary, values: Sequence[str], what: str) -> None:
    """Check that ids are known.

    Args:
        vocabulary: All ids.
        values: Those to check.
        what: ``"user"`` or ``"item"``, for the message.

    Raises:
        UsageError: If one is not; names the ids nearest to the first of them.
    """
    known = vocabulary.contains(values).tolist()
    if all(known):
        return
    value = values[known.index(False)]
    try:
        place = bisect(vocabulary.ids, int(value) if vocabulary.ids.dtype.is_integer() else value)
    except ValueError:
        raise UsageError(
            f"no {what} has the id '{value}': ids are whole numbers, such as {vocabulary.ids[0]}"
        ) from None
    near = " and ".join(str(one) for one in vocabulary.ids[max(0, place - 1) : place + 1])
    raise UsageError(f"no {what} has the id '{value}' (nearest of the {len(vocabulary):,} ids: {near})")


def read_ids(path: Path, vocabulary: Vocabulary, column: str) -> pl.Series:
    """Return the ids in a file, each once, in their order.

    Args:
        path: Text with an id in each line; or a table, ``.csv`` or ``.parquet``.
        vocabulary: All ids.
        column: Their column in a table, or ``user_id``, as ``graphmi recommend --out`` calls it, where there is none.

    Raises:
        UsageError: If the file cannot be read, lacks the column, or has no ids or unknown ones; names the first few.
    """
    ids = _column(path, column).drop_nulls()
    if path.suffix != ".parquet":
        ids = ids.str.strip_chars()
        ids = ids.filter(ids != "")
    if ids.is_empty():
        raise UsageError(f"there are no ids in '{path}'")
    ids = ids.unique(maintain_order=True)
    try:
        known = vocabulary.contains(ids)
    except DataError as error:
        raise UsageError(f"'{path}' cannot be read: {error}") from None
    if not known.all():
        unknown = ids.filter(pl.Series(~known.numpy()))
        few = ", ".join(f"'{one}'" for one in unknown.head(5))
        raise UsageError(f"{len(unknown):,} of {len(ids):,} ids in '{path}' are not in the data: {few}")
    index = pl.Series(vocabulary.encode(ids).numpy())  # an id can be spelled in several ways
    return vocabulary.ids.gather(index.unique(maintain_order=True))


def _column(path: Path, name: str) -> pl.Series:
    content = path.read_bytes()
    try:
        if path.suffix not in TABLES:
            return pl.Series(content.decode("utf-8-sig").split("\n"))
        table = pl.read_parquet(content) if path.suffix == ".parquet" else pl.read_csv(content, infer_schema=False)
    except (pl.exceptions.PolarsError, UnicodeDecodeError) as error:
        raise UsageError(f"'{path}' cannot be read: {what_is_wrong(error)}") from None
    if name not in table.columns and "user_id" in table.columns:
        return table["user_id"]
    require_name(name, table.columns, f"column of '{path}'")
    return table[name]
