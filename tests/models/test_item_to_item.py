"""Weights between items against loops and against the problems that they solve."""

import numpy as np
import pytest
import torch

from graphmi.config import preset_config
from graphmi.data import Histories, planted
from graphmi.data.graph import to_graph
from graphmi.models import EASE, ItemKNN, item_to_item
from graphmi.recommender import Recommender
from graphmi.typing import Batch

DATA = "planted:num_users=60,num_items=30,interactions_per_user=6"


@pytest.fixture
def train():
    return planted(num_users=60, num_items=30, interactions_per_user=6)


@pytest.fixture
def x(train):
    """The pairs as a matrix."""
    matrix = np.zeros((train.num_users, train.num_items))
    matrix[train.user, train.item] = 1
    return matrix


def test_ease_is_a_ridge_regression_of_each_item_on_the_others(train, x):
    weight = EASE(to_graph(train), regularization=4.0).weight.numpy()
    for item in range(train.num_items):
        others = np.delete(x, item, axis=1)
        ridge = np.linalg.solve(others.T @ others + 4.0 * np.eye(others.shape[1]), others.T @ x[:, item])
        np.testing.assert_allclose(np.delete(weight[item], item), ridge, atol=1e-5)
        assert weight[item, item] == 0


def test_neighbors_by_shrunk_cosine(train, x):
    weight = ItemKNN(to_graph(train), neighbors=3, shrinkage=2.0).weight.numpy()
    for item in range(train.num_items):
        cosine = np.zeros(train.num_items)
        for other in set(range(train.num_items)) - {item}:
            both = sum(x[user, item] * x[user, other] for user in range(train.num_users))
            cosine[other] = both / (np.sqrt(x[:, item].sum() * x[:, other].sum()) + 2.0)
        np.testing.assert_allclose(np.sort(weight[item])[-3:], np.sort(cosine)[-3:], rtol=1e-5)
        kept = np.flatnonzero(weight[item])
        assert len(kept) <= 3
        np.testing.assert_allclose(weight[item][kept], cosine[kept], rtol=1e-5)


@pytest.mark.parametrize("make", [EASE, ItemKNN])
def test_weights_are_made_from_the_graph_and_not_saved(train, make):
    assert not make(to_graph(train)).state_dict()


@pytest.mark.parametrize("make", [EASE, ItemKNN])
def test_a_pair_that_comes_twice_counts_once(train, make):
    graph = to_graph(train)
    expected = make(graph).weight
    edges = graph["user", "interacts", "item"].edge_index
    graph["user", "interacts", "item"].edge_index = torch.cat([edges, edges[:, :9]], dim=1)
    torch.testing.assert_close(make(graph).weight, expected)


def test_an_item_without_users_has_no_weight(train):
    graph = to_graph(train)
    graph["item"].num_nodes += 1
    weight = ItemKNN(graph, shrinkage=0.0).weight
    assert weight.isfinite().all()
    assert not weight[-1].any()


class TestScores:
    def test_sums_over_the_training_items(self, train, x):
        model = EASE(to_graph(train))
        out = model(Batch(user=torch.tensor([5, 2])))
        scores = (out.interests @ out.items.T).squeeze(1)
        for row, user in enumerate((5, 2)):
            expected = [sum(float(model.weight[item, had]) for had in np.flatnonzero(x[user])) for item in range(30)]
            np.testing.assert_allclose(scores[row], expected, rtol=1e-4, atol=1e-6)

    def test_sums_over_the_history_and_not_its_padding(self, train):
        model = ItemKNN(to_graph(train), max_length=3)
        history, mask = torch.tensor([[4, 7, 1], [3, 0, 0]]), torch.tensor([[True] * 3, [True, False, False]])
        out = model(Batch(user=torch.tensor([0, 1]), history=history, mask=mask))
        scores = (out.interests @ out.items.T).squeeze(1)
        torch.testing.assert_close(scores[0], model.weight[:, [4, 7, 1]].sum(1))
        torch.testing.assert_close(scores[1], model.weight[:, 3])

    def test_of_somebody_new_and_of_items_that_come_twice(self, train, x):
        model = EASE(to_graph(train))
        items = torch.from_numpy(np.flatnonzero(x[5]))
        history = torch.cat([items, items[:1], items.new_zeros(1)]).unsqueeze(0)
        mask = torch.arange(history.size(1)).unsqueeze(0) < len(items) + 1
        known = model(Batch(user=torch.tensor([5])))
        torch.testing.assert_close(model.fold_in(history, mask).interests, known.interests)
        assert model.fold_in(history, torch.zeros_like(mask)).interests.count_nonzero() == 0

    def test_of_longer_histories_the_latest_are_read(self, train):
        model = ItemKNN(to_graph(train), max_length=2)
        history, mask = torch.tensor([[4, 7, 1], [3, 8, 0]]), torch.tensor([[True] * 3, [True, True, False]])
        had = [row.nonzero().flatten().tolist() for row in model.fold_in(history, mask).interests[:, 0]]
        assert had == [[1, 7], [3, 8]]
        own = type("Own", (ItemKNN,), {"forward": ItemKNN.forward, "fold_in": ItemKNN.fold_in})
        assert own.as_reader is None  # whoever has a 'forward' of its own says what of these is right
        assert own(to_graph(train)).double().fold_in(history, mask).interests.sum().item() == 5
        assert model.double().fold_in(history, mask).interests.dtype == torch.float64

    @pytest.mark.parametrize("max_length", [None, 4])
    def test_are_sums_of_what_items_contribute(self, train, max_length):
        model = ItemKNN(to_graph(train), max_length=max_length)
        histories = Histories(train)
        users = torch.tensor([7, 0, 3])
        history, mask = histories.read(users, 4)
        history = history.where(mask, history[:, :1])
        batch = Batch(
            user=users, history=torch.cat([history, history[:, :1]], 1), mask=torch.cat([mask, mask[:, :1]], 1)
        )
        out, parts = model(batch), model.contributions()(batch)
        summed = parts.rest.index_add(0, parts.row, parts.vector)
        torch.testing.assert_close(summed, out.interests)
        assert parts.row.tolist() == sorted(parts.row.tolist())
        [first, *_] = parts.row.bincount().tolist()
        alone = (parts.vector[:first, 0] @ out.items.T).sum(0)
        torch.testing.assert_close(alone, out.interests[0, 0] @ out.items.T)

    def test_need_histories_where_they_are_read(self, train):
        with pytest.raises(ValueError, match="users are read by their histories, and the batch has none"):
            EASE(to_graph(train), max_length=2)(Batch(user=torch.tensor([0])))

    @pytest.mark.parametrize("make", [EASE, ItemKNN])
    def test_are_of_users_of_the_graph_where_no_histories_are_read(self, train, make):
        more, model = planted(num_users=90, num_items=30, interactions_per_user=6), make(to_graph(train))
        assert len(Recommender(more, model)([59])[0]) == 10
        with pytest.raises(ValueError, match="has 60 users and the data one with the number 89, counted from 0"):
            Recommender(more, model)([3, 89])
        assert len(Recommender(more, model.reading(5))([89])[0]) == 10

    def test_what_is_read_can_be_changed(self, train):
        model = ItemKNN(to_graph(train))
        assert model.reading(3).max_length == 3
        assert not hasattr(model.reading(3).reading(None), "max_length")
        assert not hasattr(model, "max_length")


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        (EASE, {"regularization": 0.0}, r"'regularization' must be positive \(got 0.0\)"),
        (EASE, {"max_length": 0}, r"'max_length' must be at least 1 \(got 0\)"),
        (ItemKNN, {"neighbors": 0}, r"'neighbors' must be at least 1 \(got 0\)"),
        (ItemKNN, {"shrinkage": -1.0}, r"'shrinkage' must be at least 0 \(got -1.0\)"),
    ],
)
def test_arguments_out_of_range(train, model, options, message):
    with pytest.raises(ValueError, match=message):
        model(to_graph(train), **options)


def test_too_many_items_for_weights_between_all(train, monkeypatch):
    monkeypatch.setattr(item_to_item, "_MOST_ITEMS", 29)
    with pytest.raises(ValueError, match=r"for 29 items at most \(got 30\): filter the data"):
        EASE(to_graph(train))


@pytest.mark.parametrize("preset", ["ease", "item-knn"])
def test_known_items_are_those_of_validation_too_at_the_test(preset):
    known, training = {}, {}
    for found, length in ((known, {"model__max_length": 1000}), (training, {})):
        experiment = preset_config(preset, DATA, **length, replicates=0).experiment()
        dataset = experiment.dataset()
        trained = experiment.train(dataset)
        found |= {"valid": trained.valid["ndcg@20"], "test": trained.test.per_user["ndcg@20"]}
    assert known["valid"] == training["valid"]  # before validation the training items are all that is known
    assert not torch.equal(known["test"], training["test"])
