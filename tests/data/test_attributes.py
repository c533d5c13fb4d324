"""Files with categories and titles of items, beside tables and sequences of interactions."""

import gzip
import json
import math

import polars as pl
import pytest

from graphmi.data import DataError, Interactions, open_data, with_attributes

LOG = pl.DataFrame({"user_id": [1, 1, 2, 2], "item_id": [10, 20, 30, 40]})
DATA = Interactions.from_frame(LOG)


def write(folder, content, name):
    path = folder / name
    content = content if isinstance(content, bytes) else content.encode()
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return path


def categories(data):
    found = {item: set() for item in data.items.ids}
    for item, category in zip(data.categories.item.tolist(), data.categories.category.tolist(), strict=True):
        found[data.items.ids[item]].add(data.categories.names[category])
    return found


@pytest.mark.parametrize("name", ["attributes.json", "attributes.json.gz"])
def test_lists_of_categories(tmp_path, name):
    # Item 99 has no interaction, item 20 no attribute and item 30 is not in the file.
    content = json.dumps({"10": [3, None, 1], "40": [3, math.nan], "20": [None], "99": [5], "x": [1]})
    data = with_attributes(DATA, write(tmp_path, content, name))
    assert data.categories.names == ("1", "3")
    assert categories(data) == {10: {"1", "3"}, 20: set(), 30: set(), 40: {"3"}}
    assert data.titles is None


TABLE = """item_id,category,title
10,drama,"Up, and away"
10,film,Up
40,drama,Down
20,unknown,
99,other,Nowhere
"""


@pytest.mark.parametrize("name", ["items.csv", "items.csv.gz"])
def test_a_table_has_categories_and_titles(tmp_path, name):
    data = with_attributes(DATA, write(tmp_path, TABLE, name))
    assert categories(data) == {10: {"drama", "film"}, 20: set(), 30: set(), 40: {"drama"}}
    assert data.categories.names == ("drama", "film")
    assert data.titles == ("Up, and away", "20", "30", "Down")


@pytest.mark.parametrize("kind", [pl.List(pl.String), pl.Array(pl.String, 2)])
def test_a_table_may_have_other_columns_and_lists(tmp_path, kind):
    path, kinds = tmp_path / "items.parquet", pl.Series([["a", "b"], None], dtype=kind)
    pl.DataFrame({"sku": [10, 20], "kind": kinds, "price": [1.5, 2.5]}).write_parquet(path)
    data = with_attributes(DATA, path, item="sku", category="kind")
    assert categories(data) == {10: {"a", "b"}, 20: set(), 30: set(), 40: set()}
    assert data.titles is None
    for title in ("One", 1984):
        pl.DataFrame({"item_id": [30], "title": [title]}).write_parquet(path)
        data = with_attributes(DATA, path)
        assert (data.titles, data.categories) == (("10", "20", str(title), "40"), None)


def test_beside_logs_and_sequences(tmp_path):
    items = write(tmp_path, "sku;kind\n007;tea\n7;coffee\n", "items.csv")
    log = write(tmp_path, "user_id,sku,kind\na,007,of the log\na,7,x\nb,007,x\n", "log.csv")
    data = open_data(log, item="sku", category="kind", attributes=str(items))
    assert categories(data) == {"007": {"tea"}, "7": {"coffee"}}
    assert open_data(log, item="sku", category="kind").categories.names == ("of the log", "x")
    sequences = write(tmp_path, "1 10 20\n2 30 40\n", "sequences.txt")
    table = write(tmp_path, TABLE, "table.csv")
    data = open_data(sequences, format="sequences", attributes=str(table))
    assert categories(data)[40] == {"drama"}
    data = open_data(sequences, format="sequences", category="title", attributes=str(table))
    assert categories(data)[40] == {"Down"}


@pytest.mark.parametrize(
    ("name", "content", "options", "message"),
    [
        ("a.json", "{", {}, "the file is not JSON"),
        ("a.json", "[1]", {}, "must hold a list of categories per item"),
        ("a.json", '{"10": 3}', {}, "must hold a list of categories per item"),
        ("a.json", '{"10": ["a"], "20": [["b"]]}', {}, r"categories must be text or numbers \(got \['b'\]\)"),
        ("a.json", '{"10": [%s]}' % ("9" * 5000), {}, "the file is not JSON"),
        ("a.json", b"\xff", {}, "the file is not UTF-8 text"),
        ("a.json", "{}", {"category": "kind"}, r"JSON has no columns: leave out 'category' \(got 'kind'\)"),
        (
            "a.csv",
            "item_id,kind\n10,a\n",
            {},
            "neither a column 'title' nor one of categories among 'item_id'",
        ),
        ("a.csv", "item_id,kind\n10,a\n", {"category": "genre"}, r"no column 'genre' among 'item_id', 'kind'"),
        ("a.csv", "sku,category\n10,a\n", {}, r"no column 'item_id' among 'sku', 'category'"),
        ("a.csv", "item_id,category\n11,a\n", {}, r"none of its items .* is 'item_id' the column of their ids\?"),
        ("a.csv", "", {}, "the file is empty"),
        ("a.csv", "item_id,title\n10,a, b\n20,c\n", {}, "a line has more fields than there are columns, or the first"),
        ("a.csv", "item_id,title\n10,a\n20,b, c\n", {}, "a line has more fields than there are columns, or the first"),
        ("a.csv", b"item_id,title\n10,caf\xe9\n", {}, "cannot be read"),
        ("a.json", "[" * 100_000, {}, "the file is not JSON"),
        ("a.json", '{"11": ["x"]}', {}, "none of its items is among those of the interactions"),
    ],
)
def test_files_that_cannot_be_used(tmp_path, name, content, options, message):
    path = write(tmp_path, content, name)
    with pytest.raises(DataError, match=rf"^{path}: .*{message}"):
        with_attributes(DATA, path, **options)


def test_no_file(tmp_path):
    for name in ("missing.json", "missing.csv"):
        with pytest.raises(FileNotFoundError, match=r"there is no file"):
            with_attributes(DATA, tmp_path / name)


def test_tables_in_memory_are_told_where_to_go():
    with pytest.raises(DataError, match=r"takes a name or a path \(got a DataFrame\); Interactions\.from_frame takes"):
        open_data(LOG)


def test_titles_are_no_lists_and_no_categories_are_none(tmp_path):
    path = tmp_path / "items.parquet"
    pl.DataFrame({"item_id": [10], "title": [["a"]]}).write_parquet(path)
    with pytest.raises(DataError, match=r"titles must be text or numbers \(got List"):
        with_attributes(DATA, path)
    table = write(tmp_path, 'item_id:token,title,category\n10,"",\n10,Ten,\n20,Twenty,unknown\n', "items.csv")
    for name in ("item_id", "item_id:token"):
        data = with_attributes(DATA, table, item=name)
        assert (data.titles, data.categories) == (("Ten", "Twenty", "30", "40"), None)
