"""The graph around one user."""

import io

import networkx as nx
import polars as pl
import pytest
import torch

from graphmi.data import Interactions, ego_graph


@pytest.fixture
def train():
    rows = {
        "user_id": ["ann"] * 4 + ["bob"] * 2 + ["cid"] * 3 + ["dan"],
        "item_id": [30, 10, 20, 10, 10, 20, 20, 30, 40, 40],
        "time": [1, 2, 3, 9, 4, 5, 6, 7, 8, 9],
        "rating": [5.0, 4.0, 3.0, 1.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0],
    }
    data = Interactions.from_frame(pl.DataFrame(rows))
    return data.with_categories([10, 10, 20, 40], ["old", "odd", "old", "new"]).with_titles([10, 30], ["Ten", "Thirty"])


def named(graph, kind):
    return [graph.nodes[node]["label"] for node in graph if graph.nodes[node]["kind"] == kind]


def test_user_items_and_categories(train):
    graph = ego_graph(train, 0)
    assert named(graph, "user") == ["ann"]
    assert set(named(graph, "item")) == {"Ten", "20", "Thirty"}  # the id where there is no title
    assert set(named(graph, "category")) == {"odd", "old"}
    assert named(graph, "interest") == []
    assert graph.nodes["user", 0] == {"ego": True, "kind": "user", "index": 0, "label": "ann"}
    assert graph.edges[("user", 0), ("item", 0)] == {"weight": 4, "time": 2}  # the earliest of repeated pairs
    assert {graph.nodes[node]["label"] for node in graph["item", 0]} == {"ann", "odd", "old"}
    assert graph.number_of_edges() == 3 + 3


def test_interests_by_index_are_in_the_order_of_time(train):
    graph = ego_graph(train, 0, interests=torch.tensor([1, 0, -1]))  # of items 30, 10, 20
    assert named(graph, "interest") == ["interest 1", "interest 2"]
    assert set(graph["interest", 0]) == {("user", 0), ("item", 0)}
    assert set(graph["interest", 1]) == {("user", 0), ("item", 2)}
    assert graph.edges[("interest", 1), ("item", 2)] == {"weight": 1}


def test_interests_by_weight_of_chosen_items(train):
    weights = torch.tensor([[0.25, 0.0], [0.75, 1.0], [0.0, 0.0]])
    graph = ego_graph(train, 0, items=torch.tensor([1, 0]), interests=weights)
    assert set(named(graph, "item")) == {"20", "Ten"}
    assert graph.edges[("interest", 0), ("item", 1)]["weight"] == 0.25
    assert not graph.has_edge(("interest", 0), ("item", 0))
    assert set(graph["interest", 2]) == {("user", 0)}  # an interest that nothing feeds


def test_others_are_those_with_most_of_the_items(train):
    graph = ego_graph(train, 0, num_others=5)
    assert named(graph, "user") == ["ann", "bob", "cid"]
    assert set(graph["user", 2]) == {("item", 1), ("item", 2)}  # none of the items that only others have
    assert "ego" not in graph.nodes["user", 1]
    assert named(ego_graph(train, 0, num_others=1), "user") == ["ann", "bob"]  # a tie: the lower index
    assert named(ego_graph(train, 0, items=torch.tensor([2]), num_others=1), "user") == ["ann", "cid"]


def test_data_that_knows_little():
    plain = Interactions.from_frame(pl.DataFrame({"user_id": [1, 2], "item_id": [5, 6]}))
    graph = ego_graph(plain, 1)
    assert dict(graph.nodes) == {
        ("user", 1): {"ego": True, "kind": "user", "index": 1, "label": "2"},
        ("item", 1): {"kind": "item", "index": 1, "label": "6"},
    }
    assert list(graph.edges(data=True)) == [(("user", 1), ("item", 1), {})]
    nobody = ego_graph(plain.take(torch.tensor([0])), 1, interests=torch.zeros(0, dtype=torch.int64), num_others=2)
    assert list(nobody) == [("user", 1)]


def test_other_programs_can_read_it(train):
    file = io.BytesIO()
    nx.write_graphml(ego_graph(train, 0, interests=torch.tensor([0, 1, 1]), num_others=2), file)
    assert b"Thirty" in file.getvalue()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"user": 4}, r"'user' must be in \[0, 4\) \(got 4\)"),
        ({"items": torch.tensor([0, 3])}, r"'items' must be items of user 0 \(got 3\)"),
        ({"items": torch.tensor([0, 0])}, r"'items' must name each item once"),
        ({"interests": torch.tensor([0, 1])}, r"'interests' must be \[3\] or \[num_interests, 3\]"),
        ({"interests": torch.zeros(1, 1, 3)}, r"'interests' must be \[3\]"),
        ({"num_others": -1}, "'num_others' must be at least 0"),
    ],
)
def test_mistakes_are_named(train, options, message):
    with pytest.raises(ValueError, match=message):
        ego_graph(train, **{"user": 0, **options})
