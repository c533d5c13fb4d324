"""A synthetic world with known item clusters and known interests of every user."""

import polars as pl
import torch
from torch import Tensor

from graphmi.data.categories import Categories
from graphmi.data.interactions import Interactions
from graphmi.data.vocabulary import Vocabulary
from graphmi.ranges import at_least
from graphmi.seeds import check_seed

__all__ = ["planted", "planted_world"]

_YEAR = 365 * 24 * 60 * 60
# Each round redraws the repeated items of a user only; a few are enough unless the user's clusters are nearly used up.
_ROUNDS = 64


def planted(
    num_users: int = 1000,
    num_items: int = 500,
    num_clusters: int = 8,
    interests_per_user: int = 2,
    interactions_per_user: int = 20,
    noise: float = 0.05,
    seed: int = 0,
) -> Interactions:
    """Return the interactions of ``planted_world``, whose categories are the true clusters."""
    return planted_world(num_users, num_items, num_clusters, interests_per_user, interactions_per_user, noise, seed)[0]


def planted_world(
    num_users: int = 1000,
    num_items: int = 500,
    num_clusters: int = 8,
    interests_per_user: int = 2,
    interactions_per_user: int = 20,
    noise: float = 0.05,
    seed: int = 0,
) -> tuple[Interactions, Tensor]:
    r"""Return synthetic interactions, and the interests behind them.

    Items are dealt to clusters at random, as evenly as possible. A user has ``interests_per_user`` different
    clusters; each interaction takes one of them at random and an item of it, or with probability ``noise`` any
    item. The items of a user differ, and their times are spread over a year.

    Args:
        num_users: Number of users, at least 1.
        num_items: Number of items, at least ``num_clusters``.
        num_clusters: Number of item clusters, at least 1; they are the categories of the items.
        interests_per_user: Clusters per user, from 1 to ``num_clusters``.
        interactions_per_user: Interactions per user, at most the number of items of a user's clusters. Where it
            nearly is that number, a few users can have fewer.
        noise: Probability of an interaction outside the interests, from 0 to 1.
        seed: Seed of the world; the same arguments give the same world.

    Returns:
        The interactions, and the clusters of each user, ``[num_users, interests_per_user]``.

    Raises:
        ValueError: If an argument is outside its range.

    Example:
        >>> interactions, interests = planted_world(num_users=100, interests_per_user=3)
        >>> interactions.num_users, interests.shape
        (100, torch.Size([100, 3]))
    """
    _check(num_users, num_items, num_clusters, interests_per_user, interactions_per_user, noise)
    check_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(num_items, generator=generator)  # item ids carry no hint of the cluster
    cluster = torch.empty_like(order).index_put_((order,), torch.arange(num_items) % num_clusters)
    chance = torch.rand(num_users, num_clusters, generator=generator)
    interests = chance.topk(interests_per_user, dim=1).indices.sort(dim=1).values

    items, repeated = _distinct_items(interests, order, num_clusters, interactions_per_user, noise, generator)
    time = torch.randint(_YEAR, items.shape, generator=generator).sort(dim=1).values
    user = torch.arange(num_users).repeat_interleave(interactions_per_user)
    keep = ~repeated.flatten()
    return Interactions(
        user=user[keep],
        item=items.flatten()[keep],
        users=_vocabulary(num_users),
        items=_vocabulary(num_items),
        time=time.flatten()[keep],
        categories=Categories(torch.arange(num_items), cluster, tuple(f"cluster {c}" for c in range(num_clusters))),
    ), interests


def _distinct_items(
    interests: Tensor, order: Tensor, num_clusters: int, length: int, noise: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Return items ``[num_users, length]``, and where one still repeats an item of the same user."""
    items = _draw(interests, order, num_clusters, length, noise, generator)
    repeated = _repeated(items)
    for _ in range(_ROUNDS):
        rows = repeated.any(dim=1).nonzero().squeeze(1)
        if len(rows) == 0:
            break
        again = _draw(interests[rows], order, num_clusters, length, noise, generator)
        items[rows] = torch.where(repeated[rows], again, items[rows])
        repeated[rows] = _repeated(items[rows])
    return items, repeated


def _draw(
    interests: Tensor, order: Tensor, num_clusters: int, length: int, noise: float, generator: torch.Generator
) -> Tensor:
    """Draw items with repetition, ``[num_rows, length]``; the items of cluster c are ``order[c::num_clusters]``."""
    shape = (len(interests), length)
    cluster = interests.gather(1, torch.randint(interests.size(1), shape, generator=generator))
    size = (len(order) - cluster + num_clusters - 1) // num_clusters
    offset = (torch.rand(shape, dtype=torch.float64, generator=generator) * size).long()
    inside = order[cluster + offset * num_clusters]
    anywhere = torch.randint(len(order), shape, generator=generator)
    return torch.where(torch.rand(shape, generator=generator) < noise, anywhere, inside)


def _repeated(items: Tensor) -> Tensor:
    """Mark all but the first occurrence of an item in its row."""
    value, index = items.sort(dim=1, stable=True)
    return torch.zeros_like(items, dtype=torch.bool).scatter_(1, index[:, 1:], value[:, 1:] == value[:, :-1])


def _vocabulary(size: int) -> Vocabulary:
    return Vocabulary(pl.Series("id", range(size), dtype=pl.Int64))


def _check(users: int, items: int, clusters: int, interests: int, interactions: int, noise: float) -> None:
    at_least(1, num_users=users, num_clusters=clusters)
    at_least(clusters, num_items=items)
    most = {
        "interests_per_user": (interests, clusters),
        "interactions_per_user": (interactions, interests * (items // clusters)),
    }
    for name, (value, high) in most.items():
        if not 1 <= value <= high:
            raise ValueError(f"'{name}' must be from 1 to {high} (got {value})")
    if not 0 <= noise <= 1:
        raise ValueError(f"'noise' must be from 0 to 1 (got {noise})")
