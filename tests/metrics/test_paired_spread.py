import math
from statistics import mean, pstdev

import pytest
import torch

from graphmi.metrics import by_group, paired_spread


def test_equals_a_loop_over_the_same_draws():
    generator = torch.Generator().manual_seed(0)
    first, second = torch.rand(2, 80, generator=generator).double()
    group = torch.arange(80) % 4 - 1  # some users have no group
    found = paired_spread(first, second, group, replicates=40, generator=torch.Generator().manual_seed(1))
    draws, means = torch.Generator().manual_seed(1), torch.empty(40, 2, 3)
    for index in range(3):
        members = torch.nonzero(group == index).flatten()
        for replicate, rows in enumerate(torch.randint(len(members), (40, len(members)), generator=draws)):
            for model, values in enumerate((first, second)):
                means[replicate, model, index] = mean(values[members[row]].item() for row in rows)
    formulas = {"std": pstdev, "gap": lambda m: max(m) - min(m), "cv": lambda m: pstdev(m) / mean(m)}
    for name, spread in formulas.items():
        sample = torch.tensor([spread(one.tolist()) - spread(other.tolist()) for one, other in means])
        interval = found[name].interval
        assert [interval.low, interval.high] == pytest.approx(
            sample.quantile(torch.tensor([0.025, 0.975])).tolist(), abs=1e-6
        )
        one, other = (spread(by_group(values, group).mean.tolist()) for values in (first, second))
        assert found[name].difference == pytest.approx(one - other)


def test_spreads_of_several_runs_are_averaged():
    """By the same draws for all of them."""
    first, second = torch.rand(3, 60, generator=torch.Generator().manual_seed(0)), torch.rand(1, 60)
    group = torch.arange(60) % 3
    found, *each = (
        paired_spread(runs, second, group, replicates=1, generator=torch.Generator().manual_seed(1))
        for runs in (first, *first)
    )
    for name in ("std", "gap", "cv"):
        assert found[name].difference == pytest.approx(mean(one[name].difference for one in each), abs=1e-6)
        assert found[name].interval.low == pytest.approx(mean(one[name].interval.low for one in each), abs=1e-6)


def test_the_interval_is_that_of_its_level():
    first, second = torch.rand(2, 60, generator=torch.Generator().manual_seed(0))

    def interval(level):
        draws = torch.Generator().manual_seed(1)
        return paired_spread(first, second, torch.arange(60) % 3, level=level, generator=draws)["gap"].interval

    narrow, wide = interval(0.5), interval(0.95)
    assert wide.low < narrow.low < narrow.high < wide.high


def test_a_model_is_as_even_as_itself():
    values = torch.rand(500, generator=torch.Generator().manual_seed(0))
    for one in paired_spread(values, values, torch.arange(500) % 5).values():
        assert (one.difference, one.interval.low, one.interval.high) == (0, 0, 0)


def test_finds_what_overlapping_intervals_hide():
    """Both models find the same users hard, and one is a little worse for one group."""
    generator = torch.Generator().manual_seed(0)
    second = torch.rand(300, generator=generator)
    group = torch.arange(300) % 3
    second -= torch.tensor([0.0, 0.1, 0.2])[group]
    first = second - 0.05 * (group == 2) + 0.01 * torch.randn(300, generator=generator)
    alone = [by_group(values, group, replicates=500).intervals["std"] for values in (first, second)]
    assert alone[0].low < alone[1].high
    assert paired_spread(first, second, group, generator=generator)["std"].interval.low > 0


def test_groups_without_users_do_not_count():
    first, second = torch.rand(2, 40, generator=torch.Generator().manual_seed(0))
    group = torch.arange(40) % 2
    near, far = (
        paired_spread(first, second, numbers, generator=torch.Generator().manual_seed(0))
        for numbers in (group, 3 * group + 1)
    )
    assert near == far


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"second": torch.rand(4)}, "same users"),
        ({"group": torch.zeros(4, dtype=torch.int64)}, "one entry per user, 3"),
        ({"group": torch.full((3,), -1)}, "at least one user must belong to a group"),
        ({"first": torch.tensor([0.1, math.nan, 0.3])}, "must not be NaN"),
        ({"replicates": 0}, r"'replicates' must be at least 1 \(got 0\)"),
        ({"level": 1.0}, "'level' within"),
    ],
)
def test_impossible_arguments(arguments, told):
    usual = {"first": torch.rand(3), "second": torch.rand(3), "group": torch.arange(3)}
    with pytest.raises(ValueError, match=told):
        paired_spread(**{**usual, **arguments})
