"""Accounts that several people share."""

import json
from dataclasses import replace
from itertools import groupby
from types import SimpleNamespace

import polars as pl
import pytest
import torch

from graphmi.cli import main
from graphmi.data import LeaveOneOut, planted
from graphmi.data.vocabulary import Vocabulary
from graphmi.recommender import Recommender
from graphmi.restore import restore
from graphmi.run import RunFolder
from graphmi.typing import Representations
from graphmi.usage import UsageError

DATA = "planted:num_users=61,num_items=40,num_clusters=4,interactions_per_user=8"


@pytest.fixture
def interactions():
    return planted(num_users=61, num_items=40, num_clusters=4, interactions_per_user=8)


def _pairs(found, interactions):
    return sorted(zip(interactions.users.decode(found.user), interactions.items.decode(found.item), strict=True))


def test_accounts_of_one_person_are_the_data(interactions):
    from accounts import accounts

    table, dataset = accounts(interactions, people=1), LeaveOneOut()(interactions)
    users = dict(table.select("user_id", "person").iter_rows())
    for part in ("train", "valid", "test"):
        rows = table.filter(part=part).select("user_id", "item_id").iter_rows()
        mine = [(interactions.users.decode(torch.tensor([users[account]]))[0], item) for account, item in rows]
        found = dataset.train if part == "train" else dataset.targets(part)
        assert sorted(mine) == _pairs(found, interactions)


def histories(interactions):
    """Return the items of each person, in time."""
    own = {user: [] for user in range(61)}
    for row in torch.argsort(interactions.time, stable=True).tolist():
        own[int(interactions.user[row])].append(interactions.items.decode(interactions.item[row : row + 1])[0])
    return own


def test_people_take_turns(interactions):
    from accounts import accounts

    table = accounts(interactions, people=4, seed=1)
    assert table["person"].n_unique() == 60  # one is left over
    own = histories(interactions)
    for _, rows in table.group_by("user_id", maintain_order=True):
        assert rows["person"].n_unique() == 4
        assert rows["time"].to_list() == list(range(len(rows)))
        shares, seen = [], set()
        for person, item, part in rows.select("person", "item_id", "part").iter_rows():
            place = own[person].index(item)
            shares.append((place + 0.5) / len(own[person]))
            assert item not in seen
            seen.add(item)
            left = rows.filter(person=person)["item_id"].to_list()
            assert part == {1: "test", 2: "valid"}.get(len(left) - left.index(item), "train")
        assert shares == sorted(shares)
        for person in rows["person"].unique():
            assert set(own[person]) <= seen  # what is missing, another of the account has met before


def test_people_stay_for_some_items(interactions):
    from accounts import accounts

    own = histories(interactions)
    by_item, table = (accounts(interactions, people=2, seed=1, at_a_time=each) for each in (1, 3))
    same = ["user_id", "person"]
    assert table.select(same).unique().sort(same).equals(by_item.select(same).unique().sort(same))  # who is together
    for _, rows in table.group_by("user_id", maintain_order=True):
        turns = [
            (person, own[person].index(item) // 3) for person, item in rows.select("person", "item_id").iter_rows()
        ]
        distinct = [turn for turn, _ in groupby(turns)]
        assert len(distinct) == len(set(turns))  # nobody comes between
        assert [turn for _, turn in distinct] == sorted(turn for _, turn in distinct)  # and each has its turn


def test_nothing_at_a_time_is_one_sentence(interactions):
    from accounts import accounts

    with pytest.raises(UsageError, match=r"'--at-a-time' must be at least 1 \(got 0\)"):
        accounts(interactions, people=2, at_a_time=0)


def test_another_seed_draws_other_accounts(interactions):
    from accounts import accounts

    first, again, other = (accounts(interactions, people=2, seed=seed) for seed in (0, 0, 1))
    assert first.equals(again)
    assert not first.equals(other)


def test_too_many_people_are_one_sentence(interactions):
    from accounts import accounts

    with pytest.raises(UsageError, match=r"'--people' must be from 1 to 61, all that there are \(got 62\)"):
        accounts(interactions, people=62)


def test_interests_of_people():
    """Two interests, an item each way: what is nearest is counted by hand."""
    from accounts import told_apart

    history = pl.DataFrame(
        {"user_id": [0, 0, 0, 0, 0], "person": [1, 1, 2, 2, 2], "interest": [0, 1, 1, 1, 0], "item_id": range(5)}
    )
    targets = pl.DataFrame({"user_id": [0, 0], "person": [1, 2], "interest": [0, 1], "item_id": [5, 6]})
    # person 1: one of two own, one of three others; person 2: two of three own, one of two others
    assert told_apart(targets, history) == pytest.approx(
        {"as own items": (1 / 2 + 2 / 3) / 2, "as others'": (1 / 3 + 1 / 2) / 2}
    )


def test_the_nearest_interest_of_each_pair(interactions):
    from accounts import nearest

    dataset = LeaveOneOut()(interactions)
    items, interests = torch.randn(40, 3), torch.randn(61, 2, 3)
    model = torch.nn.Module()
    model.forward = lambda batch: Representations(interests=interests[batch.user], items=items)
    pairs = dataset.known("test")
    ids = [*zip(interactions.users.decode(pairs.user), interactions.items.decode(pairs.item), strict=True)]
    person = pl.DataFrame({"user_id": [one for one, _ in ids], "item_id": [one for _, one in ids], "person": 7})
    found = nearest(SimpleNamespace(model=model, dataset=dataset), person, pairs)
    expected = {
        (user, item): int((interests[u] @ items[i]).argmax())
        for (user, item), u, i in zip(ids, pairs.user.tolist(), pairs.item.tolist(), strict=True)
    }
    assert {
        (user, item): interest for user, item, interest in found.select("user_id", "item_id", "interest").iter_rows()
    } == expected


def test_how_people_are_served(tmp_path, monkeypatch, capsys):
    import accounts

    folder, out = tmp_path / "accounts", tmp_path / "people.json"
    monkeypatch.setattr("sys.argv", ["accounts.py", "make", "--data", DATA, "--people", "3", "--out", str(folder)])
    assert accounts.main() == 0
    split = [word for part in ("train", "valid", "test") for word in (f"--split.{part}", str(folder / f"{part}.csv"))]
    words = ["train", "comirec-sa", "--data", str(folder / "interactions.csv"), "--split", "GivenSplit", *split]
    runs = [tmp_path / arm / seed for arm, seed in (("four", "0"), ("four", "1"), ("two", "0"))]
    for run in runs:
        number = "4" if run.parent.name == "four" else "2"
        options = ["--trainer.epochs", "1", "--model.extractor.num_interests", number, "--seed", run.name]
        assert main([*words, *options, "--out", str(run)]) == 0
    capsys.readouterr()
    drawn = []
    monkeypatch.setattr(accounts, "save", lambda draw, title, cells, path: drawn.append((cells, path)))
    monkeypatch.setattr("sys.argv", ["accounts.py", "people", *map(str, runs), "--out", str(out)])
    assert accounts.main() == 0
    shown, content = capsys.readouterr().out, json.loads(out.read_text())
    assert "less four" in shown
    results = [json.loads((run / "result.json").read_text()) for run in runs]
    assert content["arms"]["four"]["ndcg@20"] == [result["metrics"]["ndcg@20"] for result in results[:2]]
    places = [[values[f"person {place}"] for place in (1, 2, 3)] for values in content["arms"].values()]
    [(cells, path)] = drawn
    assert path == tmp_path / "people.png"
    assert [cell["at"] for cell in cells.values()] == [(arm, place) for arm in ("four", "two") for place in (1, 2, 3)]
    assert [cell["values"]["recall@20"] for cell in cells.values()] == [values for arm in places for values in arm]
    for run, of_people in zip(results, [*zip(*places[0], strict=True), *zip(*places[1], strict=True)], strict=True):
        assert sum(of_people) / 3 == pytest.approx(run["metrics"]["recall@20"], abs=1e-6)  # a target of each
    means = [sum(values["ndcg@20"]) / len(values["ndcg@20"]) for values in content["arms"].values()]
    assert content["less four"]["two"]["difference"] == pytest.approx(means[1] - means[0], abs=1e-6)


def test_hits_of_people_with_a_quota(tmp_path):
    """Counted by hand from the lists: who has most items first, of equals the one with the higher number."""
    import accounts

    folder, run = tmp_path / "accounts", tmp_path / "run"
    table = accounts.accounts(planted(num_users=41, num_items=40, num_clusters=4, interactions_per_user=10), 2)
    accounts.make(table, folder)
    split = [word for part in ("train", "valid", "test") for word in (f"--split.{part}", str(folder / f"{part}.csv"))]
    words = ["train", "comirec-sa", "--data", str(folder / "interactions.csv"), "--split", "GivenSplit", *split]
    options = ["--trainer.epochs", "1", "--model.extractor.num_interests", "2", "--out", str(run)]
    assert main([*words, *options]) == 0
    restored = restore(RunFolder(run))
    lists = Recommender(restored.dataset.known("test"), restored.model, 20, quota=6).table()
    listed = set(lists.select("user_id", "item_id").iter_rows())
    assert lists.group_by("user_id").len()["len"].max() == 12
    hits = {1: [], 2: []}
    for (account,), rows in table.group_by("user_id"):
        size = {person: len(rows.filter(person=person)) for person in rows["person"].unique()}
        order = sorted(size, key=lambda person: (size[person], person), reverse=True)
        for person, item in rows.filter(part="test").select("person", "item_id").iter_rows():
            hits[order.index(person) + 1].append((account, item) in listed)
    found = accounts.people(restored, quota=6)
    for place, values in hits.items():
        assert sum(values) > 0
        assert found[f"person {place}"] == pytest.approx(sum(values) / len(values))


def test_ids_with_leading_zeros_stay_what_they_are(tmp_path):
    import accounts

    text = planted(num_users=20, num_items=40, num_clusters=4, interactions_per_user=8)
    ids = Vocabulary.of([f"{number:04d}" for number in range(40)])
    accounts.make(accounts.accounts(replace(text, items=ids), 2), tmp_path)
    first = (tmp_path / "interactions.csv").read_text().splitlines()[1].split(",")[1]
    assert len(first) == 4
    split = [word for part in ("train", "valid", "test") for word in (f"--split.{part}", str(tmp_path / f"{part}.csv"))]
    words = ["train", "popularity", "--data", str(tmp_path / "interactions.csv"), "--split", "GivenSplit", *split]
    assert main([*words, "--out", str(tmp_path / "run")]) == 0
    run = restore(RunFolder(tmp_path / "run"))
    found = accounts.people(run)
    assert (found["person 1"] + found["person 2"]) / 2 == pytest.approx(
        run.folder.read_result()["metrics"]["recall@20"], abs=1e-6
    )


@pytest.mark.parametrize("named", [False, True])
def test_data_without_people_is_one_sentence(tmp_path, named):
    import accounts

    path = tmp_path / "plain.csv"
    pl.DataFrame({"user_id": [0, 0, 0, 1, 1, 1], "item_id": [0, 1, 2, 0, 2, 3]}).write_csv(path)
    assert main(["train", "popularity", "--data", DATA if named else str(path), "--out", str(tmp_path / "run")]) == 0
    with pytest.raises(UsageError, match=r"has no people: write accounts with 'accounts.py make'"):
        accounts.people(restore(RunFolder(tmp_path / "run")))
