import math
from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from graphmi.metrics import (
    dead_interests,
    effective_interests,
    idle_interests,
    interest_balance,
    interest_counts,
    interest_share,
    rank_correlation,
)

SIZE = 4
lists = st.lists(st.lists(st.integers(-1, SIZE - 1), min_size=6, max_size=6), min_size=1, max_size=8)


def draw(seed=0, num_users=40, length=7):
    """Random interests behind lists, some lists short or empty, and masks that allow them."""
    draws = torch.Generator().manual_seed(seed)
    mask = torch.rand(num_users, SIZE, generator=draws) < 0.6
    mask[:, 0] |= ~mask.any(dim=1)
    interest = torch.multinomial(mask.float(), length, replacement=True, generator=draws)
    left = torch.randint(0, length + 1, (num_users, 1), generator=draws)
    return interest.where(torch.arange(length) < left, -1), mask


def entropy(row):
    counts = Counter(row)
    return -sum(n / len(row) * math.log(n / len(row)) for n in counts.values())


def rows(interest):
    return [[one for one in row if one >= 0] for row in interest.tolist()]


def expect(values, expected):
    assert len(values) == len(expected)
    for value, one in zip(values.tolist(), expected, strict=True):
        assert math.isnan(value) if one is None else value == pytest.approx(one)


@pytest.mark.parametrize("seed", [0, 1])
def test_values_equal_loops(seed):
    interest, mask = draw(seed)
    effective, balance, idle = [], [], []
    for row, active in zip(rows(interest), mask.sum(dim=1).tolist(), strict=True):
        effective.append(math.exp(entropy(row)) if row else None)
        balance.append(entropy(row) / math.log(active) if row and active > 1 else None)
        idle.append((active - len(set(row))) / active if row else None)
    expect(effective_interests(interest, SIZE), effective)
    expect(interest_balance(interest, SIZE, mask), balance)
    expect(idle_interests(interest, SIZE, mask), idle)
    assert None in balance
    assert None in idle
    counted = [[Counter(row)[k] for k in range(SIZE)] for row in rows(interest)]
    assert interest_counts(interest, SIZE).tolist() == counted


@pytest.mark.parametrize("seed", [0, 1])
def test_share_equals_a_loop(seed):
    interest, _ = draw(seed)
    expected = torch.zeros(interest.size(1), SIZE, dtype=torch.float64)
    for row in rows(interest):
        order = sorted(set(row), key=lambda k, row=row: (-row.count(k), row.index(k)))
        for rank, one in enumerate(row):
            expected[rank, order.index(one)] += 1
    expected /= expected.sum(dim=1, keepdim=True)
    assert torch.allclose(interest_share(interest, SIZE), expected)


def test_share_by_hand():
    interest = torch.tensor([[2, 2, 0], [1, 0, 0], [0, 1, -1]])
    # Largest first: user 0 has (2, 0), user 1 has (0, 1), user 2 has (0, 1), equal but 0 came first.
    found = interest_share(interest, 3).tolist()
    assert found[0] == pytest.approx([2 / 3, 1 / 3, 0.0])
    assert found[1] == pytest.approx([2 / 3, 1 / 3, 0.0])
    assert found[2] == pytest.approx([1 / 2, 1 / 2, 0.0])
    assert interest_share(torch.tensor([[1, -1]]), 2).tolist() == [[1.0, 0.0], [0.0, 0.0]]


def test_balance_by_hand():
    interest = torch.tensor([[0, 1, 2, 3], [1, 1, 1, 1], [0, 0, 1, 1], [-1, -1, -1, -1]])
    assert interest_balance(interest, 4)[:3].tolist() == pytest.approx([1.0, 0.0, 0.5])
    assert interest_balance(interest, 4)[3].isnan()
    two = torch.tensor([[True, True, False, False]]).expand(4, -1)
    assert interest_balance(interest, 4, two)[2].item() == pytest.approx(1.0)
    assert effective_interests(interest, 4)[:3].tolist() == pytest.approx([4.0, 1.0, 2.0])


def test_one_interest():
    interest = torch.tensor([[0, 0], [0, -1]])
    assert interest_balance(interest, 1).isnan().all()
    assert effective_interests(interest, 1).tolist() == [1.0, 1.0]
    assert idle_interests(interest, 1).tolist() == [0.0, 0.0]
    assert interest_share(interest, 1).tolist() == [[1.0], [1.0]]


def test_inactive_rows_have_empty_lists():
    interest, mask = torch.full((2, 3), -1), torch.zeros(2, SIZE, dtype=torch.bool)
    for values in (
        interest_balance(interest, SIZE, mask),
        idle_interests(interest, SIZE, mask),
        effective_interests(interest, SIZE),
    ):
        assert values.isnan().all()
    assert not interest_share(interest, SIZE).any()


@settings(max_examples=60, deadline=None)
@given(lists, st.permutations(range(SIZE)))
def test_ranges_and_the_order_of_interests(interest, order):
    interest = torch.tensor(interest)
    renamed = torch.tensor(order)[interest.clamp(min=0)].where(interest >= 0, -1)
    effective, balance = effective_interests(interest, SIZE), interest_balance(interest, SIZE)
    known = (interest >= 0).any(dim=1)
    assert (effective[known] > 1 - 1e-9).all()
    assert (effective[known] < SIZE + 1e-9).all()
    assert ((balance[known] >= 0) & (balance[known] < 1 + 1e-9)).all()
    assert torch.allclose(effective, effective_interests(renamed, SIZE), equal_nan=True)
    assert torch.allclose(balance, interest_balance(renamed, SIZE), equal_nan=True)
    assert torch.equal(interest_share(interest, SIZE), interest_share(renamed, SIZE))


def test_dead_interests():
    used, active = torch.tensor([5, 0, 0, 2]), torch.tensor([9, 9, 0, 3])
    assert dead_interests(used, active) == pytest.approx(1 / 3)  # the third is nobody's
    assert math.isnan(dead_interests(torch.zeros(2), torch.zeros(2)))


def test_rank_correlation_equals_pearson_of_ranks():
    draws = torch.Generator().manual_seed(0)
    first, second = torch.rand(50, generator=draws), torch.rand(50, generator=draws)
    first[3] = second[7] = math.nan
    known = ~(first.isnan() | second.isnan())
    ranks = torch.stack([one[known].argsort().argsort().double() for one in (first, second)])
    assert rank_correlation(first, second) == pytest.approx(torch.corrcoef(ranks)[0, 1].item())
    assert rank_correlation(first, first.exp()) == pytest.approx(1.0)
    assert rank_correlation(first, -first) == pytest.approx(-1.0)
    assert math.isnan(rank_correlation(first, torch.ones(50)))
    assert math.isnan(rank_correlation(first[:1], second[:1]))
    with pytest.raises(ValueError, match=r"one length \(got \[50\] and \[2\]\)"):
        rank_correlation(first, second[:2])
