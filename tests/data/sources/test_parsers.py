"""Every parser on a small made-up file in the documented format of its source."""

import gzip
import shutil
from pathlib import Path

import pytest

from graphmi.data import DataError
from graphmi.data.interactions import Interactions
from graphmi.data.sources import SOURCES

FIXTURES = Path(__file__).parents[2] / "fixtures"
AMAZON = [("A1B2", "0001", 1400000000, 5), ("A3C4", "B00X", 1300000000, 3), ("A1B2", "B00X", 1350000000, 4)]


def rows(data: Interactions) -> list[tuple]:
    """Return (user id, item id, time, weight) of every row, in the order of the file."""
    times = [None] * len(data) if data.time is None else data.time.tolist()
    weights = [None] * len(data) if data.weight is None else data.weight.tolist()
    return list(zip(data.users.decode(data.user), data.items.decode(data.item), times, weights, strict=True))


def categories(data: Interactions) -> dict:
    """Return item id -> names of its categories."""
    known = data.categories
    items = data.items.decode(known.item)
    found: dict = {}
    for item, category in zip(items, known.category.tolist(), strict=True):
        found.setdefault(item, set()).add(known.names[category])
    return found


@pytest.fixture
def zipped(tmp_path):
    """Return the folder of the Amazon fixtures with the files gzipped as they are at home."""
    for path in (FIXTURES / "amazon").rglob("*.*"):
        target = tmp_path / path.relative_to(FIXTURES / "amazon")
        target.parent.mkdir(exist_ok=True)
        plain = path.suffix == ".csv" and "2023" not in path.parent.name
        if plain:
            shutil.copy(path, target)
        else:
            target.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes()))
    return tmp_path


@pytest.mark.parametrize("folder", ["ml-100k", "ml-100k-wheel"])
def test_ml_100k(folder):
    data = SOURCES["ml-100k"].parse(FIXTURES / folder)
    assert rows(data) == [(7, 3, 881250949, 4), (2, 1, 881250949, 5), (7, 1, 891717742, 3), (2, 3, 878887116, 1)]
    assert categories(data) == {1: {"Children's", "Sci-Fi"}}
    assert data.titles[0] == "Café Story (1995)"
    assert len(data.titles) == data.num_items == 2


def test_both_forms_of_ml_100k_are_the_same_data():
    original, wheel = (SOURCES["ml-100k"].parse(FIXTURES / folder) for folder in ("ml-100k", "ml-100k-wheel"))
    assert original.fingerprint() == wheel.fingerprint()


def test_ml_1m():
    data = SOURCES["ml-1m"].parse(FIXTURES / "ml-1m")
    assert rows(data) == [(1, 10, 978300760, 5), (1, 20, 978302109, 3), (2, 20, 978301968, 4)]
    assert categories(data) == {10: {"Drama", "Musical"}, 20: {"Animation", "Children's", "Comedy"}}
    assert data.titles == ("Misérables, Les (1995)", "Toy Tale (1996)")


def test_ml_1m_prefers_the_chronological_file(tmp_path):
    shutil.copytree(FIXTURES / "ml-1m", tmp_path, dirs_exist_ok=True)
    text = b"user_id\titem_id\trating\torder\n2\t20\t4\t0\n1\t20\t3\t0\n1\t10\t5\t1\n"
    (tmp_path / "ratings.chronological.tsv.gz").write_bytes(gzip.compress(text))
    assert rows(SOURCES["ml-1m"].parse(tmp_path)) == [(2, 20, 0, 4), (1, 20, 0, 3), (1, 10, 1, 5)]


def test_movietweetings():
    data = SOURCES["movietweetings"].parse(FIXTURES / "movietweetings")
    assert rows(data) == [
        (1, "0114508", 1381006850, 8),
        (2, "0102926", 1590309700, 9),
        (2, "0114508", 1381006860, 7),
    ]
    assert categories(data) == {"0102926": {"Crime", "Drama"}, "0114508": {"Action"}}
    assert data.titles == ("L'été (1991)", "Species (1995)")


def test_gowalla():
    folder = FIXTURES / "gowalla"
    parse = SOURCES["gowalla"].parse
    assert [row[:2] for row in rows(parse(folder))] == [(0, 5), (0, 6), (0, 7), (1, 5), (0, 8)]
    train, test = parse(folder, part="train"), parse(folder, part="test")
    assert [row[:2] for row in rows(test)] == [(0, 8)]
    assert len(train) == 4
    assert train.items == test.items
    with pytest.raises(DataError, match="'part' must be one of all, train, test"):
        parse(folder, part="valid")


@pytest.mark.parametrize("name", ["gowalla", "yelp2018", "amazon-book"])
def test_the_data_sets_of_lightgcn_are_fetched_by_their_names(monkeypatch, tmp_path, name):
    fetched = []
    monkeypatch.setattr("graphmi.data.sources.lightgcn.obtain", lambda folder, way: fetched.append((folder, way)))
    (tmp_path / "test.txt").write_text("0 1\n")
    SOURCES[name].fetch(tmp_path)
    [(folder, way)] = fetched
    assert (folder, way.file) == (tmp_path, "train.txt")
    assert way.url == f"https://raw.githubusercontent.com/gusye1234/LightGCN-PyTorch/master/data/{name}/train.txt"
    SOURCES[name].fetch(tmp_path, part="test")
    assert len(fetched) == 2


@pytest.mark.parametrize(("year", "core"), [(2014, 0), (2014, 5), (2018, 0), (2018, 5)])
def test_amazon(zipped, year, core):
    assert rows(SOURCES["amazon"].parse(zipped, year=year, core=core, category="Tiny")) == AMAZON


def test_amazon_2023_has_milliseconds(zipped):
    data = SOURCES["amazon"].parse(zipped, year=2023, category="Tiny")
    assert [(user, item, time // 1000, weight) for user, item, time, weight in rows(data)] == AMAZON
    assert data.time.tolist()[0] == 1400000000123


@pytest.mark.parametrize(
    ("year", "expected"),
    [
        (2014, {"0001": {"Balls", "Outdoor"}, "B00X": {"Toys"}}),
        (2018, {"0001": {"Balls"}}),
        (2023, {"0001": {"Balls"}}),
    ],
)
def test_amazon_products(zipped, year, expected):
    data = SOURCES["amazon"].parse(zipped, year=year, category="Tiny", products=True)
    assert categories(data) == expected
    assert data.titles == ("Bob's Ball", "Box" if year == 2023 else "B00X")


@pytest.mark.parametrize(
    ("options", "message"),
    [({"year": 2020}, "'year' must be 2014, 2018 or 2023"), ({"category": "../../x"}, "'category' must be a name")],
)
def test_amazon_refuses_other_options(tmp_path, options, message):
    for do in (SOURCES["amazon"].parse, SOURCES["amazon"].fetch):
        with pytest.raises(DataError, match=message):
            do(tmp_path, **options)


def test_retailrocket():
    parse = SOURCES["retailrocket"].parse
    folder = FIXTURES / "retailrocket"
    assert rows(parse(folder)) == [(257597, 355908, 1433221332117, None), (992329, 248676, 1433224214164, None)]
    assert rows(parse(folder, event="transaction")) == [(599528, 356475, 1433222276276, None)]
    assert len(parse(folder, event="all")) == 4
    with pytest.raises(DataError, match="'event' must be one of all, view, addtocart, transaction"):
        parse(folder, event="click")


def test_anime():
    data = SOURCES["anime"].parse(FIXTURES / "anime")
    assert rows(data) == [(1, 20, None, -1), (1, 24, None, 8), (3, 20, None, 9)]
    assert categories(data) == {20: {"Action", "Comedy", "Martial Arts"}}
    assert data.titles == ("Long, Long Tale", "Short Tale")


def test_epinions():
    parse = SOURCES["epinions"].parse
    expected = [(22605, 42915, None, 1), (22605, 5052, None, 4), (3, 5052, None, 5)]
    assert rows(parse(FIXTURES / "epinions")) == expected
    trust = parse(FIXTURES / "epinions", relation="trust")
    assert rows(trust) == [(22605, 42915, None, 1), (22605, 5052, None, 1)]


def test_cosmetics():
    data = SOURCES["cosmetics"].parse(FIXTURES / "cosmetics")
    assert rows(data) == [(463240011, 5773353, 1569888003, None), (562076640, 5802432, 1572566460, None)]
    assert categories(data) == {5773353: {"1487580005134238553"}, 5802432: {"1487580009286598681"}}
    assert len(SOURCES["cosmetics"].parse(FIXTURES / "cosmetics", event="all")) == 4
