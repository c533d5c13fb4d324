"""Amazon reviews: the releases of 2014, 2018 and 2023, one category of products at a time."""

import re
from pathlib import Path
from typing import Any

import polars as pl

from graphmi.data.attributes import describe_items
from graphmi.data.errors import DataError
from graphmi.data.interactions import Interactions
from graphmi.data.reading import read_table
from graphmi.data.sources.amazon_products import read_products
from graphmi.data.sources.obtain import Url, obtain
from graphmi.data.sources.source import Source
from graphmi.data.sources.tables import open_binary

__all__ = ["SOURCE"]

_2014 = "https://snap.stanford.edu/data/amazon/productGraph/categoryFiles"
_2018 = "https://mcauleylab.ucsd.edu/public_datasets/data/amazon_v2"
_2023 = "https://mcauleylab.ucsd.edu/public_datasets/data/amazon_2023"

# (year, core) -> address of the reviews; the file of 2018 has the item first.
_REVIEWS = {
    (2014, 0): f"{_2014}/ratings_{{}}.csv",
    (2014, 5): f"{_2014}/reviews_{{}}_5.json.gz",
    (2018, 0): f"{_2018}/categoryFilesSmall/{{}}.csv",
    (2018, 5): f"{_2018}/categoryFilesSmall/{{}}_5.json.gz",
    (2023, 0): f"{_2023}/benchmark/0core/rating_only/{{}}.csv.gz",
    (2023, 5): f"{_2023}/benchmark/5core/rating_only/{{}}.csv.gz",
}
_PRODUCTS = {
    2014: f"{_2014}/meta_{{}}.json.gz",
    2018: f"{_2018}/metaFiles2/meta_{{}}.json.gz",
    2023: f"{_2023}/raw/meta_categories/meta_{{}}.jsonl.gz",
}
_RATING: dict[Any, Any] = {"user_id": pl.String, "item_id": pl.String, "rating": pl.Float32, "timestamp": pl.Int64}
_JSON = {"reviewerID": pl.String, "asin": pl.String, "overall": pl.Float32, "unixReviewTime": pl.Int64}


def fetch(
    folder: Path, *, year: int = 2023, category: str = "All_Beauty", core: int = 0, products: bool = False
) -> None:
    """Fetch the reviews of a category, and its products where they are asked for."""
    obtain(folder, _reviews(year, category, core))
    if products:
        obtain(folder, _products(year, category))


def parse(
    folder: Path, *, year: int = 2023, category: str = "All_Beauty", core: int = 0, products: bool = False
) -> Interactions:
    """Read the reviews of a category.

    Args:
        folder: The folder of the files, which lie in a folder per release below it.
        year: Release: 2014, 2018 or 2023. Times of 2023 are milliseconds, the others seconds.
        category: Name of the category as the release writes it, such as ``Toys_and_Games``.
        core: 0 for all reviews, 5 for the release's own 5-core.
        products: Whether to take titles and categories from the (large) product file.
    """
    path = folder / _reviews(year, category, core).file
    if path.name.endswith(".json.gz"):
        table = _json_reviews(path)
    elif year == 2023:
        table = read_table(path, separator=",").rename({"parent_asin": "item_id"}).cast(_RATING).collect()
    else:
        order = ["user_id", "item_id"] if year == 2014 else ["item_id", "user_id"]
        table = read_table(path, separator=",", columns=[*order, "rating", "timestamp"]).cast(_RATING).collect()
    interactions = Interactions.from_frame(table)
    if products:
        return describe_items(interactions, read_products(folder / _products(year, category).file, year))
    return interactions


def _json_reviews(path: Path) -> pl.DataFrame:
    with open_binary(path) as file:
        table = pl.read_ndjson(file.read(), schema=_JSON)
    return table.rename(dict(zip(_JSON, _RATING, strict=True)))


def _reviews(year: int, category: str, core: int) -> Url:
    if (year, core) not in _REVIEWS:
        raise DataError(f"'year' must be 2014, 2018 or 2023, and 'core' 0 or 5 (got {year} and {core})")
    return _url(_REVIEWS[year, core], f"{year}-{core}core", category)


def _products(year: int, category: str) -> Url:
    return _url(_PRODUCTS[year], f"{year}-products", category)


def _url(address: str, folder: str, category: str) -> Url:
    if not re.fullmatch(r"[A-Za-z0-9_&-]+", category):
        raise DataError(f"'category' must be a name such as Toys_and_Games (got {category!r})")
    url = address.format(category)
    return Url(url, f"{folder}/{url.rsplit('/', 1)[-1]}")


SOURCE = Source(
    name="amazon",
    summary="Amazon reviews of one category: year=2014|2018|2023, category=..., core=0|5, products=true",
    size="by category, to 30 M users",
    home="https://amazon-reviews-2023.github.io/ (2023), https://nijianmo.github.io/amazon/ (2018), "
    "https://jmcauley.ucsd.edu/data/amazon/ (2014)",
    licence="research use, cite McAuley et al. (2015), Ni et al. (2019) or Hou et al. (2024)",
    fetch=fetch,
    parse=parse,
)
