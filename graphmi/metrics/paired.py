"""Are two models different on the same users? Paired tests, overall and by group."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor

from graphmi.metrics.grouped import Interval, by_group
from graphmi.ranges import at_least

__all__ = ["PairedResult", "check_same_users", "corrected", "holm", "paired_tests"]

_DECIMALS = 6  # beyond them single precision would put equal differences in an order, by the values that they are of
_FEW = 13  # differences, up to which scipy makes an exact test where some are equal or zero


@dataclass(frozen=True, slots=True)
class PairedResult:
    """Comparison of two models on the same users.

    Attributes:
        count: Number of users.
        difference: Mean of the first model less that of the second.
        interval: Bootstrap confidence interval of the difference.
        t: p-value of the paired t test.
        wilcoxon: p-value of the Wilcoxon signed-rank test.
        t_holm: That of the t test after Holm's correction over the groups, and over models by :func:`corrected`;
            overall equal to ``t`` without it.
        wilcoxon_holm: That of the Wilcoxon test, likewise.
    """

    count: int
    difference: float
    interval: Interval
    t: float
    wilcoxon: float
    t_holm: float
    wilcoxon_holm: float

    def to_dict(self) -> dict[str, object]:
        """Return plain numbers for JSON; what is not defined for fewer than two users is ``None``."""
        numbers = {**asdict(self), "interval": [self.interval.low, self.interval.high]}
        return {key: None if isinstance(one, float) and math.isnan(one) else one for key, one in numbers.items()}


def paired_tests(
    first: Tensor,
    second: Tensor,
    group: Tensor | None = None,
    *,
    replicates: int = 1000,
    level: float = 0.95,
    generator: torch.Generator | None = None,
) -> dict[str, PairedResult]:
    """Test two models' values of the same users, overall and in each group.

    Both tests are two-sided. For them differences are rounded to a millionth of the largest value, so that those that
    differ by the rounding of floats alone are equal: they share their rank in the Wilcoxon test, in which users without
    a difference say nothing, and have no variance in the t test. Within groups the p-values are also given after Holm's
    correction for the number of groups.

    Args:
        first: Values of the first model, ``[num_users]``.
        second: Values of the second model for the same users in the same order, ``[num_users]``.
        group: The group of each user, ``[num_users]`` int64; ``-1`` counts overall only.
        replicates: Bootstrap samples for the interval, at least 1.
        level: Share of the samples within the interval.
        generator: Source of the bootstrap.

    Returns:
        Results by ``"all"`` and the index of each group that has users, as text.

    Raises:
        ValueError: If the shapes differ, there are no users, or a value is NaN.
    """
    check_same_users(first, second, group)
    at_least(1, replicates=replicates)
    difference = first.double() - second.double()
    if difference.isnan().any():
        raise ValueError(f"{int(difference.isnan().sum())} users have no value (NaN) in one model: leave them out.")
    scale = max(float(first.abs().max()), float(second.abs().max())) or 1.0
    rounded = (difference / scale).round(decimals=_DECIMALS)
    numbers = [] if group is None else torch.unique(group[group >= 0]).tolist()
    rows = {"all": torch.ones_like(difference, dtype=torch.bool)} | {str(number): group == number for number in numbers}
    out = {}
    for name, own in rows.items():
        part, p_values = difference[own], (_t_test(rounded[own]), _wilcoxon(rounded[own]))
        interval = _interval(part, replicates, level, generator)
        out[name] = PairedResult(len(part), float(part.mean()), interval, *p_values, *p_values)
    return corrected([out])[0]


def corrected(tests: Sequence[Mapping[str, PairedResult]]) -> list[dict[str, PairedResult]]:
    """Return the tests of several models against one with Holm's correction over all models.

    Args:
        tests: What :func:`paired_tests` returned for each model. The p-values of all users are corrected for the number
            of models, those of groups for the number of models times groups.
    """
    out = [dict(one) for one in tests]
    keys = [(model, name) for model, one in enumerate(out) for name in one]
    for family in ([key for key in keys if key[1] == "all"], [key for key in keys if key[1] != "all"]):
        found = [out[model][name] for model, name in family]
        adjusted = zip(holm([one.t for one in found]), holm([one.wilcoxon for one in found]), strict=True)
        for (model, name), (t, wilcoxon) in zip(family, adjusted, strict=True):
            out[model][name] = replace(out[model][name], t_holm=t, wilcoxon_holm=wilcoxon)
    return out


def check_same_users(first: Tensor, second: Tensor, group: Tensor | None = None) -> None:
    """Refuse values of two models that are not of the same users, or groups that are not theirs.

    Raises:
        ValueError: If the shapes differ, or there are no users.
    """
    if first.shape != second.shape or first.dim() != 1 or not len(first):
        raise ValueError(
            "Both models need values of the same users, at least one "
            f"(got shapes {list(first.shape)} and {list(second.shape)})."
        )
    if group is not None and group.shape != first.shape:
        raise ValueError(f"'group' must have one entry per user, {len(first)} (got {list(group.shape)}).")


def holm(p_values: list[float]) -> list[float]:
    """Return p-values adjusted for their number (Holm, 1979, https://www.jstor.org/stable/4615733).

    The smallest is multiplied by their number, the next by one less, and so on, never falling; NaN is not
    counted and stays.
    """
    order = sorted((p, index) for index, p in enumerate(p_values) if not math.isnan(p))
    adjusted, highest = list(p_values), 0.0
    for rank, (p, index) in enumerate(order):
        highest = max(highest, min(1.0, p * (len(order) - rank)))
        adjusted[index] = highest
    return adjusted


def _t_test(difference: Tensor) -> float:
    if len(difference) < 2:
        return math.nan
    if difference.min() == difference.max():  # no variance: certain, or no difference at all
        return 1.0 if difference[0] == 0 else 0.0
    return float(stats.ttest_1samp(difference.cpu().numpy(), 0.0).pvalue)


def _wilcoxon(difference: Tensor) -> float:
    if len(difference) < 2:
        return math.nan
    if not difference.any():
        return 1.0
    values = difference.cpu().numpy()
    if len(values) > _FEW:
        return float(stats.wilcoxon(values).pvalue)
    # The same by all signs of the ranks at once: scipy goes over them one by one, for a second.
    ranks = np.sign(values) * (stats.rankdata(np.abs(values)) - (values == 0).sum())
    signs = 2 ** len(values)
    found = stats.permutation_test((ranks,), _positive, permutation_type="samples", vectorized=True, n_resamples=signs)
    return float(found.pvalue)


def _positive(ranks: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    total: NDArray[np.float64] = ranks.clip(min=0).sum(axis)
    return total


def _interval(difference: Tensor, replicates: int, level: float, generator: torch.Generator | None) -> Interval:
    one_group = torch.zeros(len(difference), dtype=torch.int64, device=difference.device)
    result = by_group(difference, one_group, replicates=replicates, level=level, generator=generator)
    return result.intervals["0"]
