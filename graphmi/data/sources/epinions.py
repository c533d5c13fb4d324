"""Epinions: product ratings and the trust between reviewers."""

from pathlib import Path

import polars as pl

from graphmi.data.errors import DataError
from graphmi.data.interactions import Interactions
from graphmi.data.sources.obtain import Url, obtain
from graphmi.data.sources.source import Source
from graphmi.data.sources.tables import first_existing, open_binary

__all__ = ["SOURCE"]

_HOME = "http://www.trustlet.org/datasets/downloaded_epinions"
_FILES = {"rating": "ratings_data.txt", "trust": "trust_data.txt"}


def fetch(folder: Path, *, relation: str = "rating") -> None:
    """Fetch the file of the relation."""
    path = _path(folder, relation)
    if not path.exists():
        file = f"{_FILES[relation]}.bz2"
        obtain(folder, Url(f"{_HOME}/{file}", file))


def parse(folder: Path, *, relation: str = "rating") -> Interactions:
    """Read ``ratings_data.txt`` or ``trust_data.txt``, plain or ``.bz2``; no times, no categories.

    Args:
        folder: The folder of the files.
        relation: ``"rating"`` for ``user item rating``, or ``"trust"`` for ``user trusted-user 1``.
    """
    with open_binary(_path(folder, relation)) as file:
        lines = pl.Series("line", file.read().decode("ascii").splitlines(), dtype=pl.String).str.strip_chars()
    fields = lines.filter(lines != "").str.extract_groups(r"^(?<user_id>\d+)\s+(?<item_id>\d+)\s+(?<rating>\S+)")
    table = fields.struct.unnest().cast({"user_id": pl.Int64, "item_id": pl.Int64, "rating": pl.Float32})
    return Interactions.from_frame(table, weight="rating")


def _path(folder: Path, relation: str) -> Path:
    if relation not in _FILES:
        raise DataError(f"'relation' must be one of {', '.join(_FILES)} (got {relation!r})")
    return first_existing(folder, _FILES[relation], f"{_FILES[relation]}.bz2")


SOURCE = Source(
    name="epinions",
    summary="Epinions: product ratings, and the trust between reviewers, 2003",
    size="40,163 users, 139,738 items, 664,824 ratings",
    home="http://www.trustlet.org/epinions.html",
    licence="research use, cite Massa and Avesani (2007)",
    fetch=fetch,
    parse=parse,
)
