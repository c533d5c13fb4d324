"""The product files of the Amazon releases: titles, and the categories under the root."""

import ast
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl

from graphmi.data.sources.tables import open_binary

__all__ = ["read_products"]


def read_products(path: Path, year: int) -> pl.DataFrame:
    """Return ``item_id``, ``title`` and ``category`` of the products.

    A product's path of categories begins with the category of the file, so the level below it is taken.

    Args:
        path: One product per line: a Python dictionary in 2014, JSON in 2018 and 2023.
        year: The release.
    """
    read = ast.literal_eval if year == 2014 else json.loads
    columns: dict[str, list[Any]] = {"item_id": [], "title": [], "category": []}
    with open_binary(path) as file:
        for line in file:
            product = read(line.decode("utf-8"))
            columns["item_id"].append(product["parent_asin" if year == 2023 else "asin"])
            columns["title"].append(product.get("title") or None)
            columns["category"].append(sorted(set(_below_root(product, year))))
    kinds: Any = {"item_id": pl.String, "title": pl.String, "category": pl.List(pl.String)}
    return pl.DataFrame(columns, schema=kinds).unique("item_id", keep="first", maintain_order=True)


def _below_root(product: dict[str, Any], year: int) -> Iterator[str]:
    paths = product.get("category" if year == 2018 else "categories") or []
    for path in paths if year == 2014 else [paths]:
        if path:
            yield path[1] if len(path) > 1 else path[0]
