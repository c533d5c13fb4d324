from dataclasses import replace

import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from graphmi.data import Dataset, Interactions, LeaveOneOut, RandomSplit, graph, planted, to_graph

EDGE, REVERSE = ("user", "interacts", "item"), ("item", "rev_interacts", "user")


def of(pairs, **columns):
    users, items = zip(*pairs, strict=True)
    return Interactions.from_frame(pl.DataFrame({"user_id": users, "item_id": items, **columns}))


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=30), st.data())
def test_graph_equals_a_naive_loop(pairs, data):
    times = data.draw(st.lists(st.integers(0, 4), min_size=len(pairs), max_size=len(pairs)))
    interactions = of(pairs, time=times, rating=[float(row) for row in range(len(pairs))])
    first = {}
    for row in sorted(range(len(pairs)), key=lambda row: (times[row], row), reverse=True):
        first[int(interactions.user[row]), int(interactions.item[row])] = row
    edges = sorted(first)
    reverse = sorted((item, user) for user, item in edges)
    built = to_graph(interactions)
    assert built[EDGE].edge_index.T.tolist() == [list(edge) for edge in edges]
    assert built[REVERSE].edge_index.T.tolist() == [list(edge) for edge in reverse]
    assert built[EDGE].time.tolist() == [times[first[edge]] for edge in edges]
    assert built[EDGE].weight.tolist() == [first[edge] for edge in edges]
    assert built[REVERSE].time.tolist() == [times[first[user, item]] for item, user in reverse]
    assert built[REVERSE].weight.tolist() == [first[user, item] for item, user in reverse]
    assert built.validate()


def test_graph_has_training_edges_only_and_all_nodes():
    data = of([("u", 1), ("u", 2), ("u", 3), ("v", 4)], time=[1, 2, 3, 4]).with_categories([1, 4, 4], ["x", "x", "y"])
    dataset = LeaveOneOut()(data)
    built = dataset.graph()
    assert (built["user"].num_nodes, built["item"].num_nodes) == (dataset.num_users, dataset.num_items) == (2, 4)
    assert built[EDGE].edge_index.tolist() == [[0, 1], [0, 3]]
    assert built["item"].category.tolist() == [[1, 0], [0, 0], [0, 0], [1, 1]]
    assert built["item"].category.dtype == torch.float32
    assert built["item"].category_names == ["x", "y"]
    assert "weight" not in built[EDGE]
    assert "time" not in LeaveOneOut()(replace(data, time=None)).graph()[EDGE]


def test_graph_leaves_out_categories_that_are_too_many(monkeypatch):
    data = of([("u", 1), ("u", 2)]).with_categories([1, 2], ["x", "y"])
    monkeypatch.setattr(graph, "_MAX_DENSE_CATEGORIES", 3)
    assert "category" not in to_graph(data)["item"]


def test_graph_round_trip():
    data = of([(0, 1), (1, 0), (1, 1)], time=[3, 2, 1], weight=[1.0, 2.0, 0.5]).with_categories([0, 1], ["y", "x"])
    assert Interactions.from_hetero(to_graph(data)).fingerprint() == data.fingerprint()


def test_fingerprint_tells_splits_apart():
    data = of([(0, item) for item in range(10)], time=list(range(10)))
    marks = {split(data).fingerprint() for split in (LeaveOneOut(), RandomSplit(seed=0), RandomSplit(seed=1))}
    assert len(marks) == 3
    assert LeaveOneOut()(data).fingerprint() in marks


@pytest.mark.parametrize("name", ["train", "valid", "test", "valid_history", "test_history"])
def test_fingerprint_is_of_every_part(name):
    dataset = LeaveOneOut()(of([(user, item) for user in range(3) for item in range(4)]))
    part = getattr(dataset, name)
    fewer = replace(dataset, **{name: part.take(torch.arange(1, len(part)))})
    assert fewer.fingerprint() != dataset.fingerprint()


def test_printed_they_say_how_much_there_is():
    data = planted(num_users=50, num_items=40, num_clusters=4)
    dataset = LeaveOneOut()(data)
    rows = f"{len(data):,} rows, 50 users, 40 items"
    assert repr(data) == f"Interactions({rows}; time, categories)"
    assert repr(replace(data, time=None, categories=None)) == f"Interactions({rows})"
    assert repr(dataset) == (
        f"Dataset(train={len(data) - 100:,}, valid=50, test=50; 50 users, 40 items; {dataset.protocol['split']})"
    )
    assert repr(data.users) == "Vocabulary(50 ids: 0, 1, 2, ...)"
    assert repr(of([("a", 1), ("b", 1)]).users) == "Vocabulary(2 ids: 'a', 'b')"
    assert repr(data.categories) == "Categories(4 names, 40 pairs)"


def test_parts_share_their_vocabularies():
    data = of([(0, 1), (0, 2), (0, 3)])
    other = of([(0, 1), (0, 2), (0, 4)])
    with pytest.raises(ValueError, match="'test' must have the vocabularies of 'train'"):
        Dataset(data, data, other, data, data, {})
    with pytest.raises(ValueError, match="'part' must be 'valid' or 'test'"):
        Dataset(data, data, data, data, data, {}).targets("train")
