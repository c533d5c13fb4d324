"""Values of users by group: means, their spread, and how sure one can be of them."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["GroupedResult", "Interval", "by_group"]

_DRAWS = 2**22  # users drawn at once
_LOOKED_UP = 2**18  # values of them held at once, so that they stay in the cache


@dataclass(frozen=True, slots=True)
class Interval:
    """A bootstrap confidence interval.

    Attributes:
        low: Lower end.
        high: Upper end.
    """

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class GroupedResult:
    """Means of a metric over user groups, and their spread.

    Groups without users have the mean NaN and do not count in the spread. How to read it: a spread of 0 means that
    all groups are served alike, which a model that serves everyone badly does too, so look at the means as well. All
    spreads are at least 0, also where the groups differ by chance alone, and so are their intervals: whether a group
    is served differently at all is a question for :func:`graphmi.metrics.paired_tests`.

    Attributes:
        mean: Mean over the users of each group, ``[num_groups]`` float64.
        count: Number of users of each group, ``[num_groups]`` int64.
        intervals: Confidence intervals of ``"std"``, ``"gap"``, ``"cv"``, ``"ugf"`` (of the first and the last group)
            and of each group by its index as text; empty where none were asked for.
    """

    mean: Tensor
    count: Tensor
    intervals: dict[str, Interval]

    @property
    def std(self) -> float:
        """Population standard deviation of the group means."""
        return float(spreads(self.mean)["std"])

    @property
    def gap(self) -> float:
        """Highest less lowest group mean."""
        return float(spreads(self.mean)["gap"])

    @property
    def cv(self) -> float:
        """Coefficient of variation: standard deviation over the mean of the group means, 0 where both are 0."""
        return float(spreads(self.mean)["cv"])

    def ugf(self, first: int = 0, second: int = -1) -> float:
        """Return the absolute difference of two group means; NaN where one of them has no users.

        This is the user-oriented fairness of Li et al., "User-oriented Fairness in Recommendation"
        (WWW 2021, https://arxiv.org/abs/2104.10671); zero is fair.

        Args:
            first: A group.
            second: Another one.
        """
        return float((self.mean[first] - self.mean[second]).abs())

    def to_dict(self) -> dict[str, object]:
        """Return plain numbers for JSON; what is not defined for want of users is ``None``."""
        spreads = {"std": self.std, "gap": self.gap, "cv": self.cv, "ugf": self.ugf()}
        return {
            "mean": [_defined(value) for value in self.mean.tolist()],
            "count": self.count.tolist(),
            **{name: _defined(value) for name, value in spreads.items()},
            "intervals": {name: [one.low, one.high] for name, one in self.intervals.items()},
        }


def by_group(
    values: Tensor,
    group: Tensor,
    *,
    num_groups: int | None = None,
    replicates: int = 0,
    level: float = 0.95,
    generator: torch.Generator | None = None,
) -> GroupedResult:
    """Average values over groups, with percentile bootstrap intervals on request.

    Users are drawn anew with replacement within their group, so group sizes stay as they are.

    Args:
        values: A value per user, ``[num_users]``.
        group: The group of each user, ``[num_users]`` int64; ``-1`` leaves a user out.
        num_groups: At least the highest group plus 1, which is the default.
        replicates: Bootstrap samples; 0 for no intervals.
        level: Share of the samples within an interval, between 0 and 1.
        generator: Source of the draws, on the device of the values.

    Raises:
        ValueError: If the shapes differ, no user has a group, or an argument is out of range.
    """
    if values.shape != group.shape or values.dim() != 1:
        raise ValueError(
            f"'values' and 'group' must be vectors of one length (got {list(values.shape)} and {list(group.shape)})."
        )
    if replicates < 0 or not 0 < level < 1:
        raise ValueError(f"'replicates' must not be negative and 'level' within (0, 1) (got {replicates}, {level}).")
    values, group = values[group >= 0].double(), group[group >= 0]
    if not len(group) or values.isnan().any():
        raise ValueError("'values' must not be NaN, and at least one user must belong to a group.")
    highest = int(group.max()) + 1
    num_groups = highest if num_groups is None else num_groups
    if num_groups < highest:
        raise ValueError(f"'num_groups' must be at least {highest}, the highest group plus 1 (got {num_groups}).")
    count = group.bincount(minlength=num_groups)
    mean = torch.zeros_like(count, dtype=torch.float64).index_add(0, group, values) / count
    if not replicates:
        return GroupedResult(mean, count, {})
    sample = resampled_means(values, group, num_groups, replicates, generator)
    return GroupedResult(mean, count, dict(_intervals(sample, level)))


def resampled_means(
    values: Tensor, group: Tensor, num_groups: int, replicates: int, generator: torch.Generator | None
) -> Tensor:
    """Return the group means of users drawn anew within their group, NaN of no users.

    Args:
        values: ``[num_users, ...]``.
        group: ``[num_users]``, from 0 to before ``num_groups``.
        num_groups: How many groups there are.
        replicates: How often users are drawn.
        generator: Source of the draws.

    Returns:
        ``[replicates, num_groups, ...]``.
    """
    parts = [_bootstrap(values[group == index], replicates, generator) for index in range(num_groups)]
    return torch.stack(parts, dim=1)


def spreads(mean: Tensor) -> dict[str, Tensor]:
    """Return ``"std"``, ``"gap"`` and ``"cv"`` over the last axis of group means, NaN left out."""
    present = ~mean.isnan()
    center = mean.nanmean(dim=-1, keepdim=True)
    std = (mean - center).square().nanmean(dim=-1).sqrt()
    gap = mean.masked_fill(~present, -math.inf).amax(dim=-1) - mean.masked_fill(~present, math.inf).amin(dim=-1)
    return {"std": std, "gap": gap, "cv": torch.where(std == 0, 0.0, std / center.squeeze(-1))}


def percentile_interval(sample: Tensor, level: float) -> Interval:
    """Return the interval that holds this share of a sample, ``[replicates]``, as many below as above it."""
    return Interval(*sample.quantile(sample.new_tensor([(1 - level) / 2, (1 + level) / 2])).tolist())


def _bootstrap(values: Tensor, replicates: int, generator: torch.Generator | None) -> Tensor:
    """Return the means of samples with replacement of ``[num, ...]`` values, ``[replicates, ...]``; NaN of none."""
    if not len(values):
        return values.new_full((replicates, *values.shape[1:]), math.nan)
    step = max(1, _DRAWS // len(values))
    parts = []
    for start in range(0, replicates, step):
        size = (min(step, replicates - start), len(values))
        drawn = torch.randint(len(values), size, generator=generator, device=values.device)
        parts += [values[rows].mean(dim=1) for rows in torch.split(drawn, max(1, _LOOKED_UP // len(values)))]
    return torch.cat(parts)


def _intervals(sample: Tensor, level: float) -> Iterator[tuple[str, Interval]]:
    """Yield the interval of each group mean and of the spreads from means ``[replicates, num_groups]``."""
    columns = {str(index): column for index, column in enumerate(sample.unbind(dim=1))}
    ugf = (sample[:, 0] - sample[:, -1]).abs()
    for name, column in {**spreads(sample), "ugf": ugf, **columns}.items():
        if not column.isnan().any():
            yield name, percentile_interval(column, level)


def _defined(value: float) -> float | None:
    return None if math.isnan(value) else value
