"""Anime recommendations: ratings of series with genres from myanimelist.net."""

from pathlib import Path

import polars as pl

from graphmi.data.attributes import describe_items
from graphmi.data.interactions import Interactions
from graphmi.data.sources.obtain import ByHand, obtain
from graphmi.data.sources.source import Source

__all__ = ["SOURCE"]

_PAGE = "https://www.kaggle.com/datasets/CooperUnion/anime-recommendations-database"


def fetch(folder: Path) -> None:
    """Say where to get ``rating.csv`` and ``anime.csv`` where they are not there."""
    for file in ("rating.csv", "anime.csv"):
        obtain(folder, ByHand(_PAGE, file))


def parse(folder: Path) -> Interactions:
    """Read ``rating.csv`` (user_id, anime_id, rating) and ``anime.csv`` (anime_id, name, genre, ...); no times.

    A rating of -1 says that the series was watched and not rated; it stays the weight of that interaction.
    """
    kinds = {"user_id": pl.Int64, "anime_id": pl.Int64, "rating": pl.Float32}
    ratings = pl.read_csv(folder / "rating.csv", glob=False, schema_overrides=kinds)
    table = pl.read_csv(folder / "anime.csv", glob=False, infer_schema=False).select(
        pl.col("anime_id").cast(pl.Int64).alias("item_id"),
        pl.col("name").alias("title"),
        pl.col("genre").str.split(", ").alias("category"),
    )
    return describe_items(Interactions.from_frame(ratings, item="anime_id", weight="rating"), table)


SOURCE = Source(
    name="anime",
    summary="Anime recommendations: ratings of series, genres, titles; placed by hand (Kaggle)",
    size="73,515 users, 11,200 items, 7,813,737 ratings",
    home=_PAGE,
    licence="CC0",
    fetch=fetch,
    parse=parse,
)
