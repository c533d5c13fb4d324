"""Files with categories, titles and vectors of items, beside tables and sequences of interactions."""

import gzip
import json
import math
from dataclasses import replace

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch

from graphmi.data import DataError, Interactions, LeaveOneOut, open_data, planted, to_graph, with_attributes
from graphmi.data.attributes import describe_items
from graphmi.models import InterestGCN
from graphmi.vectors import vectors as exported

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
    pl.DataFrame({"sku": [10, 20], "item_id": [30, 40], "kind": kinds, "price": [1.5, 2.5]}).write_parquet(path)
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
            "no column 'title', 'vector' or 'category' among 'item_id', 'kind'; name that of categories",
        ),
        ("a.csv", "item_id,kind\n10,a\n", {"category": "genre"}, r"no column 'genre' among 'item_id', 'kind'"),
        ("a.csv", "sku,category\n10,a\n", {}, r"no column 'item_id' among 'sku', 'category'"),
        ("a.csv", "sku,category\n10,a\n", {"item": "id"}, r"no column 'id' among 'sku', 'category'"),
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


@pytest.mark.parametrize("kind", [pl.List(pl.Float64), pl.Array(pl.Float32, 2), pl.List(pl.Int8)])
def test_a_table_has_vectors(tmp_path, kind):
    """Item 30 is not in the table and item 20 has none there; item 99 has no interaction."""
    path = tmp_path / "items.parquet"
    vectors = pl.Series([[1, 2], None, [3, -4], [5, 6]], dtype=kind)
    pl.DataFrame({"item_id": [40, 20, 10, 99], "vector": vectors}).write_parquet(path)
    data = with_attributes(DATA, path)
    assert data.vectors.dtype == torch.float32
    assert data.vectors.tolist() == [[3, -4], [0, 0], [0, 0], [1, 2]]
    assert (data.titles, data.categories) == (None, None)
    assert torch.equal(to_graph(data)["item"].x, data.vectors)


def test_vectors_that_graphmi_exports_are_read(tmp_path):
    data = planted(num_users=30, num_items=40, num_clusters=4)
    _, items = exported(data, InterestGCN(LeaveOneOut()(data).graph(), embedding_dim=8))
    items.write_parquet(tmp_path / "items.parquet")
    read = with_attributes(data, tmp_path / "items.parquet")
    assert read.vectors.tolist() == items["vector"].to_list()
    log = write(tmp_path, "user_id,sku\na,3\na,7\nb,3\n", "log.csv")
    assert torch.equal(open_data(log, item="sku", attributes=tmp_path / "items.parquet").vectors, read.vectors[[3, 7]])
    _, items = exported(data, InterestGCN(LeaveOneOut()(data).graph(), embedding_dim=8, score="pair_max"))
    items.write_parquet(tmp_path / "items.parquet")
    with pytest.raises(DataError, match=r"items\.parquet: item 0 has several vectors; give each item one"):
        with_attributes(data, tmp_path / "items.parquet")


@pytest.mark.parametrize(
    ("vectors", "message"),
    [
        (["1 2", "3 4"], r"vectors must be lists of numbers, as Parquet has them \(got String\)"),
        ([["1"], ["2"]], r"vectors must be lists of numbers \(got List\(String\)\)"),
        ([[1.0], [1.0, 2.0]], r"vectors must all have as many numbers \(got 1, 2\)"),
        ([[1.0, 2.0], [None, 2.0]], "1 vectors have a number that is missing or not finite .* that of item 20"),
        ([[math.nan], [math.inf]], "2 vectors have a number that is missing or not finite .* that of item 10"),
        ([[1e300], [1.0]], "1 vectors have a number that is missing or not finite in float32"),
        (pl.Series([None, None], dtype=pl.List(pl.Float32)), "none of the items with interactions has a vector"),
        (pl.Series([[], []], dtype=pl.List(pl.Float32)), r"vectors must all have as many numbers \(got 0\)"),
    ],
)
def test_vectors_that_cannot_be_used(tmp_path, vectors, message):
    path = tmp_path / "items.parquet"
    pl.DataFrame({"item_id": [10, 20], "vector": vectors}).write_parquet(path)
    with pytest.raises(DataError, match=rf"^{path}: {message}"):
        with_attributes(DATA, path)


@pytest.mark.parametrize(
    "vectors",
    [
        [[1, 2], [3, 4]],
        np.array([[1.0, 2], [3, 4]]),
        pd.Series([[1, 2], [3, 4]]),
        pd.Series([np.array([1, 2]), np.array([3, 4])]),
        torch.tensor([[1.0, 2], [3, 4]], dtype=torch.bfloat16),
        torch.tensor([[1.0, 2], [3, 4]], requires_grad=True).to_sparse(),
    ],
    ids=lambda vectors: type(vectors).__name__,
)
def test_vectors_from_memory(vectors):
    data = DATA.with_vectors([30, 10], vectors)
    assert data.vectors.tolist() == [[3, 4], [0, 0], [1, 2], [0, 0]]
    assert DATA.with_vectors([99, 30], vectors, ignore_unknown=True).vectors.tolist()[2] == [3, 4]
    with pytest.raises(DataError, match="99, which has the items with interactions; ignore_unknown=True skips them"):
        DATA.with_vectors([30, 99], vectors)
    with pytest.raises(DataError, match="item 30 has several vectors; give each item one"):
        DATA.with_vectors([30, 30], vectors)
    for items in ([30], [10, 20, 30]):
        with pytest.raises(DataError, match=rf"there are {len(items)} items and 2 vectors"):
            DATA.with_vectors(items, vectors)
    with pytest.raises(DataError, match="none of the items with interactions has a vector"):
        DATA.with_vectors([98, 99], vectors, ignore_unknown=True)


@pytest.mark.parametrize(
    "vectors", [[[1], [1, 2]], [["a"], ["b"]], {10: [1.0]}, 3.0, [1.0, 2.0], torch.ones(2, 0), pl.Series([1.0, 2.0])]
)
def test_what_is_no_matrix(vectors):
    wrong = r"numbers, and every vector|\[number, size\], both|lists of numbers \(got Float64\)"
    with pytest.raises(DataError, match=rf"vectors must be ({wrong})"):
        DATA.with_vectors([10, 20], vectors)


@pytest.mark.parametrize("kind", [pl.List(pl.Float32), pl.Array(pl.Int64, 2)])
def test_what_is_no_vector(kind):
    some = pl.Series([[1, 2], None], dtype=kind)
    with pytest.raises(DataError, match=r"vectors must all have as many numbers \(got none, 2\)"):
        DATA.with_vectors([10, 20], some)
    table = pl.DataFrame({"item_id": [10, 20], "vector": some}).vstack(
        pl.DataFrame({"item_id": [99], "vector": some[:1]})
    )
    assert describe_items(DATA, table).vectors.tolist() == [[1, 2], [0, 0], [0, 0], [0, 0]]


def test_vectors_go_with_their_items():
    data = DATA.with_vectors([10, 20, 30, 40], torch.arange(8).view(4, 2))
    part = data.take(torch.tensor([1, 3]))
    assert torch.equal(part.vectors, data.vectors)
    assert part.compact().vectors.tolist() == [[2, 3], [6, 7]]
    assert repr(data) == "Interactions(4 rows, 2 users, 4 items; vectors)"
    assert len({DATA.fingerprint(), data.fingerprint(), replace(data, vectors=-data.vectors).fingerprint()}) == 3
    again = Interactions.from_hetero(to_graph(data))
    assert torch.equal(again.vectors, data.vectors)
    assert "x" not in to_graph(DATA)["item"]
    for wrong in (data.vectors[:3], data.vectors[0], data.vectors[:, None], data.vectors[0, 0], data.vectors.double()):
        with pytest.raises(ValueError, match=r"'vectors' must be torch.float32 of shape \(4, size\) \(got torch.float"):
            replace(DATA, vectors=wrong)
