"""Communities of the items that users share."""

import math
import signal
from contextlib import contextmanager

import networkx as nx
import numpy as np
import polars as pl
import pytest
import scipy.sparse as sp
import torch
from hypothesis import given
from hypothesis import strategies as st

from graphmi.data import Interactions, item_communities, planted
from graphmi.data.communities import _graph, _incidence, _pairs, _strongest


def of(users, items):
    return Interactions.from_frame(pl.DataFrame({"user_id": users, "item_id": items}))


def labels(train, **options):
    found = item_communities(train, **options)
    return dict(zip(found.item.tolist(), found.category.tolist(), strict=True))


@contextmanager
def at_most(seconds):
    def stop(*_):
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def test_planted_communities_are_found():
    world = planted(num_users=300, num_items=80, num_clusters=4, interests_per_user=1, noise=0.1)
    found = item_communities(world)
    assert found.names == ("community 1", "community 2", "community 3", "community 4")
    assert torch.equal(found.item, torch.arange(80))  # one label per item
    truth = world.categories.category[world.categories.item.argsort()]
    assert len(set(zip(found.category.tolist(), truth.tolist(), strict=True))) == 4
    assert (found.category.bincount().diff() <= 0).all()  # the largest first


def test_two_publics_that_share_one_user_are_two_communities():
    users = [user for user in range(20) for _ in range(4)]
    items = [10 * (user % 2) + (user + step) % 6 for user in range(20) for step in range(4)]
    found = labels(of([*users, 20, 20], [*items, 0, 10]))
    assert [found[item] for item in range(12)] == [0] * 6 + [1] * 6


def test_the_largest_community_comes_first():
    found = labels(of([1, 1, 2, 2, 3, 3, 3, 4, 4, 4], [0, 1, 0, 1, 2, 3, 4, 2, 3, 4]))
    assert found == {0: 1, 1: 1, 2: 0, 3: 0, 4: 0}


def test_items_without_company_have_no_label():
    found = labels(of([1, 1, 2, 2, 3], [1, 2, 1, 2, 3]))
    assert found == {0: 0, 1: 0}
    alone = item_communities(of([1, 2, 2], [1, 2, 2]))  # a repeated pair is one pair
    assert (len(alone), alone.item.tolist(), alone.category.tolist()) == (0, [], [])
    nothing = of([1], [1]).take(torch.tensor([], dtype=torch.int64))
    assert len(item_communities(nothing)) == 0


@given(st.sets(st.tuples(st.integers(0, 6), st.integers(0, 7)), min_size=1, max_size=40), st.integers(1, 4))
def test_links_equal_a_naive_loop(pairs, num_neighbors):
    train = of(*map(list, zip(*sorted(pairs), strict=True)))
    baskets = [set(train.item[train.user == user].tolist()) for user in range(train.num_users)]

    def strength(*items):
        return sum(1 / (len(basket) - 1) for basket in baskets if basket >= set(items) and len(basket) > 1)

    found = _strongest(_incidence(train, 500, 0), num_neighbors).toarray()
    for one in range(train.num_items):
        weight = {
            other: strength(one, other) / math.sqrt(strength(one) * strength(other))
            for other in range(train.num_items)
            if other != one and strength(one, other)
        }
        kept = sorted(weight, key=lambda other: (-round(weight[other], 9), other))[:num_neighbors]
        assert np.flatnonzero(found[one]).tolist() == sorted(kept)
        assert [found[one, other] for other in kept] == pytest.approx([weight[other] for other in kept], abs=1e-8)


def test_ties_keep_the_lower_items():
    basket = _strongest(_incidence(of([1] * 6, range(6)), 500, 0), 2).toarray()
    assert [np.flatnonzero(row).tolist() for row in basket[:3]] == [[1, 2], [0, 2], [0, 1]]
    assert [np.flatnonzero(row).tolist() for row in basket[3:]] == [[0, 1]] * 3


def test_ties_are_ties_although_sums_are_rounded():
    """Items 1 and 2 share users of the same sizes with item 0, but in another order: 0.7071067811865475 and ...6."""
    rows, filler = [], 100
    for item, sizes in ((1, [6, 1, 5]), (2, [1, 5, 6])):
        for size in sizes:
            rows += [((item, filler), one) for one in (0, item, *range(filler, filler + size))]
            filler += size
    names = [f"{item}-{number}" for (item, number), _ in rows]
    links = _strongest(_incidence(of(names, [one for _, one in rows]), 500, 0), 1).toarray()
    assert np.flatnonzero(links[0]).tolist() == [1]


def test_weights_are_whole_and_add_up_to_a_power_of_two():
    strongest = _strongest(_incidence(planted(num_users=200, num_items=90), 500, 0), 5)
    graph = _graph(strongest)
    either = strongest.maximum(strongest.T).toarray()
    assert graph.size("weight") == 2**25
    assert graph.number_of_edges() == np.count_nonzero(np.triu(either, 1))
    total = np.triu(either, 1).sum()
    for one, other, weight in graph.edges(data="weight"):
        assert isinstance(weight, int)
        assert weight / 2**25 == pytest.approx(either[one, other] / total, abs=4 / 2**25 + 1e-4 / len(graph))


def test_louvain_ends_where_rounding_can_keep_it_moving():
    """With weights of a third, networkx 3.6 moves the items of this graph to and fro for ever."""
    pairs = [(0, 1), (0, 4), (1, 2), (1, 3), (1, 4), (2, 3), (3, 4)]
    one, other = zip(*pairs, strict=True)
    with at_most(20):
        graph = _graph(sp.coo_array((np.full(7, 1 / 3), (one, other)), shape=(5, 5)))
        assert sum(map(len, nx.community.louvain_communities(graph, seed=0))) == 5


def test_a_seed_gives_the_same_communities():
    world = planted(num_users=150, num_items=80, noise=0.6)
    one, again = item_communities(world, seed=3), item_communities(world, seed=3)
    assert torch.equal(one.category, again.category)
    others = [item_communities(world, seed=seed).category for seed in range(3)]
    assert any(not torch.equal(one.category, category) for category in others)  # noise has no true communities


def test_order_of_rows_and_repeated_pairs_do_not_matter():
    world = planted(num_users=60, num_items=80)
    shuffled = torch.randperm(len(world), generator=torch.Generator().manual_seed(0))
    again = world.take(torch.cat([shuffled, shuffled[:50]]))
    assert torch.equal(item_communities(world).category, item_communities(again).category)


def test_long_histories_are_cut_to_a_random_choice():
    train = of([1] * 50 + [2] * 5, [*range(50), *range(5)])
    user, item = _pairs(train, 10, seed=0)
    assert np.bincount(user).tolist() == [10, 5]
    assert len(set(item[user == 0])) == 10
    assert item[user == 1].tolist() == [0, 1, 2, 3, 4]
    assert not np.array_equal(item, _pairs(train, 10, seed=1)[1])
    drawn = np.concatenate([_pairs(train, 10, seed)[1][:10] for seed in range(400)])
    assert np.bincount(drawn, minlength=50).min() > 40  # 80 expected, a standard deviation of 8
    assert len(labels(train, max_history=10)) == len(set(item))


def test_the_users_of_an_item_count_less_the_more_they_met():
    """Who met two items says more of them than who met all six."""
    train = of([1] * 6 + [2] * 2 + [3] * 2, [*range(6), 0, 1, 2, 3])
    weight = _strongest(_incidence(train, 500, 0), 5).toarray()
    assert weight[0, 1] == pytest.approx(1)  # the same users
    assert weight[0, 2] == pytest.approx((1 / 5) / (1 + 1 / 5))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_neighbors": 0}, r"'num_neighbors' must be at least 1 \(got 0\)"),
        ({"max_history": 1}, r"'max_history' must be at least 2 \(got 1\)"),
        ({"seed": -1}, r"'seed' must be at least 0 \(got -1\)"),
        ({"num_neighbors": 2**24}, r"500 items with 16777216 links each are more than"),
    ],
)
def test_numbers_out_of_range(options, message):
    with pytest.raises(ValueError, match=message):
        item_communities(planted(num_users=5), **options)
