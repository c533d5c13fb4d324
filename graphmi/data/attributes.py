"""Categories, titles and vectors of items from a file of their own."""

import gzip
import json
import zlib
from os import PathLike
from pathlib import Path

import polars as pl

from graphmi.data.clean import clean_categories
from graphmi.data.columns import column_names, plain_names, select_columns
from graphmi.data.damage import readable
from graphmi.data.errors import DataError
from graphmi.data.interactions import Interactions
from graphmi.data.reading import read_table

__all__ = ["describe_items", "read_text", "with_attributes"]

# What files write where an item has no category.
_NONE = ("", "unknown", "(no genres listed)")


def with_attributes(
    interactions: Interactions, path: str | PathLike[str], *, item: str = "item_id", category: str | None = None
) -> Interactions:
    """Return interactions with what a file says of their items.

    Args:
        interactions: The interactions.
        path: ``.json`` or ``.json.gz`` with a list of categories per item, ``{"item": [1, 2], ...}``; or a table, as
            for :func:`graphmi.data.read_interactions`, with any of categories, titles and vectors. Items without
            interactions are skipped; items that it lacks have no category, their id as title, and zeros as vector.
        item: Column of item ids of a table; ``item_id``, as ``graphmi export`` writes it, where there is none so named.
        category: Its column of categories, in Parquet also lists of them; without a name ``category`` where it exists.
            An item with several may come several times; ``unknown`` and ``(no genres listed)`` are none. The column of
            titles is ``title``, that of vectors ``vector``: lists of numbers, in Parquet, as ``graphmi export`` writes.

    Raises:
        FileNotFoundError: If the path does not exist.
        DataError: If the file cannot be read, lacks a column, or has none of the items.
    """
    path = Path(path)
    try:
        if path.name.endswith((".json", ".json.gz")):
            if category is not None:
                raise DataError(f"JSON has no columns: leave out 'category' (got {category!r})")
            return _from_json(interactions, path)
        return _from_table(interactions, path, item, category)
    except DataError as error:
        raise DataError(f"{path}: {error}") from None


def describe_items(interactions: Interactions, table: pl.DataFrame) -> Interactions:
    """Return the interactions with the titles, categories and vectors of a table of items.

    Rows for items without interactions are left out, and so are the placeholders for "no category".

    Args:
        interactions: The interactions.
        table: Columns ``item_id`` and, where known, ``title``, ``category``, which may hold lists, and ``vector``,
            which does. The first of several titles of an item counts; empty vectors are none.

    Raises:
        DataError: If a column has no text, numbers or lists of them, or an item several vectors.
    """
    if "title" in table.columns:
        if table["title"].dtype.is_nested():
            raise DataError(f"titles must be text or numbers (got {table['title'].dtype})")
        titles = table.select("item_id", pl.col("title").cast(pl.String)).filter(pl.col("title") != "")
        titles = titles.unique("item_id", keep="first", maintain_order=True)
        interactions = interactions.with_titles(titles["item_id"], titles["title"], ignore_unknown=True)
    if "category" in table.columns:
        pairs = table.select("item_id", "category")
        if isinstance(pairs["category"].dtype, pl.List | pl.Array):
            pairs = pairs.explode("category")
        pairs = pairs.with_columns(clean_categories(pairs["category"])).drop_nulls()
        pairs = pairs.filter(~pl.col("category").is_in(_NONE))
        if len(pairs):
            interactions = interactions.with_categories(pairs["item_id"], pairs["category"], ignore_unknown=True)
    if "vector" in table.columns:
        if not isinstance(table["vector"].dtype, pl.List | pl.Array):
            raise DataError(f"vectors must be lists of numbers, as Parquet has them (got {table['vector'].dtype})")
        found = table.select("item_id", "vector").drop_nulls()
        interactions = interactions.with_vectors(found["item_id"], found["vector"], ignore_unknown=True)
    return interactions


def read_text(path: str | PathLike[str]) -> str:
    """Return the content of a text file, gzipped or not.

    Raises:
        FileNotFoundError: If the path does not exist.
        DataError: If it cannot be read.
    """
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


def _from_json(interactions: Interactions, path: Path) -> Interactions:
    text = read_text(path)
    try:
        found = json.loads(text, parse_constant=lambda _: None)  # NaN is no category
    except (ValueError, RecursionError) as error:
        raise DataError(f"the file is not JSON ({error})") from None
    if not isinstance(found, dict) or not all(isinstance(ids, list) for ids in found.values()):
        raise DataError('the file must hold a list of categories per item, such as {"7": [1, 2]}')
    if not interactions.items.contains(list(found)).any():
        raise DataError("none of its items is among those of the interactions")
    pairs = [(item, category) for item, ids in found.items() for category in ids if category is not None]
    if wrong := [category for _, category in pairs if not isinstance(category, str | int | float)]:
        raise DataError(f"categories must be text or numbers (got {wrong[0]!r})")
    pairs = [(item, str(category)) for item, category in pairs]
    return describe_items(interactions, pl.DataFrame(pairs, ["item_id", "category"], orient="row"))


def _from_table(interactions: Interactions, path: Path, item: str, category: str | None) -> Interactions:
    table = read_table(path)
    names = dict(zip(plain_names(found := column_names(table)), found, strict=True)) | {name: name for name in found}
    labels = {"category": category or "category", "title": "title", "vector": "vector"}
    present = {what: names[name] for what, name in labels.items() if name in names}
    there = f"among {', '.join(map(repr, plain_names(found)))}"
    if item not in names and "item_id" in names:
        item = "item_id"
    for name in [item] + [category] * (category is not None):
        if name not in names:
            raise DataError(f"there is no column {name!r} {there}")
    if not present:
        raise DataError(f"there is no column 'title', 'vector' or 'category' {there}; name that of categories")
    with readable():
        frame = select_columns(table, list(dict.fromkeys([names[item], *present.values()])))
    frame = frame.filter(pl.Series(interactions.items.contains(frame[names[item]]).numpy()))
    if frame.is_empty():
        raise DataError(f"none of its items is among those of the interactions; is {item!r} the column of their ids?")
    columns = {"item_id": names[item], **present}
    with readable():
        return describe_items(interactions, frame.select(**{what: pl.col(name) for what, name in columns.items()}))
