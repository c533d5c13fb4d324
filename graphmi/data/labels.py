"""Categories and titles of items, from pairs of an item id and a label."""

from collections.abc import Sequence

import polars as pl

from graphmi.data.categories import Categories
from graphmi.data.clean import to_series
from graphmi.data.errors import DataError
from graphmi.data.vocabulary import Values, Vocabulary

__all__ = ["read_categories", "read_titles"]


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
    try:
        return table.with_columns(item=pl.Series(vocabulary.encode(table["item"]).numpy()))
    except DataError as error:
        raise DataError(f"{error}, which has the items with interactions; ignore_unknown=True skips them") from None
