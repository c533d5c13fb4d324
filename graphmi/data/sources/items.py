"""Titles and categories from the item table of a source."""

import polars as pl

from graphmi.data.interactions import Interactions

__all__ = ["describe_items"]

# What the files write where an item has no category.
_NONE = ("", "unknown", "(no genres listed)")


def describe_items(interactions: Interactions, table: pl.DataFrame) -> Interactions:
    """Return the interactions with the titles and categories of a table of items.

    Rows for items without interactions are left out, and so are the placeholders for "no category".

    Args:
        interactions: The interactions.
        table: Columns ``item_id`` and, where known, ``title`` (string) and ``category`` (list of strings).
    """
    if "title" in table.columns:
        titles = table.select("item_id", "title").drop_nulls()
        interactions = interactions.with_titles(titles["item_id"], titles["title"], ignore_unknown=True)
    if "category" in table.columns:
        pairs = table.select("item_id", "category").explode("category").drop_nulls()
        pairs = pairs.filter(~pl.col("category").is_in(_NONE))
        interactions = interactions.with_categories(pairs["item_id"], pairs["category"], ignore_unknown=True)
    return interactions
