"""Categories, titles and vectors of items, from pairs of an item id and what is said of it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor

from graphmi.data.categories import Categories
from graphmi.data.clean import to_series
from graphmi.data.errors import DataError
from graphmi.data.vocabulary import Values, Vocabulary

__all__ = ["read_categories", "read_titles", "read_vectors"]


def read_categories(
    vocabulary: Vocabulary, items: Values, categories: Sequence[str] | pl.Series, ignore_unknown: bool
) -> Categories:
    """Return categories, see :meth:`Interactions.with_categories`."""
    table = _table(vocabulary, items, categories, ignore_unknown).unique().sort("item", "value")
    names = table["value"].unique().sort()
    return Categories(table["item"].to_torch(), Vocabulary(names).encode(table["value"]), tuple(names))


def read_titles(
    vocabulary: Vocabulary, items: Values, titles: Sequence[str] | pl.Series, ignore_unknown: bool
) -> tuple[str, ...]:
    """Return a title per item, its id where there is none, see :meth:`Interactions.with_titles`."""
    table = _table(vocabulary, items, titles, ignore_unknown)
    known = dict(zip(table["item"], table["value"], strict=True))
    return tuple(known.get(index, name) for index, name in enumerate(vocabulary.ids.cast(pl.String)))


def read_vectors(vocabulary: Vocabulary, items: Values, vectors: Any, ignore_unknown: bool) -> Tensor:
    """Return a vector per item, zeros where there is none, see :meth:`Interactions.with_vectors`."""
    ids = to_series(items, "the item ids")
    kept = vocabulary.contains(ids) if ignore_unknown else torch.ones(len(ids), dtype=torch.bool)
    if not kept.any():
        raise DataError("none of the items with interactions has a vector")
    rows = _matrix(vectors)
    if len(ids) != len(rows):
        raise DataError(f"there are {len(ids):,} items and {len(rows):,} vectors")
    if len(wrong := (~rows.isfinite().all(1)).nonzero()):
        which = f"such as that of item {ids[int(wrong[0])]!r}"
        raise DataError(f"{len(wrong):,} vectors have a number that is missing or not finite in float32, {which}")
    index = _encoded(vocabulary, ids.filter(pl.Series(kept.numpy())))
    if len(twice := (torch.bincount(index) > 1).nonzero()):
        raise DataError(f"item {vocabulary.ids[int(twice[0])]!r} has several vectors; give each item one")
    return rows.new_zeros(len(vocabulary), rows.size(1)).index_copy_(0, index, rows[kept])


def _matrix(vectors: Any) -> Tensor:
    """Return vectors as ``[num, size]`` float32."""
    if isinstance(vectors, pl.Series):
        if not isinstance(vectors.dtype, pl.List | pl.Array) or not vectors.dtype.inner.is_numeric():
            raise DataError(f"vectors must be lists of numbers (got {vectors.dtype})")
        sizes = (vectors.list.len() if isinstance(vectors.dtype, pl.List) else vectors.arr.len()).unique()
        if len(sizes) != 1 or not sizes[0]:
            found = ", ".join("none" if size is None else str(size) for size in sizes.sort())
            raise DataError(f"vectors must all have as many numbers (got {found})")
        vectors = vectors.explode().to_numpy().reshape(len(vectors), -1)
    if isinstance(vectors, Tensor):
        vectors = vectors.detach().cpu().to_dense().float().numpy()  # half precision of every kind
    elif str(getattr(vectors, "dtype", "")) == "object":
        vectors = list(vectors)  # a column of pandas, whose cells are lists
    try:
        with np.errstate(over="ignore"):
            rows = torch.from_numpy(np.array(vectors, dtype=np.float32))
    except (TypeError, ValueError):
        raise DataError("vectors must be numbers, and every vector must have as many of them") from None
    if rows.dim() != 2 or not rows.numel():
        raise DataError(f"vectors must be [number, size], both at least 1 (got {list(rows.shape)})")
    return rows


def _table(
    vocabulary: Vocabulary, items: Values, values: Sequence[str] | pl.Series, ignore_unknown: bool
) -> pl.DataFrame:
    """Return the pairs with item indices for ids."""
    table = pl.DataFrame({"item": to_series(items, "the item ids"), "value": to_series(values, "the values")})
    table = table.with_columns(pl.col("value").cast(pl.String))
    if table["value"].null_count():
        raise DataError(f"{table['value'].null_count():,} items have a missing value; leave those rows out")
    if ignore_unknown:
        table = table.filter(pl.Series(vocabulary.contains(table["item"]).numpy()))
    return table.with_columns(item=pl.Series(_encoded(vocabulary, table["item"]).numpy()))


def _encoded(vocabulary: Vocabulary, items: pl.Series) -> Tensor:
    try:
        return vocabulary.encode(items)
    except DataError as error:
        raise DataError(f"{error}, which has the items with interactions; ignore_unknown=True skips them") from None
