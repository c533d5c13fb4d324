"""Readers of the file formats that several sources share."""

import bz2
import gzip
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, cast

import polars as pl

from graphmi.data.errors import DataError
from graphmi.data.reading import read_table

__all__ = ["first_existing", "open_binary", "read_films", "read_ratings", "select_events"]

_RATING: dict[str, Any] = {"user_id": pl.Int64, "item_id": pl.Int64, "rating": pl.Float32, "timestamp": pl.Int64}


def first_existing(folder: Path, *files: str) -> Path:
    """Return the first of the files that is there, or the first name where none is."""
    return next((folder / file for file in files if (folder / file).exists()), folder / files[0])


def read_ratings(path: Path, separator: str, *, item: Any = pl.Int64) -> pl.DataFrame:
    """Read user, item, rating and unix seconds from a file without a header, in the order of the file.

    Args:
        path: The file.
        separator: Its separator.
        item: The polars type of the item ids, ``pl.Int64`` or ``pl.String``.
    """
    kinds: Any = {**_RATING, "item_id": item}
    return read_table(path, separator=separator, columns=list(_RATING)).cast(kinds).collect()


def read_films(path: Path, *, encoding: str, item: Any = pl.Int64) -> pl.DataFrame:
    """Read ``item::title::category|category``."""
    table = read_table(path, separator="::", columns=["item_id", "title", "category"], encoding=encoding)
    return table.with_columns(pl.col("item_id").cast(item), pl.col("category").str.split("|")).collect()


def open_binary(path: Path) -> IO[bytes]:
    """Open a plain, ``.gz`` or ``.bz2`` file for reading."""
    if path.suffix == ".gz":
        return cast(IO[bytes], gzip.open(path, "rb"))
    return cast(IO[bytes], bz2.open(path, "rb")) if path.suffix == ".bz2" else path.open("rb")


def select_events(table: pl.DataFrame, column: str, event: str, known: Sequence[str]) -> pl.DataFrame:
    """Return the rows with this event, or all rows for ``"all"``.

    Raises:
        DataError: If the event is not a known one.
    """
    if event == "all":
        return table
    if event not in known:
        raise DataError(f"'event' must be one of all, {', '.join(known)} (got {event!r})")
    return table.filter(pl.col(column) == event)
