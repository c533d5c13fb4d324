from collections import Counter

import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from graphmi.data import DataError, Filter, Interactions, deduplicate, k_core, min_weight

PAIRS = st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), min_size=1, max_size=60)


def interactions(pairs, **columns):
    users, items = zip(*pairs, strict=True)
    return Interactions.from_frame(pl.DataFrame({"user_id": users, "item_id": items, **columns}))


def ids(data):
    return list(zip(data.users.decode(data.user), data.items.decode(data.item), strict=True))


def one_pass(pairs, k):
    users, items = Counter(user for user, _ in pairs), Counter(item for _, item in pairs)
    return [(user, item) for user, item in pairs if users[user] >= k and items[item] >= k]


def naive_core(pairs, k):
    while (fewer := one_pass(pairs, k)) != pairs:
        pairs = fewer
    return pairs


@pytest.mark.parametrize(("iterate", "naive"), [(True, naive_core), (False, one_pass)])
@given(pairs=PAIRS, k=st.integers(1, 4))
def test_k_core_equals_a_naive_loop(iterate, naive, pairs, k):
    if not (expected := naive(pairs, k)):
        with pytest.raises(DataError, match=r"none of .* is left"):
            k_core(interactions(pairs), k, iterate=iterate)
        return
    core = k_core(interactions(pairs), k, iterate=iterate)
    assert ids(core) == expected
    assert core.users.ids.to_list() == sorted({user for user, _ in expected})
    assert core.items.ids.to_list() == sorted({item for _, item in expected})
    distinct = list(dict.fromkeys(pairs))
    if expected := naive(distinct, k):
        assert ids(Filter(k_core=k, iterate=iterate)(interactions(pairs))) == expected


def test_one_pass_can_leave_users_with_fewer():
    pairs = [("u", 1), ("u", 2), ("v", 1), ("v", 3), ("w", 1)]
    assert ids(k_core(interactions(pairs), 2, iterate=False)) == [("u", 1), ("v", 1)]
    with pytest.raises(DataError, match="2 interactions per user and item"):
        k_core(interactions(pairs), 2)


def test_k_core_carries_times_categories_and_titles_along():
    pairs = [("u", 5), ("u", 7), ("v", 7), ("v", 9), ("w", 7), ("u", 9)]
    data = interactions(pairs, time=[1, 2, 3, 4, 5, 6]).with_categories([5, 7, 9], ["x", "y", "z"])
    core = k_core(data.with_titles([5, 7, 9], ["five", "seven", "nine"]), 2)
    assert ids(core) == [("u", 7), ("v", 7), ("v", 9), ("u", 9)]
    assert core.time.tolist() == [2, 3, 4, 6]
    assert core.titles == ("seven", "nine")
    assert core.categories.matrix(2).tolist() == [[0, 1, 0], [0, 0, 1]]


def test_k_below_one():
    with pytest.raises(ValueError, match="'k' must be at least 1"):
        k_core(interactions([(1, 1)]), 0)


@given(pairs=PAIRS, data=st.data())
def test_deduplicate_equals_a_naive_loop(pairs, data):
    times = data.draw(st.lists(st.integers(0, 3), min_size=len(pairs), max_size=len(pairs)))
    full = interactions(pairs, time=times)
    rows = range(len(pairs))
    for keep, best in (("first", min), ("last", max)):
        expected = sorted(best((times[row], row) for row in rows if pairs[row] == pair)[1] for pair in set(pairs))
        kept = deduplicate(full, keep)
        assert ids(kept) == [pairs[row] for row in expected]
        assert kept.time.tolist() == [times[row] for row in expected]


def test_deduplicate_without_times_goes_by_row():
    data = interactions([(1, 1), (1, 2), (1, 1)], rating=[1.0, 2.0, 3.0])
    assert deduplicate(data).weight.tolist() == [1, 2]
    assert deduplicate(data, "last").weight.tolist() == [2, 3]
    with pytest.raises(ValueError, match="'keep' must be"):
        deduplicate(data, "best")


def test_min_weight():
    data = interactions([(1, 1), (1, 2), (2, 1)], rating=[3.0, 4.0, 5.0])
    kept = min_weight(data, 4)
    assert ids(kept) == [(1, 2), (2, 1)]
    assert torch.equal(data.weight, torch.tensor([3.0, 4.0, 5.0]))
    with pytest.raises(DataError, match="weights of at least 6"):
        min_weight(data, 6)
    with pytest.raises(DataError, match=r"no weights; .*weight='NAME' .*--columns\.weight='NAME'"):
        min_weight(interactions([(1, 1)]), 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"k_core": 0}, r"'k_core' must be at least 1 \(got 0\)"), ({"keep": "x"}, r"'keep' must be .* \(got 'x'\)")],
)
def test_filters_out_of_range_are_refused_when_they_are_made(options, message):
    with pytest.raises(ValueError, match=message):
        Filter(**options)


def test_a_filter_counts_what_is_left_of_repeated_pairs():
    data = interactions([("u", 1), ("u", 1), ("v", 2), ("v", 3), ("w", 2), ("w", 3)], time=[3, 4, 1, 1, 1, 1])
    assert ids(Filter(k_core=2)(data)) == [("v", 2), ("v", 3), ("w", 2), ("w", 3)]
    assert Filter(keep="last")(data).time.tolist() == [4, 1, 1, 1, 1]
    assert Filter()(data).time.tolist() == [3, 1, 1, 1, 1]
