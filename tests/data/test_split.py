import math
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
import torch
from hypothesis import assume, given, reject
from hypothesis import strategies as st

from graphmi.data import (
    DataError,
    Dataset,
    GivenSplit,
    HeldOutUsers,
    Interactions,
    LeaveOneOut,
    RandomSplit,
    TemporalSplit,
    deduplicate,
    read_interactions,
)
from graphmi.data.order import share
from graphmi.data.sequence_file import item_lists


@st.composite
def tables(draw, min_per_user=1):
    """Distinct pairs of up to 12 users in any order, with times that tie."""
    rows = []
    for user in range(draw(st.integers(3, 12))):
        rows += [(user, item) for item in draw(st.sets(st.integers(0, 15), min_size=min_per_user, max_size=12))]
    rows = draw(st.permutations(rows))
    times = draw(st.lists(st.integers(0, 20), min_size=len(rows), max_size=len(rows)))
    table = pl.DataFrame({"user_id": [u for u, _ in rows], "item_id": [i for _, i in rows], "time": times})
    return Interactions.from_frame(table)


def of(users, items, **columns):
    return Interactions.from_frame(pl.DataFrame({"user_id": users, "item_id": items, **columns}))


def rows(part):
    return list(zip(part.user.tolist(), part.item.tolist(), part.time.tolist(), strict=True))


def is_partition(data, *parts):
    return sorted(rows(data)) == sorted(row for part in parts for row in rows(part))


def check_in_matrix(data, dataset):
    assert is_partition(data, dataset.train, dataset.valid, dataset.test)
    assert rows(dataset.known("valid")) == rows(dataset.train)
    assert sorted(rows(dataset.known("test"))) == sorted(rows(dataset.train) + rows(dataset.valid))
    assert dataset.targets("valid") is dataset.valid
    assert dataset.targets("test") is dataset.test


def ordered(part):
    """Return every row in the order of time within its user, ties by row."""
    return sorted(rows(part), key=lambda row: (row[0], row[2]))


@given(tables())
def test_leave_one_out_equals_a_naive_loop(data):
    assume(max(data.user.bincount()) >= 3)
    dataset = LeaveOneOut()(data)
    check_in_matrix(data, dataset)
    valid, test = [], []
    for user in range(data.num_users):
        history = [row for row in rows(data) if row[0] == user]
        history.sort(key=lambda row: row[2])  # stable: ties by row
        if len(history) >= 3:
            valid.append(history[-2])
            test.append(history[-1])
    assert sorted(rows(dataset.valid)) == sorted(valid)
    assert sorted(rows(dataset.test)) == sorted(test)


def test_leave_one_out_without_times_goes_by_row():
    dataset = LeaveOneOut()(of([1, 2, 1, 1, 2], [9, 8, 3, 5, 7]))
    assert dataset.test.items.decode(dataset.test.item) == [5]
    assert dataset.valid.items.decode(dataset.valid.item) == [3]
    assert dataset.train.users.decode(dataset.train.user) == [1, 2, 2]  # user 2 has too few to give any
    assert dataset.protocol == {"split": "leave-one-out", "order": "row"}


RATIOS = [(0.8, 0.1, 0.1), (0.6, 0.2, 0.2), (0.1, 0.45, 0.45), (0.1, 0.1, 0.8), (0.1, 0.8, 0.1)]


@given(tables(), st.sampled_from(RATIOS), st.integers(0, 3))
def test_random_split_sizes(data, ratios, seed):
    assume(max(data.user.bincount()) >= 3)
    dataset = RandomSplit(ratios, seed)(data)
    check_in_matrix(data, dataset)
    for user, count in enumerate(data.user.bincount().tolist()):
        valid, test = ((part.user == user).sum().item() for part in (dataset.valid, dataset.test))
        if count < 3:
            assert valid == test == 0
        else:
            assert test == min(count - 2, max(1, math.floor(round(count * ratios[2], 9))))
            assert valid == min(count - 1 - test, max(1, math.floor(round(count * ratios[1], 9))))


def test_random_split_is_decided_by_its_seed_and_uniform():
    data = of([0] * 10, list(range(10)), time=[0] * 10)
    splits = [RandomSplit(seed=seed)(data) for seed in range(400)]
    assert RandomSplit(seed=7)(data).fingerprint() == splits[7].fingerprint()
    counts = torch.cat([dataset.test.item for dataset in splits]).bincount(minlength=10)
    assert ((counts - 40).double() ** 2 / 40).sum() < 27.9  # chi-square with 9 degrees of freedom, p = .001


@given(tables(), st.floats(0.05, 0.4), st.floats(0.05, 0.4))
def test_temporal_split_has_no_future_in_training(data, valid, test):
    try:
        dataset = TemporalSplit(valid, test)(data)
    except DataError:  # too few moments for three parts
        reject()
    later = [row for row in rows(data) if row[2] >= int(dataset.valid.time.min())]
    trained = {row[0] for row in rows(dataset.train)}
    assert is_partition(data.take(data.time < dataset.train.time.max() + 1), dataset.train)
    assert dataset.train.time.max() < dataset.valid.time.min()
    assert dataset.valid.time.max() < dataset.test.time.min()
    kept = rows(dataset.valid) + rows(dataset.test)
    assert set(kept) <= {row for row in rows(data) if row[0] in trained}
    assert len(dataset.train) + len(kept) + dataset.protocol["cold_user_interactions_removed"] == len(data)
    assert {row for row in later if row[0] in trained} <= set(kept)


def test_temporal_split_by_hand():
    data = of([1] * 8 + [2, 1], list(range(10)), time=list(range(10)))
    dataset = TemporalSplit(0.3, 0.2)(data)
    assert dataset.train.time.tolist() == [0, 1, 2, 3, 4]
    assert dataset.valid.time.tolist() == [5, 6, 7]
    assert dataset.test.time.tolist() == [9]  # 8 is of a user without training interactions
    assert dataset.protocol["cold_user_interactions_removed"] == 1


def test_temporal_split_that_cannot_be_made():
    with pytest.raises(DataError, match=r"needs times; .*time='NAME' .*--columns\.time='NAME'"):
        TemporalSplit()(of([1, 1, 1], [1, 2, 3]))
    with pytest.raises(DataError, match="leaves nothing for training"):
        TemporalSplit()(of([1, 1, 1], [1, 2, 3], time=[5, 5, 5]))


@given(tables(min_per_user=2), st.floats(0.1, 0.9), st.integers(0, 3))
def test_held_out_users(data, share, seed):
    dataset = HeldOutUsers(0.2, 0.2, share, seed)(data)
    assert is_partition(data, dataset.train, dataset.valid, dataset.test, dataset.known("valid"), dataset.known("test"))
    users = [set(part.user.tolist()) for part in (dataset.train, dataset.valid, dataset.test)]
    assert [len(group) for group in users[1:]] == [max(1, round(0.2 * data.num_users))] * 2
    assert not users[0] & users[1]
    assert not users[0] & users[2]
    assert not users[1] & users[2]
    for part in ("valid", "test"):
        targets, known = dataset.targets(part), dataset.known(part)
        for user in set(targets.user.tolist()):
            history = sorted((row for row in rows(data) if row[0] == user), key=lambda row: row[2])
            cut = max(1, math.floor(round(share * len(history), 9)))
            assert sorted(rows(known.take(known.user == user))) == sorted(history[:cut])
            assert sorted(rows(targets.take(targets.user == user))) == sorted(history[cut:])


def test_held_out_users_without_times_draws_the_history():
    data = of([user for user in range(10) for _ in range(5)], list(range(5)) * 10)
    histories = {tuple(HeldOutUsers(seed=seed)(data).known("test").item.tolist()) for seed in range(20)}
    assert len(histories) > 1
    assert HeldOutUsers()(data).protocol["order"] == "random"


def test_held_out_users_are_decided_by_the_seed():
    data = of([user for user in range(10) for _ in range(5)], list(range(5)) * 10, time=list(range(50)))
    assert len({tuple(HeldOutUsers(seed=seed)(data).test.user.unique().tolist()) for seed in range(20)}) > 1


def test_users_without_interactions_are_not_held_out():
    data = of([user for user in range(10) for _ in range(5)], list(range(5)) * 10, time=list(range(50)))
    fewer = data.take(data.user % 2 == 0)
    dataset = HeldOutUsers()(fewer)
    parts = (dataset.train, dataset.valid, dataset.test, dataset.known("valid"), dataset.known("test"))
    assert is_partition(fewer, *parts)
    assert [len(part) for part in parts] == [15, 1, 1, 4, 4]


@pytest.mark.parametrize(("count", "ratio", "number"), [(100, 0.29, 29), (10, 0.3, 3), (10, 0.29, 2), (2, 0.1, 1)])
def test_shares_are_rounded_down_as_one_does_by_hand(count, ratio, number):
    assert share(torch.tensor(count), ratio) == number


def test_held_out_users_need_two_interactions():
    with pytest.raises(DataError, match=r"2 users have only 1 interaction .* k_core .*--filter\.k_core 2"):
        HeldOutUsers()(of([1, 2, 3, 3], [1, 1, 1, 2]))
    with pytest.raises(DataError, match="leaves nothing for training"):
        HeldOutUsers()(of([1, 1, 2, 2], [1, 2, 1, 2]))


@pytest.mark.parametrize("split", [LeaveOneOut(), RandomSplit(), TemporalSplit(), HeldOutUsers()])
def test_repeated_pairs_are_refused(split):
    data = of([1, 2, 3] * 12, [*range(33), 0, 1, 2], time=range(36))
    with pytest.raises(DataError, match=r"3 rows repeat a user-item pair.*deduplicate"):
        split(data)
    assert len(split(deduplicate(data)).test)


@pytest.mark.parametrize("split", [LeaveOneOut(), RandomSplit()])
def test_too_few_interactions(split):
    with pytest.raises(DataError, match=r"no user has the 3 interactions .*the most is 2"):
        split(of([1, 1, 2], [1, 2, 1]))


@pytest.mark.parametrize(
    "make",
    [
        lambda: RandomSplit((0.8, 0.1, 0.2)),
        lambda: RandomSplit((1.0, 0.0, 0.0)),
        lambda: TemporalSplit(0.5, 0.5),
        lambda: HeldOutUsers(0, 0.1),
        lambda: HeldOutUsers(history=1),
        lambda: RandomSplit((math.nan, 0.5, 0.5)),
        lambda: RandomSplit((0.5, 0.5, math.nan)),
        lambda: TemporalSplit(math.nan, 0.1),
        lambda: HeldOutUsers(0.1, math.nan),
        lambda: RandomSplit(seed=2**63),
        lambda: HeldOutUsers(seed=2**64),
        lambda: GivenSplit("train", "test", seed=2**64),
    ],
)
def test_shares_and_seeds_out_of_range(make):
    with pytest.raises(ValueError, match="must be"):
        make()


def given_split(folder: Path, **parts: list[tuple[object, object]]) -> GivenSplit:
    for name, pairs in parts.items():
        lines = ["user_id,item_id", *(f"{user},{item}" for user, item in pairs)]
        (folder / name).write_text("\n".join(lines) + "\n")
    return GivenSplit(train=folder / "train", valid=folder / "valid", test=str(folder / "test"))


def test_given_split_takes_what_the_interactions_know(tmp_path):
    data = of([1, 1, 1, 2, 2], [10, 20, 30, 10, 10], time=[5, 6, 7, 9, 8]).with_categories([20], ["x"])
    split = given_split(tmp_path, train=[(2, 10), (1, 30)], valid=[(1, 10)], test=[(1, 20)])
    dataset = split(data)
    assert (dataset.num_users, dataset.num_items) == (2, 3)
    assert rows(dataset.train) == [(0, 2, 7), (1, 0, 8)]  # the earlier of the repeated pair
    assert rows(dataset.valid) == [(0, 0, 5)]
    assert rows(dataset.test) == [(0, 1, 6)]
    assert len(dataset.known("test")) == 3
    assert dataset.train.categories is data.categories
    assert dataset.protocol == {"split": "given", "files": "train, valid, test"}


def test_files_of_a_given_split_have_columns_of_any_name(tmp_path):
    files = [tmp_path / name for name in ("train", "test", "valid")]
    for path, item in zip(files, (10, 20, 30), strict=True):
        path.write_text(f"film,customer\n{item},1\n")
    data = of([1, 1, 1], [10, 20, 30], time=[5, 6, 7])
    dataset = GivenSplit(*files, user="customer", item="film")(data)
    assert [rows(part) for part in (dataset.train, dataset.test, dataset.valid)] == [
        [(0, 0, 5)],
        [(0, 1, 6)],
        [(0, 2, 7)],
    ]
    with pytest.raises(DataError, match=r"no column 'user_id' .*by the command, --split\.user="):
        GivenSplit(*files)(data)


@pytest.mark.parametrize(
    ("test", "message"),
    [
        ([(2, 20)], r"test: 1 of 1 pairs are not among the interactions"),
        ([(3, 20)], r"test: 1 of 1 ids are not in the vocabulary: 3"),
        ([(1, 10)], r"1 pairs come more than once in .*train.*valid.*test"),
        ([(1, 20), (1, 20)], r"1 pairs come more than once"),
    ],
)
def test_given_pairs_that_do_not_fit(tmp_path, test, message):
    data = of([1, 1, 1, 2], [10, 20, 30, 10])
    split = given_split(tmp_path, train=[(2, 10), (1, 30)], valid=[(1, 10)], test=test)
    with pytest.raises(DataError, match=message):
        split(data)


def pairs(part):
    return list(zip(part.user.tolist(), part.item.tolist(), strict=True))


def test_given_lists_are_the_same_pairs(tmp_path):
    data = of([1, 1, 1, 2, 2], [10, 20, 30, 10, 20])
    given = {"train": [(2, 10), (1, 30), (2, 20)], "valid": [(1, 10)], "test": [(1, 20)]}
    expected = given_split(tmp_path, **given)(data)
    for name, text in {"train": "1 30\n2 10 20\n", "valid": "2\n1 10 \n", "test": "1 20\n2 \n"}.items():
        (tmp_path / name).write_text(text)
    found = GivenSplit(tmp_path / "train", tmp_path / "test", tmp_path / "valid", lists=True)(data)
    for part in ("train", "valid", "test"):
        assert pairs(getattr(found, part)) == pairs(getattr(expected, part))
    assert found.protocol == expected.protocol


def test_without_a_validation_file_a_tenth_of_each_users_training_is_drawn(tmp_path):
    sizes = {1: 1, 2: 2, 3: 25, 4: 10}
    train = [(user, item) for user, size in sizes.items() for item in range(size)]
    test = [(user, 99) for user in sizes]
    given_split(tmp_path, train=train, test=test)
    data = of(*zip(*train, *[test[0]], *test[1:], strict=True))
    drawn = [GivenSplit(tmp_path / "train", tmp_path / "test", seed=seed)(data) for seed in (0, 0, 1)]
    for dataset in drawn:
        assert dataset.valid.user.bincount(minlength=4).tolist() == [0, 1, 2, 1]
        assert sorted(pairs(dataset.train) + pairs(dataset.valid) + pairs(dataset.test)) == sorted(pairs(data))
        assert len(dataset.test) == 4
    assert pairs(drawn[0].valid) == pairs(drawn[1].valid) != pairs(drawn[2].valid)
    assert drawn[2].protocol == {
        "split": "given",
        "files": "train, test",
        "valid": "a tenth of each user's training pairs",
        "seed": 1,
    }


def test_given_split_of_gowalla_as_lightgcn_has_it(shared_data):
    names = {part: shared_data / "gowalla" / f"{part}.txt.gz" for part in ("train", "valid", "test")}
    data = Interactions.from_frame(pl.concat(item_lists(path) for path in names.values()))
    dataset = GivenSplit(**names, lists=True)(data)
    assert [len(part) for part in (dataset.train, dataset.valid, dataset.test)] == [719081, 91047, 217242]


def test_given_split_of_movielens_100k(shared_data):
    names = {part: shared_data / "splits" / f"ml-100k-random-811.{part}.tsv.gz" for part in ("train", "valid", "test")}
    tables = {part: pl.read_csv(path, separator="\t") for part, path in names.items()}
    data = Interactions.from_frame(pl.concat(tables.values()).sample(fraction=1, shuffle=True, seed=0))
    dataset = GivenSplit(**names)(data)
    assert (dataset.num_users, dataset.num_items) == (943, 1682)
    for part, size in (("train", 80808), ("valid", 9596), ("test", 9596)):
        got: Interactions = getattr(dataset, part)
        assert len(got) == size
        pairs = set(zip(got.users.decode(got.user), got.items.decode(got.item), strict=True))
        assert pairs == set(tables[part].iter_rows())
    assert dataset.graph()["user", "interacts", "item"].edge_index.shape == (2, 80808)


def test_leave_one_out_of_movielens_1m(shared_data):
    data = read_interactions(shared_data / "ml-1m" / "ratings.chronological.tsv.gz")
    dataset = LeaveOneOut()(data)
    assert len(dataset.test) == len(dataset.valid) == 6040
    position = data.time.new_zeros(6040).scatter_reduce(0, data.user, data.time, "amax")
    assert torch.equal(dataset.test.time, position[dataset.test.user])
    assert torch.equal(dataset.valid.time, position[dataset.valid.user] - 1)


# --- validation becomes training


SPLITS = [LeaveOneOut(), RandomSplit(), TemporalSplit(valid=0.3, test=0.2), HeldOutUsers(valid=0.3, test=0.3)]


@given(tables(min_per_user=3), st.sampled_from(SPLITS))
def test_refit_trains_on_validation_and_what_was_known_there_and_keeps_the_test(data, split):
    try:
        dataset = split(data)
    except DataError:
        reject()
    refit = dataset.refit()
    expected = {row for part in (dataset.train, dataset.valid, dataset.known("valid")) for row in rows(part)}
    assert sorted(rows(refit.train)) == sorted(expected)  # none twice
    edges = {(user, item) for user, item, _ in expected}
    assert set(map(tuple, refit.graph()["user", "interacts", "item"].edge_index.T.tolist())) == edges
    assert rows(refit.test) == rows(dataset.test)
    assert rows(refit.known("test")) == rows(dataset.known("test"))
    assert refit.protocol == {**dataset.protocol, "trained on": "training and validation"}
    assert refit.fingerprint() != dataset.fingerprint()
    # Histories are in their order, ties too.
    histories, validated = (
        {user: [row for row in rows(part) if row[0] == user] for user in range(data.num_users)}
        for part in (refit.train, dataset.valid)
    )
    assert all(history[-len(last) :] == last for user, history in histories.items() if (last := validated[user]))


@given(tables(min_per_user=3), st.sampled_from(SPLITS))
def test_refit_on_all_leaves_nothing_to_be_found(data, split):
    try:
        dataset = split(data)
    except DataError:
        reject()
    refit = dataset.refit(test=True)
    parts = (dataset.train, dataset.valid, dataset.test, dataset.known("valid"), dataset.known("test"))
    assert sorted(rows(refit.train)) == sorted({row for part in parts for row in rows(part)})  # none twice
    assert rows(refit.known("valid")) == rows(refit.known("test")) == rows(refit.train)
    assert len(refit.targets("valid")) == len(refit.targets("test")) == 0
    assert refit.protocol == {**dataset.protocol, "trained on": "training, validation and test"}
    histories = {user: [row for row in rows(refit.train) if row[0] == user] for user in range(data.num_users)}
    tested = {user: [row for row in rows(dataset.test) if row[0] == user] for user in range(data.num_users)}
    assert all(history[-len(last) :] == last for user, history in histories.items() if (last := tested[user]))


def test_refit_on_all_trains_on_pairs_that_come_again():
    """In a split of files a test may have what training had: the history of a sequence model ends with it."""
    data = of([1, 1, 1, 1], [7, 8, 9, 7])
    masks = torch.eye(4, dtype=torch.bool)
    dataset = Dataset.from_rows(data, valid=masks[2], test=masks[3], protocol={})
    assert dataset.refit(test=True).train.item.tolist() == data.item.tolist()


@given(tables(min_per_user=3))
def test_refit_histories_are_those_known_in_the_test(data):
    dataset = LeaveOneOut()(data)
    assert ordered(dataset.refit().train) == ordered(dataset.known("test"))


def test_parts_that_follow_have_the_same_ids_and_what_both_have():
    one = of([1, 2], [7, 8], time=[3, 4], rating=[1.0, 2.0])
    two = replace(one, weight=None).take(torch.tensor([1]))
    both = one.followed_by(two)
    assert (both.user.tolist(), both.item.tolist(), both.time.tolist()) == ([0, 1, 1], [0, 1, 1], [3, 4, 4])
    assert both.weight is None
    assert one.followed_by(one).weight.tolist() == [1.0, 2.0, 1.0, 2.0]
    for other in (of([1, 3], [7, 8]), of([1, 2], [7, 9])):
        with pytest.raises(ValueError, match="must have their vocabularies"):
            one.followed_by(other)
