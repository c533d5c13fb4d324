import json
import math

import pytest
import torch
from scipy import stats

from graphmi.metrics import corrected, holm, paired_tests


def test_holm_on_a_textbook_row():
    # (.01, .04, .03, .005) times (3, 1, 2, 4), then never falling in the order of the p-values.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []
    mixed = holm([math.nan, 0.02, 0.5])
    assert math.isnan(mixed[0])
    assert mixed[1:] == [0.04, 0.5]


def test_equals_scipy_on_two_samples():
    generator = torch.Generator().manual_seed(0)
    first, second = torch.rand(60, generator=generator).double(), torch.rand(60, generator=generator).double()
    group = torch.arange(60) % 3 - 1
    result = paired_tests(first, second, group, replicates=200)
    assert list(result) == ["all", "0", "1"]
    for name, mask in {"all": group > -2, "0": group == 0, "1": group == 1}.items():
        a, b = first[mask].numpy(), second[mask].numpy()
        assert result[name].count == len(a)
        assert result[name].difference == pytest.approx(a.mean() - b.mean())
        assert result[name].t == pytest.approx(stats.ttest_rel(a, b).pvalue)
        assert result[name].wilcoxon == pytest.approx(stats.wilcoxon(a, b).pvalue)
        assert result[name].interval.low < result[name].difference < result[name].interval.high
    assert result["all"].t_holm == result["all"].t
    assert [result["0"].t_holm, result["1"].t_holm] == holm([result["0"].t, result["1"].t])
    assert [result["0"].wilcoxon_holm, result["1"].wilcoxon_holm] == holm([result["0"].wilcoxon, result["1"].wilcoxon])


@pytest.mark.parametrize(
    "values", [[0, 1], [0, 0, -2], [1, 2, 3, -4], [1, 1, -1, 0, 2, 2, 2], [3, -1, -1, 5, 0, 0, 7, 2]]
)
def test_exact_for_few_users_with_equal_and_no_differences(values):
    values = torch.tensor(values).double()
    assert paired_tests(values, 0 * values)["all"].wilcoxon == pytest.approx(stats.wilcoxon(values.numpy()).pvalue)


def test_all_signs_of_the_most_differences_that_are_tested_exactly():
    ranks, signs = torch.arange(1, 14).clamp(max=9).double(), torch.tensor([-1.0, 1.0])  # five equal ones
    values = ranks * signs[torch.arange(13) % 3 % 2]
    share = torch.tensor(stats.rankdata(ranks.numpy()))
    sums = (torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 13).double() * share).sum(1)
    seen = share[values > 0].sum()
    expected = 2 * min((sums <= seen).double().mean(), (sums >= seen).double().mean())
    assert paired_tests(values, 0 * values)["all"].wilcoxon == pytest.approx(min(1.0, float(expected)))


def test_equal_differences_share_their_rank_whatever_they_are_between():
    """Half of the users gain .1 at a low level, half lose as much at a high one, with rounding errors of their own."""
    first, second = (torch.tensor(values).repeat_interleave(100) for values in ([0.1, 0.2], [0.0, 0.3]))
    assert paired_tests(first, second)["all"].wilcoxon == 1.0
    ranks = torch.randint(1, 8, (2, 300), generator=torch.Generator().manual_seed(0))
    exact = stats.wilcoxon((ranks[0] - ranks[1]).numpy()).pvalue
    for unit in (0.1, 1e-7):  # of any scale
        assert paired_tests(ranks[0] * unit, ranks[1] * unit)["all"].wilcoxon == pytest.approx(exact)


def test_differences_that_differ_by_rounding_alone_have_no_variance():
    first, second = torch.tensor([1 / 3, 2 / 3]), torch.tensor([0.0, 1 / 3])
    assert paired_tests(first, second)["all"].t == 0
    same = torch.tensor([0.1 + 0.2, 0.7 + 0.1], dtype=torch.float64), torch.tensor([0.3, 0.8], dtype=torch.float64)
    assert (same[0] != same[1]).all()
    assert paired_tests(*same)["all"].t == 1


def test_it_does_not_matter_which_model_comes_first():
    generator = torch.Generator().manual_seed(0)
    low = torch.rand(200, generator=generator)
    high = low + 30 * torch.randint(-3, 4, (200,), generator=generator)  # what is rounded away is that of the highest
    assert paired_tests(low, high)["all"].wilcoxon == paired_tests(high, low)["all"].wilcoxon


def test_finds_a_difference_in_one_group_only():
    generator = torch.Generator().manual_seed(0)
    first = torch.rand(400, generator=generator)
    group = torch.arange(400) % 2
    second = first + 0.05 * torch.randn(400, generator=generator) - 0.03 * (group == 1)
    result = paired_tests(first, second, group, generator=generator)
    assert result["1"].t_holm < 0.001
    assert result["1"].wilcoxon_holm < 0.001
    assert result["1"].interval.low > 0
    assert result["0"].t_holm > 0.05


def test_the_interval_is_that_of_its_level():
    first, second = torch.rand(2, 50, generator=torch.Generator().manual_seed(0))

    def width(level):
        draws = torch.Generator().manual_seed(1)
        interval = paired_tests(first, second, level=level, generator=draws)["all"].interval
        return interval.high - interval.low

    assert width(0.95) == width(0.95)  # by the generator alone
    normal = stats.norm.ppf(0.75) / stats.norm.ppf(0.975)
    assert width(0.5) / width(0.95) == pytest.approx(normal, rel=0.15)


def test_equal_and_constant_differences():
    values = torch.rand(10).double()
    same = paired_tests(values, values)["all"]
    assert (same.t, same.wilcoxon, same.difference) == (1.0, 1.0, 0.0)
    assert paired_tests(torch.ones(10), torch.zeros(10))["all"].t == 0.0
    nothing = paired_tests(torch.zeros(10), torch.zeros(10))["all"]  # two models that find nothing for anybody
    assert (nothing.t, nothing.wilcoxon) == (1.0, 1.0)


def test_a_single_user_cannot_be_tested():
    result = paired_tests(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([0.0, 0.5, 1.0]), torch.tensor([0, 0, 1]))
    assert math.isnan(result["1"].t)
    plain = json.loads(json.dumps(result["1"].to_dict(), allow_nan=False))
    assert plain["t"] is plain["wilcoxon_holm"] is None
    assert plain["interval"] == [2.0, 2.0]


def test_impossible_arguments():
    with pytest.raises(ValueError, match="same users"):
        paired_tests(torch.rand(3), torch.rand(4))
    with pytest.raises(ValueError, match="same users"):
        paired_tests(torch.rand(0), torch.rand(0))
    with pytest.raises(ValueError, match="one entry per user, 3"):
        paired_tests(torch.rand(3), torch.rand(3), torch.zeros(4, dtype=torch.int64))
    with pytest.raises(ValueError, match=r"1 users have no value \(NaN\) in one model: leave them out"):
        paired_tests(torch.tensor([0.1, math.nan, 0.3]), torch.rand(3))
    with pytest.raises(ValueError, match="'replicates' must be at least 1"):
        paired_tests(torch.rand(3), torch.rand(3), replicates=0)


def test_several_models_are_corrected_together():
    values = torch.rand(3, 90, generator=torch.Generator().manual_seed(0))
    group = torch.arange(90) % 2
    tests = [paired_tests(one, values[0], group) for one in values[1:]]
    found = corrected(tests)
    assert [one["all"].wilcoxon_holm for one in found] == holm([one["all"].wilcoxon for one in tests])
    inside = [(model, name) for model in (0, 1) for name in "01"]
    assert [found[model][name].t_holm for model, name in inside] == holm([tests[model][n].t for model, n in inside])
    assert corrected(tests[:1]) == tests[:1]
