"""Does one model serve user groups more evenly than another? A paired bootstrap."""

from dataclasses import dataclass

import torch
from torch import Tensor

from graphmi.metrics.grouped import Interval, by_group, percentile_interval, resampled_means, spreads
from graphmi.metrics.paired import check_same_users
from graphmi.ranges import at_least

__all__ = ["SpreadDifference", "paired_spread"]


@dataclass(frozen=True, slots=True)
class SpreadDifference:
    """How much more two models' groups differ from each other in one than in the other.

    Attributes:
        difference: Spread of the first model less that of the second; below 0 the first is more even.
        interval: Bootstrap confidence interval of the difference.
    """

    difference: float
    interval: Interval


def paired_spread(
    first: Tensor,
    second: Tensor,
    group: Tensor,
    *,
    replicates: int = 1000,
    level: float = 0.95,
    generator: torch.Generator | None = None,
) -> dict[str, SpreadDifference]:
    """Compare the spread of two models' group means on the same users.

    The users of each group are drawn anew, once for both models, and the interval holds the middle of the differences.
    What is common to both, such as users who are hard for every model, cancels: intervals of the two spreads can
    overlap widely where that of their difference does not hold zero. The bootstrap leans upwards for the spread of
    both models, as noise itself spreads the means; in the difference this cancels only as far as both are as noisy: a
    model of much higher accuracy looks less even by noise alone, and where spreads differ the interval leans towards 0.
    Of several runs of a model the spreads are averaged, not the values.

    Args:
        first: Values of the first model, ``[num_users]``, or of several runs of it, ``[num_runs, num_users]``.
        second: Those of the second model for the same users in the same order; it may have another number of runs.
        group: The group of each user, ``[num_users]`` int64; ``-1`` leaves a user out.
        replicates: Bootstrap samples, at least 1.
        level: Share of the samples within the interval, between 0 and 1.
        generator: Source of the draws, on the device of the values.

    Returns:
        The differences of ``"std"``, ``"gap"`` and ``"cv"``, as :class:`graphmi.metrics.GroupedResult` defines them.

    Raises:
        ValueError: If the shapes differ, no user has a group, a value is NaN, or an argument is out of range.

    Example:
        >>> import torch
        >>> group, even, uneven = torch.arange(6) // 3, torch.full((6,), 0.5), torch.tensor([0.3] * 3 + [0.7] * 3)
        >>> round(paired_spread(even, uneven, group)["gap"].difference, 4)
        -0.4
    """
    first, second = (values if values.dim() == 2 else values.unsqueeze(0) for values in (first, second))
    check_same_users(first[0], second[0], group)
    runs = torch.cat([first, second])
    at_least(1, replicates=replicates)
    now = spreads(torch.stack([by_group(values, group, level=level).mean for values in runs]))
    present, index = torch.unique(group[group >= 0], return_inverse=True)
    sample = resampled_means(runs.T.double()[group >= 0], index, len(present), replicates, generator)
    drawn = spreads(sample.movedim(1, -1))  # [replicates, num_runs]

    def less(found: Tensor) -> Tensor:
        return found[..., : len(first)].mean(-1) - found[..., len(first) :].mean(-1)

    return {
        name: SpreadDifference(float(less(now[name])), percentile_interval(less(drawn[name]), level)) for name in now
    }
