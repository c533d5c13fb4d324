"""MovieLens 1M: one million ratings of films with genres."""

from pathlib import Path

from graphmi.data.attributes import describe_items
from graphmi.data.interactions import Interactions
from graphmi.data.reading import read_interactions
from graphmi.data.sources.obtain import ZipUrl, obtain
from graphmi.data.sources.source import Source
from graphmi.data.sources.tables import read_films, read_ratings

__all__ = ["SOURCE"]

_CHRONOLOGICAL = "ratings.chronological.tsv.gz"
_ARCHIVE = ZipUrl(
    "https://files.grouplens.org/datasets/movielens/ml-1m.zip",
    {"ml-1m/ratings.dat": "ratings.dat", "ml-1m/movies.dat": "movies.dat"},
    "a6898adb50b9ca05aa231689da44c217cb524e7ebd39d264c56e2832f2c54e20",
)


def fetch(folder: Path) -> None:
    """Fetch the archive of GroupLens, unless the chronological file and the film table were put there."""
    if not ((folder / _CHRONOLOGICAL).exists() and (folder / "movies.dat").exists()):
        obtain(folder, _ARCHIVE)


def parse(folder: Path) -> Interactions:
    """Read ``ratings.dat``, or where it was put there ``ratings.chronological.tsv.gz``; and ``movies.dat``.

    The chronological file has the columns user_id, item_id, rating and order, the position in the user's
    history, which then is the time.
    """
    chronological = folder / _CHRONOLOGICAL
    if chronological.exists():
        interactions = read_interactions(chronological, time="order")
    else:
        interactions = Interactions.from_frame(read_ratings(folder / "ratings.dat", "::"))
    return describe_items(interactions, read_films(folder / "movies.dat", encoding="latin-1"))


SOURCE = Source(
    name="ml-1m",
    summary="MovieLens 1M: film ratings, genres, titles, 2000-2003",
    size="6,040 users, 3,706 items, 1,000,209 ratings",
    home="https://grouplens.org/datasets/movielens/1m/",
    licence="research use, no redistribution without permission, cite Harper and Konstan (2015)",
    fetch=fetch,
    parse=parse,
)
