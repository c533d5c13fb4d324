"""Interactions from files with one line per user: the user, then the user's items."""

import io
from os import PathLike

import polars as pl

from graphmi.data.attributes import read_text
from graphmi.data.clean import infer_ids
from graphmi.data.errors import DataError
from graphmi.data.interactions import Interactions

__all__ = ["item_lists", "read_sequences"]


def read_sequences(path: str | PathLike[str]) -> Interactions:
    """Read one line per user: the user's id, then the ids of the user's items, first to last, between blanks.

    Repositories around SASRec share their data in this form, S3-Rec for one (https://github.com/RUCAIBox/CIKM2020-S3Rec).
    The time of an item is its position, from 0 on. Ids that are all integers become integers, others stay strings.

    Args:
        path: The text file, gzipped or not.

    Raises:
        FileNotFoundError: If the path does not exist.
        DataError: If a line is empty or has a user without items, a user has two lines, or the file cannot be read.
    """
    try:
        return Interactions.from_frame(_rows(read_text(path), least=2))
    except DataError as error:
        raise DataError(f"{path}: {error}") from None


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
        return _rows(read_text(path), least=1).drop("time")
    except DataError as error:
        raise DataError(f"{path}: {error}") from None


def _rows(text: str, least: int) -> pl.DataFrame:
    """Return users, items and their places in the line, of lines of at least so many ids."""
    fields = pl.Series("line", list(io.StringIO(text, newline=None)), dtype=pl.String).str.extract_all(r"\S+")
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
