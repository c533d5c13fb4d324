"""MovieLens 100K: 100,000 ratings of films with genres, the data set of the quick start."""

from pathlib import Path

import polars as pl

from graphmi.data.attributes import describe_items
from graphmi.data.interactions import Interactions
from graphmi.data.reading import read_interactions, read_table
from graphmi.data.sources.obtain import Wheel, ZipUrl, obtain
from graphmi.data.sources.source import Source
from graphmi.data.sources.tables import read_ratings

__all__ = ["SOURCE"]

_GENRES = (
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama", "Fantasy",
    "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western",
)  # fmt: skip

# The order of the ratings counts (ties in time are broken by it), and both ways have the same: the rows of the
# wheel's ratings file are byte for byte the file u.data of the archive.
_WAYS = (
    ZipUrl(
        "https://files.grouplens.org/datasets/movielens/ml-100k.zip",
        {"ml-100k/u.data": "u.data", "ml-100k/u.item": "u.item"},
        "50d2a982c66986937beb9ffb3aa76efe955bf3d5c6b761f4e3a7cd717c6a3229",
    ),
    Wheel(
        "recbole==1.2.1",
        {f"recbole/dataset_example/ml-100k/{file}": file for file in ("ml-100k.inter", "ml-100k.item")},
        "9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407",
    ),
)


def fetch(folder: Path) -> None:
    """Fetch the ratings and the film table: from GroupLens, else from a Python package that carries them."""
    obtain(folder, *_WAYS)


def parse(folder: Path) -> Interactions:
    """Read ``u.data`` and ``u.item``, or ``ml-100k.inter`` and ``ml-100k.item``, whichever is there."""
    if (folder / "u.data").exists():
        interactions = Interactions.from_frame(read_ratings(folder / "u.data", "\t"))
        return describe_items(interactions, _items(folder / "u.item"))
    return describe_items(read_interactions(folder / "ml-100k.inter"), _typed_items(folder / "ml-100k.item"))


def _items(path: Path) -> pl.DataFrame:
    """Read ``u.item``: ``id|title|date|date|link`` and one flag for each of the 19 genres, Latin-1."""
    columns = ["item_id", "title", "date", "video_date", "link", *_GENRES]
    genres = pl.concat_list(pl.when(pl.col(genre) == "1").then(pl.lit(genre)) for genre in _GENRES)
    table = read_table(path, separator="|", columns=columns, encoding="latin-1")
    return table.select(pl.col("item_id").cast(pl.Int64), "title", genres.list.drop_nulls().alias("category")).collect()


def _typed_items(path: Path) -> pl.DataFrame:
    """Read ``ml-100k.item``: id, title, year and genres (space separated) between tabs, UTF-8."""
    table = read_table(path, separator="\t")
    item, title, year, genres = table.collect_schema().names()
    return table.select(
        pl.col(item).cast(pl.Int64).alias("item_id"),
        pl.format("{} ({})", title, year).alias("title"),
        pl.col(genres).str.split(" ").alias("category"),
    ).collect()


SOURCE = Source(
    name="ml-100k",
    summary="MovieLens 100K: film ratings, genres, titles, 1997-1998",
    size="943 users, 1,682 items, 100,000 ratings",
    home="https://grouplens.org/datasets/movielens/100k/",
    licence="research use, no redistribution without permission, cite Harper and Konstan (2015)",
    fetch=fetch,
    parse=parse,
)
