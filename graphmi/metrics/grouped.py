"""A metric by user group: its spread, and how sure one can be of it."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch_geometric.metrics.link_pred import LinkPredMetric
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from graphmi.metrics.ranking import values_per_user

__all__ = ["GroupedMetric", "GroupedResult", "Interval", "by_group"]

_DRAWS = 2**22  # resampled values held at once


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

    Groups without users have the mean NaN and do not count in the spread.

    Attributes:
        mean: Mean over the users of each group, ``[num_groups]`` float64.
        count: Number of users of each group, ``[num_groups]`` int64.
        intervals: Confidence intervals of ``"std"``, ``"gap"``, ``"cv"`` and of each group by its index as
            text; empty where none were asked for.
    """

    mean: Tensor
    count: Tensor
    intervals: dict[str, Interval]

    @property
    def std(self) -> float:
        """Population standard deviation of the group means."""
        return float(_spread(self.mean)[0])

    @property
    def gap(self) -> float:
        """Highest less lowest group mean."""
        return float(_spread(self.mean)[1])

    @property
    def cv(self) -> float:
        """Coefficient of variation: standard deviation over the mean of the group means, 0 where both are 0."""
        return float(_spread(self.mean)[2])

    def ugf(self, first: int = 0, second: int = -1) -> float:
        """Return the absolute difference of two group means.

        This is the user-oriented fairness of Li et al., "User-oriented Fairness in Recommendation"
        (WWW 2021, https://arxiv.org/abs/2104.10671); zero is fair.
        """
        return float((self.mean[first] - self.mean[second]).abs())

    def to_dict(self) -> dict[str, object]:
        """Return plain numbers for JSON; a group without users has ``None`` as its mean."""
        return {
            "mean": [None if math.isnan(value) else value for value in self.mean.tolist()],
            "count": self.count.tolist(),
            **{name: getattr(self, name) for name in ("std", "gap", "cv")},
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
    sample = torch.stack(
        [_bootstrap(values[group == index], replicates, generator) for index in range(num_groups)], dim=1
    )
    return GroupedResult(mean, count, dict(_intervals(sample, level)))


def _bootstrap(values: Tensor, replicates: int, generator: torch.Generator | None) -> Tensor:
    """Return the means of samples with replacement, ``[replicates]``; NaN of no values."""
    if not len(values):
        return values.new_full((replicates,), math.nan)
    step = max(1, _DRAWS // len(values))
    parts = []
    for start in range(0, replicates, step):
        size = (min(step, replicates - start), len(values))
        parts.append(values[torch.randint(len(values), size, generator=generator, device=values.device)].mean(dim=1))
    return torch.cat(parts)


def _intervals(sample: Tensor, level: float) -> Iterator[tuple[str, Interval]]:
    """Yield the interval of each group mean and of the spreads from means ``[replicates, num_groups]``."""
    std, gap, cv = _spread(sample)
    columns = {str(index): column for index, column in enumerate(sample.unbind(dim=1))}
    ends = sample.new_tensor([(1 - level) / 2, (1 + level) / 2])
    for name, column in {"std": std, "gap": gap, "cv": cv, **columns}.items():
        if not column.isnan().any():
            yield name, Interval(*column.quantile(ends).tolist())


def _spread(mean: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return standard deviation, gap and coefficient of variation over the last axis, NaN left out."""
    present = ~mean.isnan()
    center = mean.nanmean(dim=-1, keepdim=True)
    std = (mean - center).square().nanmean(dim=-1).sqrt()
    gap = mean.masked_fill(~present, -math.inf).amax(dim=-1) - mean.masked_fill(~present, math.inf).amin(dim=-1)
    cv = torch.where(std == 0, 0.0, std / center.squeeze(-1))
    return std, gap, cv


class GroupedMetric(Metric):
    """Any ranking metric of PyG by user group.

    Args:
        metric: The metric, for example ``LinkPredNDCG(k=20)``.
        num_groups: At least 1; by default the highest group seen plus 1.
        replicates: Bootstrap samples for confidence intervals; 0 for none.
        level: Share of the samples within an interval.
        seed: Seed of the bootstrap.

    Example:
        >>> import torch
        >>> from torch_geometric.metrics import LinkPredRecall
        >>> metric = GroupedMetric(LinkPredRecall(k=1))
        >>> metric.update(torch.tensor([[3], [4]]), torch.tensor([[0, 1], [3, 5]]), group=torch.tensor([0, 1]))
        >>> metric.compute()["mean"]
        [1.0, 0.0]
    """

    is_differentiable = False
    full_state_update = False
    higher_is_better = None
    values: list[Tensor]
    group: list[Tensor]

    def __init__(
        self,
        metric: LinkPredMetric,
        *,
        num_groups: int | None = None,
        replicates: int = 0,
        level: float = 0.95,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.metric, self.num_groups = metric, num_groups
        self.replicates, self.level, self.seed = replicates, level, seed
        self.add_state("values", default=[], dist_reduce_fx="cat")
        self.add_state("group", default=[], dist_reduce_fx="cat")

    def update(self, pred_index_mat: Tensor, edge_label_index: Tensor, group: Tensor) -> None:
        """Add users.

        Args:
            pred_index_mat: Item ids, best first, ``[batch, k]``; ``-1`` at the end of a shorter row.
            edge_label_index: Row and item id of the relevant items, ``[2, num_relevant]``.
            group: The group of each row, ``[batch]``; ``-1`` leaves a row out.
        """
        self.values.append(values_per_user({"": self.metric}, pred_index_mat, edge_label_index)[""])
        has_label = torch.zeros_like(group, dtype=torch.bool).index_fill(0, edge_label_index[0], True)
        self.group.append(group.masked_fill(~has_label, -1))  # only users with a target count

    def compute(self) -> dict[str, object]:
        """Return the result over all users so far, as :meth:`GroupedResult.to_dict`."""
        values = dim_zero_cat(self.values)
        result = by_group(
            values,
            dim_zero_cat(self.group),
            num_groups=self.num_groups,
            replicates=self.replicates,
            level=self.level,
            generator=torch.Generator(values.device).manual_seed(self.seed),
        )
        return result.to_dict()
