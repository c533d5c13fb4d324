"""Numbers that describe a data set: sizes, density, degrees, diversity and time span."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from graphmi.data.diversity import category_entropy
from graphmi.data.interactions import Interactions
from graphmi.sorting import num_distinct

__all__ = ["Distribution", "Stats", "stats", "time_span"]

Values = npt.NDArray[Any]


@dataclass(frozen=True)
class Distribution:
    """A distribution in a few numbers.

    Attributes:
        minimum: The smallest value.
        median: The median.
        mean: The mean.
        maximum: The largest value.
        deciles: The nine deciles.
        gini: Gini coefficient, 0 where all values are equal, towards 1 where one value holds the sum.
        edges: Edges of a histogram, one more than ``counts``; bins include their lower edge, the last one both.
        counts: Values in each bin.
    """

    minimum: float
    median: float
    mean: float
    maximum: float
    deciles: tuple[float, ...]
    gini: float
    edges: tuple[float, ...]
    counts: tuple[int, ...]

    @classmethod
    def of(cls, values: Values, *, doubling: bool = False) -> "Distribution":
        """Return the distribution of values that are not negative, at least one.

        Args:
            values: The values, ``[num_values]``.
            doubling: Bins of doubling width (0, 1, 2-3, 4-7, ...), for counts with a long tail; else ten equal ones.
        """
        low, top = float(values.min()), float(values.max())
        edges = _doubling_edges(low, top) if doubling else _equal_edges(low, top)
        counts, _ = np.histogram(values, edges)
        return cls(
            minimum=low,
            median=float(np.median(values)),
            mean=float(values.mean()),
            maximum=top,
            deciles=tuple(np.quantile(values, np.arange(1, 10) / 10).tolist()),
            gini=_gini(values),
            edges=tuple(edges.tolist()),
            counts=tuple(counts.tolist()),
        )


@dataclass(frozen=True)
class Stats:
    """What a data set looks like.

    Attributes:
        num_users: Number of users.
        num_items: Number of items.
        num_interactions: Number of interactions, repeated pairs included.
        num_pairs: Number of different user-item pairs.
        density: Share of all user-item pairs that occur.
        user_degree: Interactions per user.
        item_degree: Interactions per item.
        num_categories: Number of item categories, 0 where none are known.
        num_vectors: Number of items that have a vector.
        vector_size: Numbers of each, 0 without vectors.
        diversity: Category entropy per user in nats, over users with categorised items; ``None`` without any.
        time: First and last time; ``None`` without times.
    """

    num_users: int
    num_items: int
    num_interactions: int
    num_pairs: int
    density: float
    user_degree: Distribution
    item_degree: Distribution
    num_categories: int
    num_vectors: int
    vector_size: int
    diversity: Distribution | None
    time: tuple[int, int] | None


def stats(data: Interactions) -> Stats:
    """Return the numbers that describe the interactions.

    Args:
        data: At least one interaction.
    """
    num_pairs = num_distinct(data.pairs())
    return Stats(
        num_users=data.num_users,
        num_items=data.num_items,
        num_interactions=len(data),
        num_pairs=num_pairs,
        density=num_pairs / (data.num_users * data.num_items),
        user_degree=Distribution.of(data.user.bincount(minlength=data.num_users).numpy(), doubling=True),
        item_degree=Distribution.of(data.item.bincount(minlength=data.num_items).numpy(), doubling=True),
        num_categories=0 if data.categories is None else len(data.categories.names),
        num_vectors=0 if data.vectors is None else int(data.vectors.any(1).sum()),
        vector_size=0 if data.vectors is None else data.vectors.size(1),
        diversity=_diversity(data),
        time=None if data.time is None else (int(data.time.min()), int(data.time.max())),
    )


def time_span(first: int, last: int) -> str:
    """Return the span in words: dates for unix time, in seconds or a finer unit, else positions."""
    for unit, name in ((1, "s"), (10**3, "ms"), (10**6, "us"), (10**9, "ns")):
        if 10**8 * unit <= first <= last < 10**10 * unit:
            days = [datetime.fromtimestamp(time / unit, UTC) for time in (first, last)]
            return f"{days[0]:%Y-%m-%d} to {days[1]:%Y-%m-%d} ({(days[1] - days[0]).days:,} days, in {name})"
    return f"positions {first:,} to {last:,}"


def _diversity(data: Interactions) -> Distribution | None:
    if data.categories is None:
        return None
    entropy = category_entropy(data).numpy()
    known = entropy[~np.isnan(entropy)]
    return Distribution.of(known) if len(known) else None


def _gini(values: Values) -> float:
    ordered = np.sort(values).astype(np.float64)
    size, total = len(ordered), ordered.sum()
    rank = np.arange(1, size + 1)
    return float(((2 * rank - size - 1) * ordered).sum() / (size * total)) if total > 0 else 0.0


def _doubling_edges(low: float, top: float) -> Values:
    """Return 0, 1, 2, 4, ... from the bin of the smallest to the bin of the largest value."""
    first, last = int(low).bit_length(), int(top).bit_length()
    return np.array([0 if power == 0 else 2 ** (power - 1) for power in range(first, last + 2)])


def _equal_edges(low: float, top: float) -> Values:
    return np.linspace(low, top, 11) if top > low else np.array([low, np.nextafter(low, np.inf)])
