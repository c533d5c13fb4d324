"""The synthetic world as a named source, which needs no files."""

from pathlib import Path

from graphmi.data.interactions import Interactions
from graphmi.data.planted import planted
from graphmi.data.sources.source import Source

__all__ = ["SOURCE"]


def fetch(folder: Path, **options: object) -> None:
    """Do nothing: the world is made, not fetched."""


def parse(
    folder: Path,
    *,
    num_users: int = 1000,
    num_items: int = 500,
    num_clusters: int = 8,
    interests_per_user: int = 2,
    interactions_per_user: int = 20,
    noise: float = 0.05,
    seed: int = 0,
) -> Interactions:
    """Make the world of these options; see ``graphmi.data.planted``."""
    return planted(num_users, num_items, num_clusters, interests_per_user, interactions_per_user, noise, seed)


SOURCE = Source(
    name="planted",
    summary="synthetic users with known interests in known item clusters",
    size="any",
    home="made on the spot",
    licence="MIT, as this package",
    fetch=fetch,
    parse=parse,
)
