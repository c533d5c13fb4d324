"""Interactions from files: CSV, TSV and other separated text, gzipped or not, and Parquet."""

import csv
import gzip
import zlib
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import polars as pl

from graphmi.data.clean import infer_ids
from graphmi.data.columns import Columns, choose_columns
from graphmi.data.damage import readable
from graphmi.data.errors import DataError, given_as
from graphmi.data.interactions import Interactions
from graphmi.data.parquet import scan_parquet

__all__ = ["read_interactions", "read_table"]

SEPARATORS = {"\t": "tab", "::": "'::'", ",": "comma", ";": "semicolon", "|": "'|'", " ": "space"}
_QUOTED = (",", ";")  # separators beside which fields may stand in double quotes
_NEVER_IN_TEXT = "\x01"  # reads a line as one field


def read_interactions(
    path: str | PathLike[str],
    *,
    user: str = "user_id",
    item: str = "item_id",
    time: str | None = None,
    weight: str | None = None,
    category: str | None = None,
    separator: str | None = None,
    columns: Sequence[str] | str | None = None,
) -> Interactions:
    """Read interactions from a text file, a Parquet file or a directory of Parquet files.

    Ids that are all integers become integers, others stay strings. Typed headers of RecBole's atomic files
    (``user_id:token``) are understood.

    Args:
        path: CSV, TSV or other separated text (``.gz`` too), Parquet, or a directory of Parquet files.
        user: Column of user ids.
        item: Column of item ids.
        time: Column of times, whole numbers or ISO dates; without a name the first of ``timestamp``,
            ``time`` and ``order`` that exists.
        weight: Column of weights; without a name the first of ``rating`` and ``weight`` that exists.
        category: Column with a category of the item of each row, in Parquet also a list of them; empty for none. An
            item that comes with several has them all.
        separator: The separator of a text file; found from its first line where not given.
        columns: Column names for a text file that has no header line, or one text of them with commas between.

    Raises:
        FileNotFoundError: If the path does not exist.
        DataError: If the file is empty, lacks a column, is not separated as said, or a value cannot be used.
    """
    try:
        named = [name.strip() for name in columns.split(",")] if isinstance(columns, str) else columns
        table = read_table(path, separator=separator, columns=named)
        found = table.collect_schema().names()
        names = choose_columns(found, user=user, item=item, time=time, weight=weight, category=category)
        frame = _collect(table, names)
        if _is_text(path):
            ids = dict.fromkeys((names.user, names.item))
            frame = frame.with_columns(infer_ids(frame[name], f"column '{name}'") for name in ids)
        return Interactions.from_frame(
            frame, user=names.user, item=names.item, time=names.time, weight=names.weight, category=names.category
        )
    except DataError as error:
        raise DataError(f"{path}: {error}") from None


def read_table(
    path: str | PathLike[str],
    *,
    separator: str | None = None,
    columns: Sequence[str] | None = None,
    encoding: str = "utf-8",
) -> pl.LazyFrame:
    """Return the table in a file; every column of a text file is text.

    Args:
        path: Separated text (``.gz`` too), Parquet, or a directory of Parquet files.
        separator: One or more characters; found from the first line of a text file where not given.
        columns: Column names for a text file that has no header line.
        encoding: Encoding of a text file.

    Raises:
        FileNotFoundError: If the path does not exist.
        DataError: If the file is empty, not text, or not separated as said.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"there is no file or directory '{path}'")
    if not path.is_file() and not path.is_dir():
        raise DataError("it is a pipe or a device, and what is read more than once must be a file: write it to one")
    if not _is_text(path):
        return scan_parquet(path)
    first = _first_line(path, encoding)
    if columns is None and first.startswith(("{", "[{")):
        raise DataError("it holds JSON and no table; convert it to CSV or Parquet")
    separator = _check_separator(first, separator) if separator else _find_separator(first)
    fields = _split(first, separator)
    names = _header(first, fields, separator) if columns is None else list(columns)
    if len(set(names)) != len(fields):
        raise DataError(f"the file has {len(fields)} columns; 'columns' must name each once (got {names})")
    if columns is not None and names == fields:
        raise DataError(f"the first line, {_shorten(first)}, is a header of these names: leave out 'columns'")
    return _scan_text(path, separator, names, skip=columns is None, encoding=encoding)


def _collect(table: pl.LazyFrame, names: Columns) -> pl.DataFrame:
    # Text becomes numbers part by part; the texts of the whole file are never in memory.
    texts = [name for name, kind in table.collect_schema().items() if kind == pl.String]
    numbers = {names.weight: pl.Float64, names.time: pl.Int64}
    coded = {names.user: pl.Categorical, names.item: pl.Categorical, names.category: pl.Categorical}
    kinds = {name: kind for name, kind in (numbers | coded).items() if name in texts}
    with readable():
        casts = [pl.col(name).cast(kind, strict=False) for name, kind in kinds.items()]
        frame = table.select(names.used).with_columns(casts).collect(engine="streaming")
        # Dates, fractions and mistakes are left as they stand in the file for whoever checks the columns.
        others = [name for name, kind in kinds.items() if kind != pl.Categorical and frame[name].null_count()]
        return frame.with_columns(table.select(others).collect(engine="streaming")) if others else frame


def _find_separator(line: str) -> str:
    for separator in SEPARATORS:
        if separator in line:
            return separator
    tried = ", ".join(SEPARATORS.values())
    raise DataError(f"only one column, {_shorten(line)}, was found (tried {tried}); name the separator")


def _header(line: str, fields: list[str], separator: str) -> list[str]:
    if len(set(fields)) < len(fields) or all(field.lstrip("-").isdigit() for field in fields):
        named = f"name its {len(fields)} columns, as in {given_as('columns', 'user_id,item_id,...')}"
        if separator == " ":
            named += f", or say that it has one line per user with {given_as('format', 'sequences')}"
        raise DataError(f"the first line, {_shorten(line)}, is no header; {named}")
    return fields


def _shorten(line: str) -> str:
    return repr(line if len(line) <= 60 else f"{line[:60]}...")


def _check_separator(line: str, separator: str) -> str:
    if separator in line:
        return separator
    likely = next((f"; it looks like {SEPARATORS[other]}" for other in SEPARATORS if other in line), "")
    raise DataError(f"separator {separator!r} finds only one column, {_shorten(line)}{likely}")


def _split(line: str, separator: str) -> list[str]:
    fields = next(csv.reader([line], delimiter=separator)) if separator in _QUOTED else line.split(separator)
    return [field.strip() for field in fields]


def _is_text(path: str | PathLike[str]) -> bool:
    path = Path(path)
    if path.is_dir():
        return False
    with path.open("rb") as file:
        return file.read(4) != b"PAR1"


def _first_line(path: Path, encoding: str) -> str:
    with path.open("rb") as file:
        zipped = file.read(2) == b"\x1f\x8b"
    try:
        with gzip.open(path) if zipped else path.open("rb") as file:
            head = file.readline(1 << 20)
        line = head.decode("utf-8-sig" if encoding == "utf-8" else encoding)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"the gzip file is damaged ({error}); fetch it again") from None
    except UnicodeDecodeError:
        raise DataError(f"the file is not {encoding} text; convert it, or give a Parquet file") from None
    if not line.strip():
        raise DataError("the file is empty" if not line else "the first line is empty")
    if "\r" in (line := line.rstrip("\r\n")) and not head.endswith(b"\n"):
        raise DataError("its lines end with a carriage return alone; convert them to line feeds")
    return line


def _scan_text(path: Path, separator: str, names: list[str], *, skip: bool, encoding: str) -> pl.LazyFrame:
    if len(separator.encode()) > 1:  # polars separates at single bytes
        lines = _scan_text(path, _NEVER_IN_TEXT, ["line"], skip=skip, encoding=encoding)
        return _split_lines(lines, separator, names)
    options: dict[str, Any] = {
        "has_header": False,
        "skip_rows": int(skip),
        "separator": separator,
        "quote_char": '"' if separator in _QUOTED else None,
        "schema": dict.fromkeys(names, pl.String),
        "glob": False,
    }
    if encoding == "utf-8":
        table = pl.scan_csv(path, **options)
    else:
        with readable():
            table = pl.read_csv(path, encoding=encoding, **options).lazy()
    return table.with_columns(pl.all().str.strip_chars()).filter(~pl.all_horizontal(pl.all().is_null()))


def _split_lines(lines: pl.LazyFrame, separator: str, names: list[str]) -> pl.LazyFrame:
    fields = pl.col("line").str.split_exact(separator, len(names)).struct.rename_fields([*names, _NEVER_IN_TEXT])
    table = lines.select(fields).unnest("line")
    with readable():  # once through the file, so that nobody has to hold it
        ragged = table.select(pl.col(_NEVER_IN_TEXT).count()).collect(engine="streaming").item()
    if ragged:
        raise DataError(f"more fields than the {len(names)} columns of the first line, in {ragged:,} of the lines")
    return table.drop(_NEVER_IN_TEXT)
