"""Tables in Parquet: one file, or a folder of parts that were written at different times."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

import polars as pl

from graphmi.data.damage import readable
from graphmi.data.errors import DataError

__all__ = ["scan_parquet"]

_PARTS: dict[str, Any] = {  # how they may differ
    "missing_columns": "insert",
    "extra_columns": "ignore",
    "cast_options": pl.ScanCastOptions(
        integer_cast=["upcast", "allow-float"],
        float_cast="upcast",
        datetime_cast="nanosecond-downcast",
        categorical_to_string="allow",
    ),
}


def scan_parquet(path: Path) -> pl.LazyFrame:
    """Return the table in a file or folder.

    The parts of a folder may differ in the order of their columns, in the width of their numbers, and in columns that
    nobody reads; a column that one of them lacks has no values there.

    Args:
        path: A Parquet file, or a directory of such files, also in directories below it.

    Raises:
        DataError: If there is no file, or one is damaged. Where the kinds of a column differ, such as numbers and
            texts, polars says so when the column is read.
    """
    files = sorted(_parquet_files(path)) if path.is_dir() else [path]
    if not files:
        raise DataError("the directory has no .parquet files")
    with readable():
        return pl.scan_parquet(files, glob=False, schema=_columns(files), **_PARTS)


def _columns(files: Sequence[Path]) -> dict[str, pl.DataType]:
    """Return all columns of the files, with types that hold what each of them has, where there are such types."""
    columns = dict[str, pl.DataType]()
    for file in files:
        for name, kind in pl.scan_parquet(file, glob=False).collect_schema().items():
            if columns.setdefault(name, kind) != kind:
                columns[name] = _wider(columns[name], kind)
    return columns


def _wider(one: pl.DataType, other: pl.DataType) -> pl.DataType:
    try:
        return pl.concat([pl.DataFrame(schema={"": kind}) for kind in (one, other)], how="vertical_relaxed").schema[""]
    except pl.exceptions.PolarsError:  # polars says so where somebody asks for the column
        return one


def _parquet_files(folder: Path) -> Iterator[Path]:
    """Yield the Parquet files in a folder, in those below it and in those that are linked there, each folder once."""

    def refuse(error: OSError) -> NoReturn:
        raise error  # else what cannot be opened would be left out

    seen = set[Path]()
    for place, names, files in os.walk(folder, onerror=refuse, followlinks=True):
        names.sort()
        if (real := Path(place).resolve()) in seen:
            names.clear()
            continue
        seen.add(real)
        yield from (Path(place, file) for file in files if file.endswith(".parquet"))
