"""The parsers on real files, where they are at hand: beside the repository, or in the cache."""

import gzip
import json
import os
from datetime import date, timedelta
from pathlib import Path

import pytest
import torch

from graphmi.data.sources import SOURCES, cache_folder, open_data

BESIDE = Path(__file__).parents[3].parent / "shared" / "data"
SHARED = Path(os.environ.get("GRAPHMI_SHARED_DATA", BESIDE))


def parse(name, folder, **options):
    if not folder.exists():
        pytest.skip(f"{folder.name} is not at hand")
    return SOURCES[name].parse(folder, **options)


def sizes(data):
    return data.num_users, data.num_items, len(data)


def test_ml_100k():
    data = parse("ml-100k", cache_folder() / "ml-100k")
    assert sizes(data) == (943, 1682, 100_000)
    assert len(data.categories.names) == 18
    assert data.titles[:2] == ("Toy Story (1995)", "GoldenEye (1995)")
    # The first row of the file, and the earliest and latest rating.
    assert (data.users.decode(data.user[:1]), data.items.decode(data.item[:1])) == ([196], [242])
    assert (int(data.time.min()), int(data.time.max())) == (874724710, 893286638)


@pytest.mark.slow
def test_ml_100k_from_the_network(tmp_path, monkeypatch):
    monkeypatch.setenv("GRAPHMI_DATA", str(tmp_path))
    assert sizes(SOURCES["ml-100k"].load()) == (943, 1682, 100_000)


def test_ml_1m_in_chronological_order():
    data = parse("ml-1m", SHARED / "ml-1m")
    assert sizes(data) == (6040, 3416, 999_611)
    assert len(data.categories.names) == 18
    assert len(data.categories.item.unique()) == data.num_items
    assert "Toy Story (1995)" in data.titles
    # The order is a position in the user's history: 0, 1, 2, ... for each.
    order = torch.argsort(data.user * 10_000 + data.time)
    first = torch.cat([torch.tensor([0]), data.user.bincount().cumsum(0)[:-1]])
    assert torch.equal(data.time[order], torch.arange(len(data)) - first[data.user[order]])


def test_ml_1m_as_published():
    data = parse("ml-1m", cache_folder() / "ml-1m")
    if len(data) != 999_611:
        assert sizes(data) == (6040, 3706, 1_000_209)


def test_movietweetings():
    folder = SHARED / "movietweetings-100k"
    data = parse("movietweetings", folder)
    assert sizes(data) == (16_554, 10_506, 100_000)
    assert len(data.categories.names) == 25
    lines = (folder / "ratings.dat").read_text().splitlines()
    user, item, rating, time = lines[-1].split("::")
    assert data.users.decode(data.user[-1:]) == [int(user)]
    assert data.items.decode(data.item[-1:]) == [item]
    assert (float(data.weight[-1]), int(data.time[-1])) == (float(rating), int(time))


def test_gowalla():
    data = parse("gowalla", SHARED / "gowalla")
    assert sizes(data) == (29_858, 40_981, 1_027_370)
    parts = [parse("gowalla", SHARED / "gowalla", part=part) for part in ("train", "valid", "test")]
    assert sum(map(len, parts)) == len(data)
    # The LightGCN paper has 810,128 training pairs, which here are train and valid.
    assert (len(parts[0]) + len(parts[1]), len(parts[2])) == (810_128, 217_242)


def test_sequences_with_attributes():
    folder = SHARED / "amazon-beauty"
    if not folder.exists():
        pytest.skip(f"{folder.name} is not at hand")
    attributes = folder / "item_attributes.json.gz"
    data = open_data(folder / "sequences.txt.gz", format="sequences", attributes=attributes)
    assert sizes(data) == (22_363, 12_101, 198_502)
    with gzip.open(folder / "sequences.txt.gz", "rt") as file:
        user, *items = map(int, file.read().splitlines()[-1].split())
    rows = data.user == data.users.encode([user])
    assert data.items.decode(data.item[rows]) == items
    assert data.time[rows].tolist() == list(range(len(items)))
    listed = json.loads(gzip.decompress(attributes.read_bytes()))
    item = int(data.item[rows][-1])
    found = {data.categories.names[index] for index in data.categories.category[data.categories.item == item]}
    assert found == set(map(str, listed[str(items[-1])]))


def test_a_table_with_a_column_of_categories():
    path = SHARED / "amazon-toys" / "interactions.csv.gz"
    if not path.exists():
        pytest.skip("amazon-toys is not at hand")
    data = open_data(path, time="reviewTime", weight="overall", category="class")
    assert sizes(data) == (19_412, 11_924, 167_597)
    assert len(data.categories.names) == 24
    assert data.categories.item.tolist() == list(range(data.num_items))  # each item has one
    days = (data.time.min().item() / 86_400, data.time.max().item() / 86_400)
    assert [str(date(1970, 1, 1) + timedelta(days=day)) for day in days] == ["2000-07-28", "2014-07-23"]


def test_the_order_of_the_rows_is_that_of_the_file():
    path = cache_folder() / "ml-100k" / "ml-100k.inter"
    if not path.exists():
        pytest.skip("ml-100k.inter is not at hand")
    lines = path.read_text().splitlines()[1:]
    data = parse("ml-100k", cache_folder() / "ml-100k")
    pairs = [tuple(map(int, line.split("\t")[:2])) for line in lines]
    assert list(zip(data.users.decode(data.user), data.items.decode(data.item), strict=True)) == pairs
