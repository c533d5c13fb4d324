"""MovieTweetings: film ratings collected from Twitter, the snapshot of 100,000 ratings."""

from pathlib import Path

import polars as pl

from graphmi.data.attributes import describe_items
from graphmi.data.interactions import Interactions
from graphmi.data.sources.obtain import Url, obtain
from graphmi.data.sources.source import Source
from graphmi.data.sources.tables import read_films, read_ratings

__all__ = ["SOURCE"]

_SNAPSHOT = "https://raw.githubusercontent.com/sidooms/MovieTweetings/master/snapshots/100K"


def fetch(folder: Path) -> None:
    """Fetch the ratings and the film table of the snapshot."""
    for file in ("ratings.dat", "movies.dat"):
        obtain(folder, Url(f"{_SNAPSHOT}/{file}", file))


def parse(folder: Path) -> Interactions:
    """Read ``ratings.dat`` and ``movies.dat`` (UTF-8); item ids are IMDb's, with their leading zeros."""
    interactions = Interactions.from_frame(read_ratings(folder / "ratings.dat", "::", item=pl.String))
    return describe_items(interactions, read_films(folder / "movies.dat", encoding="utf-8", item=pl.String))


SOURCE = Source(
    name="movietweetings",
    summary="MovieTweetings 100K: film ratings from tweets, genres, titles, 2013",
    size="16,554 users, 10,506 items, 100,000 ratings",
    home="https://github.com/sidooms/MovieTweetings",
    licence="MIT, cite Dooms, De Pessemier and Martens (2013)",
    fetch=fetch,
    parse=parse,
)
