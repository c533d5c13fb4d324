import math
from collections import Counter
from dataclasses import replace

import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from graphmi.data import (
    Categories,
    DataError,
    DiversityGroups,
    Interactions,
    category_drift,
    category_entropy,
    controlled_groups,
    distinct_categories,
    item_communities,
    planted,
    quantile_groups,
    simpson,
)


def of(users, items):
    return Interactions.from_frame(pl.DataFrame({"user_id": users, "item_id": items}))


def test_vectors():
    """Counts [3, 1, 0, 0] of METHODS S0."""
    data = of(["u"] * 4 + ["v"] * 2, [1, 2, 3, 4, 5, 6]).with_categories([1, 2, 3, 4, 5, 6], list("aaabcd"))
    assert category_entropy(data)[0].item() == pytest.approx(0.562335, abs=5e-7)
    assert simpson(data)[0].item() == pytest.approx(0.375)
    assert category_entropy(data)[0].exp().item() == pytest.approx(1.754765, abs=5e-7)  # effective number
    assert distinct_categories(data).tolist() == [2, 2]
    assert category_entropy(data)[1].item() == pytest.approx(math.log(2))
    pairs = data.categories
    for item, category in (
        (pairs.item.flip(0), pairs.category.flip(0)),
        (torch.cat([pairs.item, pairs.item[:2]]), torch.cat([pairs.category, pairs.category[:2]])),  # they count once
    ):
        other = replace(data, categories=Categories(item, category, pairs.names))
        assert len(other.categories.item) == len(pairs.item)
        assert torch.equal(simpson(other), simpson(data))


def test_users_without_categories_have_no_diversity():
    data = of([1, 2], [1, 2]).with_categories([1], ["x"])
    for measure in (category_entropy, simpson, distinct_categories):
        values = measure(data)
        assert values.dtype == torch.float64
        assert values.isnan().tolist() == [False, True]
    with pytest.raises(DataError, match="no item categories"):
        simpson(of([1], [1]))


@given(st.data())
def test_diversity_equals_a_naive_loop(data):
    items = st.integers(0, 5)
    pairs = data.draw(st.lists(st.tuples(st.integers(0, 4), items), min_size=1, max_size=30))
    known = {item for _, item in pairs}
    labels = data.draw(st.sets(st.tuples(st.sampled_from(sorted(known)), st.sampled_from("abc")), min_size=1))
    train = of(*map(list, zip(*pairs, strict=True)))
    train = train.with_categories(*map(list, zip(*sorted(labels), strict=True)))
    for index, user in enumerate(sorted({user for user, _ in pairs})):
        counts = Counter(label for who, item in pairs for what, label in labels if (who, item) == (user, what))
        shares = [count / counts.total() for count in counts.values()]
        expected = [-sum(p * math.log(p) for p in shares), 1 - sum(p * p for p in shares), len(shares)]
        got = [measure(train)[index].item() for measure in (category_entropy, simpson, distinct_categories)]
        assert got == pytest.approx(expected if counts else [math.nan] * 3, nan_ok=True, abs=1e-9)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5), st.integers(0, 9)), min_size=1, max_size=30))
def test_drift_equals_a_naive_loop(rows):
    labels = {0: "a", 1: "a", 2: "b", 3: "c", 4: "bc"}  # the item 5 has none
    users, items, times = (list(column) for column in zip(*rows, strict=True))
    frame = pl.DataFrame({"user_id": users, "item_id": items, "time": times})
    pairs = [(item, label) for item, several in labels.items() for label in several if item in items]
    train = Interactions.from_frame(frame)
    if not pairs:
        return
    got = category_drift(train.with_categories(*map(list, zip(*pairs, strict=True))))
    for index, user in enumerate(sorted(set(users))):
        mine = [
            item for _, item in sorted(((time, item) for who, item, time in rows if who == user), key=lambda x: x[0])
        ]
        halves = [
            Counter("".join(labels.get(item, "") for item in half))
            for half in (mine[: len(mine) // 2], mine[len(mine) // 2 :])
        ]
        expected = math.nan
        if all(halves):
            expected = sum(abs(halves[0][c] / halves[0].total() - halves[1][c] / halves[1].total()) for c in "abc") / 2
        assert got[index].item() == pytest.approx(expected, nan_ok=True, abs=1e-9)


@given(st.lists(st.integers(0, 5) | st.just(math.nan), max_size=40), st.integers(1, 6))
def test_quantile_groups(values, num_groups):
    groups = quantile_groups(torch.tensor(values, dtype=torch.float64), num_groups).tolist()
    assert [group == -1 for group in groups] == [math.isnan(value) for value in values]
    ranked = sorted((value, user) for user, value in enumerate(values) if not math.isnan(value))
    assert [groups[user] for _, user in ranked] == sorted(group for group in groups if group >= 0)
    sizes = torch.tensor([group for group in groups if group >= 0], dtype=torch.int64).bincount(minlength=num_groups)
    assert sizes.max() - sizes.min() <= 1


def test_quantile_groups_of_any_dtype():
    assert quantile_groups(torch.tensor([5, 1, 3, 2]), 2).tolist() == [1, 0, 1, 0]


def test_controlled_groups_have_the_same_activity():
    generator = torch.Generator().manual_seed(0)
    activity = torch.randint(5, 500, (2000,), generator=generator)
    values = activity.log() + 0.3 * torch.randn(2000, generator=generator, dtype=torch.float64)  # correlated
    plain, controlled = quantile_groups(values), controlled_groups(values, activity)
    means = [torch.stack([activity[groups == g].double().mean() for g in range(5)]) for groups in (plain, controlled)]
    assert means[0].max() > 3 * means[0].min()
    assert means[1].max() < 1.1 * means[1].min()
    assert controlled.bincount().tolist() == [400] * 5
    diversity = torch.stack([values[controlled == group].mean() for group in range(5)])
    assert (diversity.diff() > 0).all()


def test_controlled_groups_by_hand():
    activity = torch.tensor([1, 1, 1, 9, 9, 9, 9, 1])
    values = torch.tensor([0.3, 0.1, 0.2, 9.0, 7.0, 8.0, 6.0, 0.0])
    assert controlled_groups(values, activity, num_groups=2, num_strata=2).tolist() == [1, 0, 1, 1, 0, 1, 0, 0]
    values[3] = torch.nan
    assert controlled_groups(values, activity, num_groups=2, num_strata=2).tolist() == [1, 0, 1, -1, 0, 1, 0, 0]


def test_controlled_groups_use_fewer_strata_for_few_users():
    values = torch.arange(10.0)
    few = values[:9]
    assert controlled_groups(few, few, num_groups=5, num_strata=10).tolist() == quantile_groups(few).tolist()
    assert controlled_groups(values, values, num_groups=5, num_strata=10).tolist() == [0, 1, 2, 3, 4] * 2


def test_group_arguments():
    with pytest.raises(ValueError, match="must be at least 1"):
        quantile_groups(torch.zeros(3), 0)
    with pytest.raises(ValueError, match="'num_strata' must be at least 1"):
        controlled_groups(torch.zeros(3), torch.zeros(3), num_strata=0)
    with pytest.raises(ValueError, match="'activity' must have the shape"):
        controlled_groups(torch.zeros(3), torch.zeros(2))


# --- groups as an option of experiments


def test_the_users_who_are_evaluated_are_alone_in_equal_groups():
    world = planted(num_users=50, num_items=40, interactions_per_user=8)
    world = world.take(world.user < 49)  # the last of all has no training interactions
    users, groups = torch.arange(0, 50, 5), DiversityGroups(num_groups=2)
    found = groups.cut(groups.values(world), world, users)
    activity = world.user.bincount(minlength=50)[users]
    expected = (
        quantile_groups(groups.values(world)[users], 2),
        controlled_groups(groups.values(world)[users], activity, 2),
    )
    for group, of_users in zip(found.values(), expected, strict=True):
        assert (group >= 0).sum() == 10
        assert torch.equal(group[users], of_users)


def test_groups_by_categories_are_those_of_the_measure():
    world = planted(num_users=50, num_items=40, interactions_per_user=8)
    activity = world.user.bincount(minlength=50)
    measures = {
        "entropy": category_entropy,
        "distinct": distinct_categories,
        "simpson": simpson,
        "drift": category_drift,
    }
    for name, measure in measures.items():
        groups = DiversityGroups(num_groups=3, measure=name)
        assert torch.equal(groups.values(world), measure(world))
        found = groups(world)
        assert torch.equal(found["diversity"], quantile_groups(measure(world), 3))
        assert torch.equal(found["diversity-controlled"], controlled_groups(measure(world), activity, 3))


def test_groups_by_communities_where_there_are_no_categories():
    world = planted(num_users=30, num_items=40, interactions_per_user=4)
    bare = replace(world, categories=None)
    found, other = (category_entropy(replace(world, categories=item_communities(world, seed=seed))) for seed in (1, 0))
    assert not torch.equal(found, other)
    assert torch.equal(DiversityGroups(seed=1).values(bare), found)
    assert torch.equal(DiversityGroups(by="communities", seed=1).values(world), found)


def test_communities_order_users_as_the_true_clusters_do():
    options = {"num_users": 100, "num_items": 60, "num_clusters": 4, "interactions_per_user": 12}
    narrow, broad = (planted(**options, interests_per_user=interests) for interests in (1, 3))
    both = of([*narrow.user.tolist(), *(100 + broad.user).tolist()], [*narrow.item.tolist(), *broad.item.tolist()])
    assert torch.equal(narrow.categories.category, broad.categories.category)
    true = category_entropy(replace(both, categories=narrow.categories))
    assert spearmanr(DiversityGroups().values(both), true).statistic > 0.8


def test_a_user_of_one_item_is_as_narrow_as_can_be():
    data = of([1, 1, 2, 2, 3], [1, 2, 1, 2, 1])
    assert DiversityGroups().values(data).tolist() == [0, 0, 0]
    lonely = DiversityGroups().values(of([1, 1, 2, 2, 3], [1, 2, 1, 2, 3]))
    assert lonely.isnan().tolist() == [False, False, True]  # its item shares a user with none
    assert DiversityGroups()(of([1, 1, 2, 2, 3], [1, 2, 1, 2, 3]))["diversity"][2] == -1


def test_no_groups_beyond_the_limit_or_on_request():
    bare = replace(planted(num_users=50, num_items=40, interactions_per_user=8), categories=None)
    assert DiversityGroups(max_items=40)(bare)
    for groups in (DiversityGroups(max_items=39), DiversityGroups(by="none")):
        assert groups(bare) == {}
        assert groups.values(bare).isnan().all()
        assert groups.protocol(bare) == "none"
    assert DiversityGroups(max_items=39, by="communities")(bare)  # asked for by name
    with pytest.raises(DataError, match="no item categories"):
        DiversityGroups(by="categories").values(bare)
    assert DiversityGroups()(of([1, 2], [1, 2])) == {}  # nobody shares anything


def test_the_protocol_says_what_decides_the_groups():
    world = planted(num_users=5)
    bare = replace(world, categories=None)
    assert DiversityGroups().protocol(world) == "5 by entropy of categories"
    assert DiversityGroups(seed=1).protocol(world) == "5 by entropy of categories"  # where a seed decides nothing
    assert DiversityGroups(4, "simpson", seed=1).protocol(bare) == "4 by simpson of communities (seed 1)"


@pytest.mark.parametrize(("name", "value"), [("num_groups", 1), ("max_items", -1), ("seed", -1), ("seed", 2**63)])
def test_options_out_of_range(name, value):
    limit = "below" if value > 0 and name == "seed" else r"at least \d \("
    with pytest.raises(ValueError, match=rf"'{name}' must be {limit}.*got {value}\)"):
        DiversityGroups(**{name: value})


@pytest.mark.parametrize(("name", "value"), [("measure", "entrop"), ("by", "community")])
def test_options_that_are_not_there(name, value):
    with pytest.raises(ValueError, match=rf"'{name}' must be '\w+', .* or '\w+' \(got '{value}'\)"):
        DiversityGroups(**{name: value})
