"""Statistics against naive loops, and the commands that print them."""

import itertools
import math
import statistics

import numpy as np
import polars as pl
import pytest

from graphmi.commands import data as commands
from graphmi.data.interactions import Interactions
from graphmi.data.planted import planted
from graphmi.data.stats import Distribution, stats, time_span


@pytest.fixture
def small():
    frame = pl.DataFrame({"user_id": list("aaaabbc"), "item_id": list("xxyzxyx"), "timestamp": [3, 9, 4, 5, 6, 7, 8]})
    data = Interactions.from_frame(frame)
    return data.with_categories(["x", "y"], ["even", "odd"])


def naive_gini(values):
    pairs = itertools.product(values, repeat=2)
    return sum(abs(a - b) for a, b in pairs) / (2 * len(values) * sum(values))


def test_numbers_of_a_small_set(small):
    numbers = stats(small)
    assert (numbers.num_users, numbers.num_items, numbers.num_interactions) == (3, 3, 7)
    assert numbers.num_pairs == 6
    assert numbers.density == pytest.approx(6 / 9)
    assert (numbers.user_degree.minimum, numbers.user_degree.median, numbers.user_degree.maximum) == (1, 2, 4)
    assert numbers.item_degree.mean == pytest.approx(7 / 3)
    assert numbers.num_categories == 2
    assert numbers.time == (3, 9)


def test_diversity_is_the_category_entropy(small):
    diversity = stats(small).diversity
    third = -(1 / 3) * math.log(1 / 3) - (2 / 3) * math.log(2 / 3)
    assert diversity.mean == pytest.approx((third + math.log(2) + 0) / 3)
    assert diversity.maximum == pytest.approx(math.log(2))


def test_without_categories_and_times():
    data = Interactions.from_frame(pl.DataFrame({"user_id": [1, 2], "item_id": [1, 1]}))
    numbers = stats(data)
    assert (numbers.diversity, numbers.time, numbers.num_categories) == (None, None, 0)
    assert (numbers.num_vectors, numbers.vector_size) == (0, 0)


def test_vectors_are_counted(small):
    numbers = stats(small.with_vectors(["x", "y"], [[1, 0, 0, 0], [0, 0, 0, 2]]))
    assert (numbers.num_vectors, numbers.vector_size) == (2, 4)


def test_distribution_against_loops():
    values = np.random.default_rng(0).integers(0, 50, 97)
    found = Distribution.of(values, doubling=True)
    assert found.gini == pytest.approx(naive_gini(values.tolist()))
    assert found.median == statistics.median(values.tolist()) == found.deciles[4]
    assert found.mean == pytest.approx(statistics.mean(values.tolist()))
    assert found.edges == (0, 1, 2, 4, 8, 16, 32, 64)
    bins = zip(found.edges, found.edges[1:], strict=False)
    assert found.counts == tuple(sum(low <= value < high for value in values) for low, high in bins)


@pytest.mark.parametrize(
    ("values", "edges", "counts"),
    [
        ([0, 0], (0, 1), (2,)),
        ([1, 1], (1, 2), (2,)),
        ([5, 8], (4, 8, 16), (1, 1)),
        ([16, 31], (16, 32), (2,)),
        ([3, 40], (2, 4, 8, 16, 32, 64), (1, 0, 0, 0, 1)),
    ],
)
def test_doubling_bins(values, edges, counts):
    found = Distribution.of(np.array(values), doubling=True)
    assert (found.edges, found.counts) == (edges, counts)


def test_equal_bins():
    assert Distribution.of(np.arange(41.0)).counts == (4,) * 9 + (5,)  # the last bin holds its upper edge
    constant = Distribution.of(np.array([0.7, 0.7]))
    assert constant.counts == (2,)
    assert constant.gini == pytest.approx(0)
    assert Distribution.of(np.array([0.0, 0.0])).gini == 0


@pytest.mark.parametrize(
    ("first", "last", "text"),
    [
        (874724710, 893286638, "1997-09-20 to 1998-04-22 (214 days, in s)"),
        (1433221332117, 1433307732117, "2015-06-02 to 2015-06-03 (1 days, in ms)"),
        (1433221332117123, 1433307732117123, "2015-06-02 to 2015-06-03 (1 days, in us)"),
        (1433221332117123456, 1433307732117123456, "2015-06-02 to 2015-06-03 (1 days, in ns)"),
        (0, 2276, "positions 0 to 2,276"),
    ],
)
def test_time_span(first, last, text):
    assert time_span(first, last) == text


@pytest.mark.parametrize(("share", "text"), [(0, ""), (0.5, "█"), (1, "██"), (0.25, "▌"), (0.8, "█▋")])
def test_bar(share, text):
    assert commands.bar(share, 2) == text


def test_stats_command(capsys, tmp_path, small):
    commands.stats("planted:num_users=100,seed=2")
    printed = capsys.readouterr().out
    for text in ("100", "500", "2,000", "4.0000%", "interactions per user", "category entropy", "Gini", "█"):
        assert text in printed
    path = tmp_path / "mine.csv"
    path.write_text("who;item_id\na;1\nb;2\n")
    commands.stats(str(path), user="who", separator=";")
    printed = capsys.readouterr().out
    assert "50.0000%" in printed
    assert "entropy" not in printed


def test_list_and_fetch_commands(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("GRAPHMI_DATA", str(tmp_path))
    commands.list_sources()
    printed = capsys.readouterr().out
    assert "ml-100k" in printed
    assert "retailrocket" in printed
    commands.fetch("planted:num_users=30")
    assert capsys.readouterr().out == "planted:num_users=30: 30 users, 500 items, 600 interactions\n"


def test_planted_diversity_follows_the_interests():
    means = [stats(planted(interests_per_user=interests)).diversity.mean for interests in (1, 2, 4)]
    assert means == sorted(means)
