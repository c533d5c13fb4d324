import json
import math

import pytest
import torch
from scipy import stats
from torch_geometric.metrics import (
    LinkPredAveragePopularity,
    LinkPredCoverage,
    LinkPredDiversity,
    LinkPredNDCG,
    LinkPredPersonalization,
    LinkPredRecall,
)

from graphmi.metrics import GroupedMetric, by_group

FIVE = [0.30, 0.26, 0.22, 0.20, 0.17]


def test_vector_of_five_groups():
    result = by_group(torch.tensor(FIVE, dtype=torch.float64), torch.arange(5))
    assert result.std == pytest.approx(0.045607, abs=1e-6)
    assert result.mean.std(correction=1).item() == pytest.approx(0.050990, abs=1e-6)  # the other convention
    assert result.gap == pytest.approx(0.13)
    assert result.cv == pytest.approx(0.198291, abs=1e-6)
    assert result.ugf() == pytest.approx(0.13)
    assert result.ugf(1, 2) == pytest.approx(0.04)


def test_means_equal_a_loop():
    generator = torch.Generator().manual_seed(0)
    values, group = torch.rand(200, generator=generator), torch.randint(-1, 4, (200,), generator=generator)
    result = by_group(values, group)
    for index in range(4):
        members = [v for v, g in zip(values.tolist(), group.tolist(), strict=True) if g == index]
        assert result.count[index] == len(members)
        assert result.mean[index].item() == pytest.approx(sum(members) / len(members))


def test_users_without_group_and_empty_groups_do_not_count():
    result = by_group(torch.tensor([1.0, 3.0, 100.0]), torch.tensor([0, 2, -1]), num_groups=4)
    assert result.count.tolist() == [1, 0, 1, 0]
    assert result.mean.isnan().tolist() == [False, True, False, True]
    assert (result.std, result.gap, result.cv) == (1.0, 2.0, 0.5)
    plain = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert plain["mean"] == [1.0, None, 3.0, None]
    assert plain["ugf"] is None  # the last group has no users


def test_all_zero_has_no_spread():
    assert by_group(torch.zeros(3), torch.arange(3)).cv == 0.0


def test_bootstrap_agrees_with_scipy():
    generator = torch.Generator().manual_seed(0)
    values = torch.rand(300, generator=generator, dtype=torch.float64)
    group = torch.arange(300) % 2
    result = by_group(values, group, replicates=4000, level=0.9, generator=generator)
    for index in (0, 1):
        expected = stats.bootstrap(
            (values[group == index].numpy(),),
            lambda x, axis: x.mean(axis=axis),
            n_resamples=4000,
            confidence_level=0.9,
            method="percentile",
            rng=0,
        ).confidence_interval
        found = result.intervals[str(index)]
        assert (found.low, found.high) == pytest.approx(tuple(expected), abs=0.004)


def test_bootstrap_covers_the_truth_at_its_level():
    generator = torch.Generator().manual_seed(0)
    inside = 0
    for _ in range(200):
        values = torch.randn(80, generator=generator)
        interval = by_group(values, torch.zeros(80, dtype=torch.int64), replicates=300, generator=generator).intervals[
            "0"
        ]
        inside += interval.low <= 0 <= interval.high
    assert 0.88 <= inside / 200 <= 0.99


def test_bootstrap_is_repeatable_and_bounded(monkeypatch):
    values, group = torch.rand(50), torch.arange(50) % 3

    def run(seed):
        return by_group(
            values, group, replicates=100, num_groups=4, generator=torch.Generator().manual_seed(seed)
        ).intervals

    first = run(1)
    assert first == run(1)
    assert first != run(2)
    assert set(first) == {"std", "gap", "cv", "0", "1", "2"}  # not of the empty group 3, nor against it
    # a few samples at a time, and less than the users of a group
    for limit, number in (("_LOOKED_UP", 40), ("_LOOKED_UP", 10), ("_DRAWS", 40), ("_DRAWS", 10)):
        monkeypatch.setattr(f"graphmi.metrics.grouped.{limit}", number)
        assert run(1)["gap"].low == pytest.approx(first["gap"].low, abs=0.05)


def test_interval_of_ugf_is_that_of_a_loop():
    generator = torch.Generator().manual_seed(0)
    values, group = torch.rand(60, generator=generator).double(), torch.arange(60) % 2
    found = by_group(values, group, replicates=4000, generator=generator).intervals["ugf"]
    first, second = values[group == 0], values[group == 1]
    draws = []
    for _ in range(2000):
        means = [part[torch.randint(30, (30,), generator=generator)].mean() for part in (first, second)]
        draws.append(abs(float(means[0] - means[1])))
    expected = torch.tensor(draws).quantile(torch.tensor([0.025, 0.975]))
    assert (found.low, found.high) == pytest.approx(tuple(expected.tolist()), abs=0.02)


def test_constant_values_have_an_interval_of_no_width():
    interval = by_group(torch.full((9,), 0.5), torch.arange(9) % 2, replicates=20).intervals["1"]
    assert (interval.low, interval.high) == (0.5, 0.5)


def test_metric_accumulates_batches_and_resets():
    generator = torch.Generator().manual_seed(0)
    ranking = torch.rand(30, 20, generator=generator).argsort(dim=1)[:, :5]
    label = torch.stack([torch.arange(30).repeat_interleave(2), torch.randint(0, 20, (60,), generator=generator)])
    label = label.unique(dim=1)
    group = torch.arange(30) % 3
    metric = GroupedMetric(LinkPredNDCG(k=5), num_groups=3)
    for start in (0, 10, 20):
        mine = (label[0] >= start) & (label[0] < start + 10)
        batch = torch.stack([label[0, mine] - start, label[1, mine]])
        metric.update(ranking[start : start + 10], batch, group=group[start : start + 10])
    result = metric.compute()
    plain = LinkPredNDCG(k=5)
    for index in range(3):
        plain.reset()
        rows = torch.nonzero(group == index).flatten()
        for row in rows:
            mine = label[:, label[0] == row]
            plain.update(ranking[row].unsqueeze(0), torch.stack([mine[0] - row, mine[1]]))
        assert result["mean"][index] == pytest.approx(plain.compute().item(), abs=1e-6)
    metric.reset()
    metric.update(ranking[:3], torch.tensor([[0], [0]]), group=torch.tensor([0, 1, 1]))
    assert metric.compute()["count"] == [1, 0, 0]  # rows without a target do not count


def test_metric_gives_intervals():
    metric = GroupedMetric(LinkPredRecall(k=1), replicates=50)
    metric.update(torch.tensor([[3], [4]]), torch.tensor([[0, 1], [3, 5]]), group=torch.tensor([0, 1]))
    assert metric.compute()["intervals"]["gap"] == [1.0, 1.0]


def test_intervals_of_the_metric_follow_the_seed():
    def gap(seed):
        metric = GroupedMetric(LinkPredNDCG(9), replicates=30, seed=seed)
        ranking = torch.rand(40, 9, generator=torch.Generator().manual_seed(0)).argsort(dim=1)
        metric.update(ranking, torch.stack([torch.arange(40), torch.arange(40) % 9]), torch.arange(40) % 3)
        return metric.compute()["intervals"]["gap"]

    assert gap(1) == gap(1) != gap(2)


def test_order_of_users_changes_nothing():
    draws = torch.Generator().manual_seed(0)
    ranking, target = torch.rand(40, 9, generator=draws).argsort(dim=1), torch.randint(0, 9, (40,), generator=draws)
    group, shuffled = torch.arange(40) % 3, torch.randperm(40, generator=draws)
    results = []
    for users in (torch.arange(40), shuffled):
        metric = GroupedMetric(LinkPredNDCG(9), replicates=30)
        metric.update(ranking[users], torch.stack([torch.arange(40), target[users]]), group[users])
        results.append(metric.compute())
    assert results[0] == results[1]


@pytest.mark.parametrize(
    "metric",
    [
        LinkPredCoverage(3, num_dst_nodes=12),
        LinkPredDiversity(3, category=torch.arange(12) % 4),
        LinkPredPersonalization(3),
        LinkPredAveragePopularity(3, popularity=torch.arange(12)),
    ],
    ids=repr,
)
def test_metrics_of_lists_are_those_of_the_lists_of_each_group(metric):
    draws = torch.Generator().manual_seed(0)
    ranking = torch.rand(30, 12, generator=draws).argsort(dim=1)[:, :5]
    group, none = torch.arange(30) % 3 - 1, torch.empty(2, 0, dtype=torch.int64)
    grouped = GroupedMetric(metric, num_groups=3)
    for rows in torch.arange(30).split(7):
        grouped.update(ranking[rows], none, group[rows])
    result = grouped.compute()
    assert result["count"] == [10, 10, 0]
    assert result["mean"][2] is None
    for index in (0, 1):
        plain = metric.clone()
        plain.reset()
        plain.update(ranking[group == index], none)
        assert result["mean"][index] == pytest.approx(float(plain.compute()))
    assert result["gap"] == pytest.approx(abs(result["mean"][0] - result["mean"][1]))
    with pytest.raises(ValueError, match="needs 3 items in every row"):
        grouped.update(torch.tensor([[1, 2, -1]]), none, torch.tensor([0]))
    with pytest.raises(ValueError, match="needs 3 items in every row"):
        grouped.update(torch.tensor([[1, 2]]), none, torch.tensor([0]))


def test_weighted_metrics():
    ranking = torch.tensor([[3, 1, 2], [0, 2, 1]])
    label, weight = torch.tensor([[0, 0, 1], [1, 2, 1]]), torch.tensor([1.0, 3.0, 2.0])
    grouped = GroupedMetric(LinkPredNDCG(3, weighted=True))
    grouped.update(ranking, label, torch.tensor([0, 1]), weight)
    log = math.log2
    first = (1 / log(3) + 3 / log(4)) / (3 / log(2) + 1 / log(3))
    assert grouped.compute()["mean"] == pytest.approx([first, (2 / log(4)) / 2])
    with pytest.raises(ValueError, match="is weighted: it needs 'edge_label_weight'"):
        grouped.update(ranking, label, torch.tensor([0, 1]))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"group": torch.zeros(2, dtype=torch.int64)}, "one length"),
        ({"values": torch.rand(3, 1), "group": torch.arange(3).unsqueeze(1)}, "one length"),
        ({"group": torch.full((3,), -1)}, "at least one user"),
        ({"replicates": -1}, "'replicates' must not be negative"),
        ({"level": 1.0}, "'level' within"),
        ({"num_groups": 2}, "'num_groups' must be at least 3"),
    ],
)
def test_impossible_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        by_group(**({"values": torch.rand(3), "group": torch.arange(3)} | arguments))


def test_nan_value_is_an_error():
    with pytest.raises(ValueError, match="NaN"):
        by_group(torch.tensor([1.0, math.nan]), torch.tensor([0, 1]))
