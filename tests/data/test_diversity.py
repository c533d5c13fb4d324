"""Spread in given vectors, and what activity leaves of a measure."""

import itertools
import math

import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from graphmi.data import (
    Interactions,
    category_drift,
    category_entropy,
    embedding_spread,
    quantile_groups,
    residual,
    simpson,
)


def of(users, items):
    return Interactions.from_frame(pl.DataFrame({"user_id": users, "item_id": items}))


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 6)), min_size=1, max_size=40), st.integers(0, 9))
def test_spread_equals_the_loop_over_pairs(pairs, seed):
    train = of(*map(list, zip(*pairs, strict=True)))
    vectors = torch.randn(train.num_items, 3, generator=torch.Generator().manual_seed(seed)) * 10
    vectors[0] = 0  # has cosine 0 with all
    known = dict(zip(sorted({item for _, item in pairs}), vectors.double(), strict=True))
    found = embedding_spread(train, vectors)
    assert found.dtype == torch.float64
    for index, user in enumerate(sorted({user for user, _ in pairs})):
        mine = sorted({item for who, item in pairs if who == user})
        distances = [
            1 - torch.cosine_similarity(known[one], known[other], dim=0, eps=1e-12).item()
            for one, other in itertools.combinations(mine, 2)
        ]
        expected = sum(distances) / len(distances) if distances else math.nan
        assert found[index].item() == pytest.approx(expected, nan_ok=True, abs=1e-9)


def test_spread_of_known_directions():
    train = of(["same"] * 3 + ["across"] * 2 + ["against"] * 2 + ["one"] * 2, [1, 2, 3, 1, 4, 1, 5, 1, 1])
    vectors = torch.tensor([[1.0, 0], [2, 0], [7, 0], [0, 3], [-4, 0]], requires_grad=True)
    found = dict(zip(train.users.ids, embedding_spread(train, vectors).tolist(), strict=True))
    assert (found["same"], found["across"], found["against"]) == pytest.approx((0, 1, 2))
    assert math.isnan(found["one"])  # one item, met twice


def test_spread_of_vectors_at_the_same_distance_is_one_value():
    train = of([1, 1, 2, 2, 3, 3], [1, 2, 1, 3, 2, 3])
    found = embedding_spread(train, torch.tensor([[3.0, 1, 2], [1, 2, 3], [2, 3, 1]]))  # all cosines are 11 / 14
    assert found.tolist() == pytest.approx([3 / 14] * 3, abs=1e-9)
    assert len(found.unique()) == 1


def test_users_who_are_equal_but_for_the_order_of_sums_have_one_value():
    # Each user has one category 7 times, one 4 times and two once, in this order; which is which differs.
    orders = list(itertools.permutations([1, 2, 3, 4]))
    items = [item for one, two, three, four in orders for item in [one] * 7 + [two] * 4 + [three, four]]
    train = of([user for user in range(24) for _ in range(13)], items).with_categories([1, 2, 3, 4], list("abcd"))
    entropy = -sum(count / 13 * math.log(count / 13) for count in (7, 4, 1, 1))
    for measure, expected in ((category_entropy, entropy), (simpson, 1 - 67 / 169), (category_drift, 6 / 7)):
        values = measure(train)
        assert values.tolist() == [round(expected, 9)] * 24
        assert len(values.unique()) == 1
        assert quantile_groups(values, 24).tolist() == list(range(24))


@pytest.mark.parametrize("shape", [(2, 3), (3,), (3, 1, 3)])
def test_spread_needs_a_vector_per_item(shape):
    with pytest.raises(ValueError, match=r"'vectors' must have a row per item, 3 \(got"):
        embedding_spread(of([1, 1, 2], [1, 2, 3]), torch.zeros(shape))


def test_residual_has_nothing_of_activity_left():
    generator = torch.Generator().manual_seed(0)
    activity = torch.randint(1, 500, (3000,), generator=generator)
    own = torch.randn(3000, generator=generator, dtype=torch.float64)
    values = 2 + 0.7 * activity.log() + own
    values[::7] = torch.nan
    known = ~values.isnan()
    left = residual(values, activity)
    assert torch.equal(left.isnan(), ~known)
    line = stats.linregress(activity[known].double().log(), values[known])
    expected = values[known] - line.intercept - line.slope * activity[known].double().log()
    torch.testing.assert_close(left[known], expected)
    assert abs(stats.pearsonr(left[known], activity[known].double().log()).statistic) < 1e-12
    assert abs(stats.spearmanr(left[known], activity[known]).statistic) < 0.05
    assert stats.pearsonr(left[known], own[known]).statistic > 0.99


def test_residual_where_all_are_as_active_or_nobody_has_a_value():
    left = residual(torch.tensor([1.0, 3.0, torch.nan]), torch.tensor([5, 5, 0]))
    assert left[:2].tolist() == [-1, 1]
    assert residual(torch.tensor([torch.nan]), torch.tensor([0])).isnan().all()
    assert residual(torch.tensor([4.0]), torch.tensor([9])).tolist() == [0]


def test_residual_refuses_what_has_no_logarithm():
    with pytest.raises(ValueError, match=r"'activity' must be above 0 for users with a value \(got 0\)"):
        residual(torch.ones(2), torch.tensor([0, 1]))
    for shape in ((3,), (2, 1)):
        with pytest.raises(ValueError, match="'activity' must have the shape"):
            residual(torch.ones(2), torch.ones(shape))
