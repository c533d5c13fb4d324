"""Numbers of models side by side: how sure they are, and how they differ on the same users."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, stdev

import torch
from scipy.stats import t as student
from torch import Tensor

from graphmi.comparison import Model
from graphmi.metrics import (
    Interval,
    PairedResult,
    SpreadDifference,
    by_group,
    corrected,
    paired_spread,
    paired_tests,
)

__all__ = [
    "Estimate",
    "GroupEstimates",
    "group_estimates",
    "mean_interval",
    "metric_estimate",
    "over_seeds",
    "paired",
    "paired_spreads",
    "seed_interval",
]


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval.

    Attributes:
        value: The number, of several seeds their mean.
        interval: The bootstrap interval over the users, or the t interval over the seeds; ``None`` where it is not
            known, as over the seeds of a model with one.
        of_seeds: Whether the interval is over the seeds.
    """

    value: float
    interval: Interval | None
    of_seeds: bool = False

    @property
    def line(self) -> Interval:
        """The interval as a line to draw, without length where it is not known."""
        return self.interval or Interval(self.value, self.value)


@dataclass(frozen=True)
class GroupEstimates:
    """A metric of the users of each group.

    Attributes:
        mean: The mean of each group; ``None`` for a group without users.
        count: The number of users of each group.
        std: The standard deviation between the groups.
    """

    mean: Sequence[Estimate | None]
    count: Sequence[int]
    std: Estimate

    @property
    def present(self) -> dict[int, Estimate]:
        """The means by group, of those with users."""
        return {group: one for group, one in enumerate(self.mean) if one is not None}


def metric_estimate(model: Model, metric: str, *, seeds: bool) -> Estimate:
    """Return a test metric, its interval over the seeds (``None`` for one seed) or over the users."""
    values = model.each("metrics", metric)
    return over_seeds(values) if seeds else Estimate(float(values[0]), mean_interval(model.of_users(metric)))


def group_estimates(model: Model, key: str, *, seeds: bool) -> GroupEstimates:
    """Return a test metric by user group, its intervals over the seeds (``None`` for one seed) or over the users.

    Args:
        model: Its runs have the groups.
        key: The groups and the metric, such as ``"diversity/ndcg@20"``.
        seeds: Whether intervals are over the seeds.
    """
    found = model.each("groups", key)

    def estimate(values: Sequence[float], name: str) -> Estimate:
        ends = found[0]["intervals"].get(name)
        return over_seeds(values) if seeds else Estimate(values[0], Interval(*ends) if ends else None)

    means = zip(*(one["mean"] for one in found), strict=True)  # of each group, in every run
    return GroupEstimates(
        [None if None in values else estimate(values, str(group)) for group, values in enumerate(means)],
        found[0]["count"],
        estimate([one["std"] for one in found], "std"),
    )


def over_seeds(values: Sequence[float]) -> Estimate:
    """Return the mean of a number of each seed, with its 95 % t interval."""
    center, (_, half) = mean(values), seed_interval(values)
    return Estimate(center, None if half is None else Interval(center - half, center + half), of_seeds=True)


def paired(values: Sequence[Tensor], group: Tensor | None = None) -> list[dict[str, PairedResult]]:
    """Test every model after the first against it on the same users, see :func:`graphmi.metrics.paired_tests`.

    Args:
        values: A metric of each user, ``[num_users]`` for every model.
        group: The group of each user, ``[num_users]``.

    Returns:
        The tests of each but the first, after Holm's correction over the models and groups.
    """
    return corrected([paired_tests(one, values[0], group, generator=_draws()) for one in values[1:]])


def paired_spreads(values: Sequence[Tensor], group: Tensor) -> list[dict[str, SpreadDifference]]:
    """Compare the spread of every model after the first with its, see :func:`graphmi.metrics.paired_spread`."""
    return [paired_spread(one, values[0], group, generator=_draws()) for one in values[1:]]


def seed_interval(values: Sequence[float | None]) -> tuple[float | None, float | None]:
    """Return mean and half-width of the 95 % t interval over seeds; ``None`` for no values, no half-width for one."""
    known = [one for one in values if one is not None]
    if len(known) < 2:
        return next(iter(known), None), None
    return mean(known), float(student.ppf(0.975, len(known) - 1)) * stdev(known) / len(known) ** 0.5


def mean_interval(values: Tensor) -> Interval:
    """Return the 95 % bootstrap interval of the mean over the users, of values ``[num_users]``."""
    everyone = torch.zeros(len(values), dtype=torch.int64)
    return by_group(values, everyone, replicates=1000, generator=_draws()).intervals["0"]


def _draws() -> torch.Generator:
    return torch.Generator().manual_seed(0)
