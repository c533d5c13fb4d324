"""Interactions from files with one line per user: the user, then the user's items."""

import gzip
import json
import zlib
from os import PathLike
from pathlib import Path

import polars as pl

from graphmi.data.clean import infer_ids
from graphmi.data.errors import DataError
from graphmi.data.interactions import Interactions

__all__ = ["item_lists", "read_sequences"]


def read_sequences(path: str | PathLike[str], *, attributes: str | PathLike[str] | None = None) -> Interactions:
    """Read one line per user: the user's id, then the ids of the user's items, first to last, between blanks.

    Repositories around SASRec share their data in this form, S3-Rec for one (https://github.com/RUCAIBox/CIKM2020-S3Rec).
    The time of an item is its position, from 0 on. Ids that are all integers become integers, others stay strings.

    Args:
        path: The text file, gzipped or not.
        attributes: A JSON file, gzipped or not, with the categories of the items: ``{"item": [1, 2], ...}``. Items
            that are in no sequence are skipped; items that it lacks have no category.

    Raises:
        FileNotFoundError: If a path does not exist.
        DataError: If a line is empty or has a user without items, a user has two lines, or a file cannot be read.
    """
    try:
        interactions = Interactions.from_frame(_rows(_text(path), least=2))
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    return interactions if attributes is None else _with_attributes(interactions, attributes)


def item_lists(path: str | PathLike[str]) -> pl.DataFrame:
    """Read one line per user, as :func:`read_sequences`, where the items are in no order and a user may have none.

    Repositories around LightGCN share their splits in this form (https://github.com/gusye1234/LightGCN-PyTorch).

    Returns:
        A table with the columns ``user_id`` and ``item_id``.

    Raises:
        FileNotFoundError: If the path does not exist.
        DataError: If a line is empty, a user has two lines, or the file cannot be read.
    """
    try:
        return _rows(_text(path), least=1).drop("time")
    except DataError as error:
        raise DataError(f"{path}: {error}") from None


def _rows(text: str, least: int) -> pl.DataFrame:
    """Return users, items and their places in the line, of lines of at least so many ids."""
    fields = pl.Series("line", text.splitlines(), dtype=pl.String).str.extract_all(r"\S+")
    if fields.is_empty():
        raise DataError("the file is empty")
    for number, what in enumerate(("is empty", "has a user without items")[:least], start=1):
        if (short := fields.list.len() < number).any():
            raise DataError(f"line {short.arg_true()[0] + 1} {what}; remove such lines")
    users = fields.list.first().alias("user_id")
    if (repeated := ~users.is_first_distinct()).any():
        row = repeated.arg_true()[0]
        raise DataError(f"line {row + 1} repeats the user {users[row]!r}; a user has one line")
    table = pl.DataFrame({"user_id": infer_ids(users, "the list of users"), "item_id": fields.list.slice(1)})
    table = table.with_columns(time=pl.int_ranges(pl.col("item_id").list.len())).explode("item_id", "time").drop_nulls()
    return table.with_columns(infer_ids(table["item_id"], "the list of items"))


def _with_attributes(interactions: Interactions, path: str | PathLike[str]) -> Interactions:
    try:
        found = json.loads(_text(path))
        if not isinstance(found, dict) or not all(isinstance(ids, list) for ids in found.values()):
            raise DataError('the file must hold a list of categories per item, such as {"7": [1, 2]}')
        pairs = [(item, str(category)) for item, ids in found.items() for category in ids]
        items, categories = zip(*pairs, strict=True) if pairs else ((), ())
        return interactions.with_categories(items, categories, ignore_unknown=True)
    except json.JSONDecodeError as error:
        raise DataError(f"{path}: the file is not JSON ({error})") from None
    except DataError as error:
        raise DataError(f"{path}: {error}") from None


def _text(path: str | PathLike[str]) -> str:
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file '{path}'")
    content = path.read_bytes()
    try:
        return (gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content).decode("utf-8-sig")
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"the gzip file is damaged ({error}); fetch it again") from None
    except UnicodeDecodeError:
        raise DataError("the file is not UTF-8 text") from None
