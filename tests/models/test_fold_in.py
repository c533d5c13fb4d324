import pickle

import pytest
import torch

from graphmi.config import experiment
from graphmi.data import HeldOutUsers, Histories, LeaveOneOut, planted
from graphmi.models import InterestGCN
from graphmi.models.arrangement import Arrangement
from graphmi.models.item_reader import ItemReader
from graphmi.nn import CAGCNWeight, MultiInterestConv
from graphmi.typing import Batch, FoldsIn, HistoryReader


@pytest.fixture(autouse=True, params=["in rows", "by edges"])
def way(request, monkeypatch):
    if request.param == "by edges":
        monkeypatch.setattr("graphmi.models.fold_in._FEW", 0)
    return request.param


@pytest.fixture(scope="module")
def dataset():
    return LeaveOneOut()(planted(num_users=60, num_items=40, num_clusters=4))


def model(dataset, **options):
    torch.manual_seed(0)
    return InterestGCN(dataset.graph(), num_interests=3, embedding_dim=8, num_layers=2, **options).double().eval()


def ask(made, dataset, users, part="valid"):
    history, mask = Histories(dataset.known(part)).read(users, made.max_length)
    return made(Batch(users, history=history, mask=mask))


OPTIONS = [
    {},
    {"center": "sum", "rescale": True, "temperature": 0.1, "normalize": True, "share_interests": True},
    {"score": "pair_max", "center": "node_norm", "attention": "sigmoid"},
    {"attention": "neighbor", "dynamic_interests": True, "rescale": True},
    {"score": "symmetric"},
]


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: ", ".join(options) or "default")
def test_by_all_training_items_a_user_is_what_it_is_in_the_graph(dataset, options):
    users = torch.tensor([5, 0, 59])
    found, expected = (
        ask(model(dataset, max_length=1000, **options), dataset, users),
        model(dataset, **options)(Batch(users)),
    )
    torch.testing.assert_close(found.interests, expected.interests)
    torch.testing.assert_close(found.items, expected.items)
    assert (found.interest_mask is None) == (expected.interest_mask is None)
    if found.interest_mask is not None:
        assert torch.equal(found.interest_mask, expected.interest_mask)


@pytest.mark.parametrize("known", [True, False], ids=["of the graph", "new"])
def test_the_latest_items_stand_for_all(dataset, known):
    made, user = model(dataset, max_length=3), 7
    items = Histories(dataset.test_history).read(torch.tensor([user]), 3)[0][0]
    assert dataset.valid.item[dataset.valid.user == user] in items  # what validation asked for is known in the test
    if known:
        found = ask(made, dataset, torch.tensor([user]), "test").interests[0]
    else:
        found = made.fold_in(torch.cat([items, items[:1]]).unsqueeze(0), torch.ones(1, 4).bool()).interests[0]
    train = dataset.train
    own_degree = int((train.user == user).sum()) if known else 3
    centers = made.propagate()[1]
    expected = centers[0][user].repeat(3, 1) if known else torch.zeros(3, 8, dtype=torch.float64)
    for layer, conv in enumerate(made.convs):
        for item in items.tolist():
            center = centers[layer][60 + item]
            share = (conv.generator.interest @ center).softmax(0)
            weight = (own_degree / int((train.item == item).sum())) ** 0.5 / 3
            expected = expected + weight * share.unsqueeze(1) * center
    torch.testing.assert_close(found, expected / 3, rtol=1e-6, atol=1e-8)  # the weights are of single precision


def test_padding_repetitions_and_nothing_known(dataset):
    made = model(dataset)
    history = torch.tensor([[3, 9, 0, 0], [3, 9, 9, 3], [1, 1, 1, 1]])
    mask = torch.tensor([[True, True, False, False], [True] * 4, [False] * 4])
    interests = made.fold_in(history, mask).interests
    torch.testing.assert_close(interests[0], interests[1])
    assert (interests[2] == 0).all()


@pytest.mark.parametrize("max_length", [None, 3])
@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: ", ".join(options) or "default")
def test_a_reader_says_of_anybody_what_fold_in_does_and_knows_no_user(dataset, options, max_length):
    made = model(dataset, max_length=max_length, **options)
    reader, history = made.as_reader(), torch.randint(40, (30, 6))
    history[:, 4] = history[:, 1]
    mask = torch.arange(6) < torch.randint(0, 7, (30, 1))
    assert not mask.any(1).all()
    found, expected = reader(Batch(torch.arange(30), history=history, mask=mask)), made.fold_in(history, mask)
    torch.testing.assert_close(found.interests, expected.interests, rtol=1e-6, atol=1e-8)
    assert torch.equal(found.items, expected.items)
    assert not any(tensor.requires_grad for tensor in (found.items, *reader.buffers()))
    assert (found.interest_mask is None) == (expected.interest_mask is None)
    if found.interest_mask is not None:
        assert torch.equal(found.interest_mask, expected.interest_mask)
    assert isinstance(reader, HistoryReader) == (max_length is not None)
    assert {len(tensor) for tensor in reader.state_dict().values()} <= {2, 3, 40}  # layers, interests, items
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(1)
    again = reader(Batch(torch.arange(30), history=history, mask=mask))
    assert torch.equal(again.interests, found.interests)


@pytest.mark.parametrize("attention", ["interest", "neighbor"])
def test_a_reader_in_half_precision_knows_items_of_more_users_than_it_has_numbers(attention):
    center, nobody = torch.tensor([[1.0, -2.0]]).half(), torch.tensor([-1])
    conv = MultiInterestConv(2, 1, attention=attention)
    reader = ItemReader([conv], [center], torch.tensor([90_000]), Arrangement(), center)
    found = reader(Batch(nobody, history=torch.tensor([[0]]), mask=torch.tensor([[True]]))).interests
    torch.testing.assert_close(found[0], center / 300 / 2)  # LightGCN's weight, and two layers


def test_who_can_be_no_reader_says_why(dataset):
    class Own(MultiInterestConv):
        """A layer of one's own."""

    made = model(dataset)
    with pytest.raises(ValueError, match="the batch has none"):
        made.as_reader()(Batch(torch.tensor([1])))
    made.convs[1] = Own(8, 3)
    with pytest.raises(ValueError, match=r"layers of one's own cannot be read in rows, .*: use 'fold_in'"):
        made.as_reader()
    with pytest.raises(ValueError, match=r"a graph model needs layers, .*got 2 layers, its weights and 'edge_dot'"):
        model(dataset, center="edge_dot").as_reader()


def test_an_item_that_training_did_not_have_counts_as_had_once(dataset):
    graph, items = dataset.graph(), ("user", "interacts", "item")
    edges = graph[items].edge_index
    graph[items].edge_index = edges[:, edges[1] != 9]
    made = InterestGCN(graph, num_interests=1, embedding_dim=8, num_layers=1).double().eval()
    found = made.fold_in(torch.tensor([[9]]), torch.tensor([[True]])).interests[0, 0]
    torch.testing.assert_close(found, made.propagate()[1][0][60 + 9] / 2)  # of degree 1, over layers 0 and 1
    read = made.as_reader()(Batch(torch.tensor([-1]), history=torch.tensor([[9]]), mask=torch.tensor([[True]])))
    torch.testing.assert_close(read.interests[0, 0], found)


def test_of_longer_histories_the_latest_are_read(dataset):
    history = torch.tensor([[3, 9, 1, 5], [7, 2, 4, 0], [6, 0, 0, 0]])
    mask = torch.arange(4) < torch.tensor([[4], [3], [1]])
    found = model(dataset, max_length=2).fold_in(history, mask).interests
    real = torch.tensor([[True, True], [True, True], [True, False]])
    expected = model(dataset).fold_in(torch.tensor([[1, 5], [2, 4], [6, 0]]), real).interests
    torch.testing.assert_close(found, expected)


def test_by_edges_layers_see_the_items_that_are_read_and_no_others(dataset, monkeypatch):
    monkeypatch.setattr("graphmi.models.fold_in._FEW", 0)
    made, seen = model(dataset), []
    for conv in made.convs:
        conv.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0][0].size(0)))
    made.fold_in(torch.tensor([[3, 30, 3], [30, 7, 0]]), torch.tensor([[1, 1, 1], [1, 1, 0]]).bool())
    assert seen[-2:] == [3, 3]  # 3, 7 and 30


def test_who_says_so_reads_histories(dataset):
    assert isinstance(model(dataset, max_length=2), HistoryReader)
    assert not isinstance(model(dataset), HistoryReader)
    assert isinstance(model(dataset), FoldsIn)


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: ", ".join(options) or "default")
def test_the_items_that_are_read_add_up_to_the_interests(dataset, options):
    made, users = model(dataset, max_length=3, **options), torch.tensor([4, 11, 7])
    history, mask = Histories(dataset.test_history).read(users, 3)
    batch = Batch(users.where(users != 7, -1), history=history, mask=mask)  # the last one is not in the graph
    found = made.contributions()(batch)
    assert [sorted(found.item[found.row == row].tolist()) for row in range(3)] == history.sort().values.tolist()
    torch.testing.assert_close(found.rest.index_add(0, found.row, found.vector), made(batch).interests)


def test_histories_are_read_with_max_length_only(dataset):
    users = torch.tensor([1, 2])
    history, mask = Histories(dataset.train).read(users, 2)
    plain = model(dataset)
    assert torch.equal(plain(Batch(users, history=history, mask=mask)).interests, plain(Batch(users)).interests)
    with pytest.raises(ValueError, match="the batch has none"):
        model(dataset, max_length=2)(Batch(users))


def test_training_does_not_read_them(dataset):
    made, users = model(dataset, max_length=2).train(), torch.tensor([1, 2])
    history, mask = Histories(dataset.train).read(users, 2)
    found = made(Batch(users, history=history, mask=mask)).interests
    torch.testing.assert_close(found, model(dataset)(Batch(users)).interests)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_layers": 0}, "got 0 layers"),
        ({"weight": CAGCNWeight()}, "other weights"),
        ({"center": "edge_dot"}, "and 'edge_dot'"),
    ],
)
def test_what_cannot_be_read_is_refused(dataset, options, message):
    with pytest.raises(ValueError, match=message):
        InterestGCN(dataset.graph(), max_length=5, **options)
    with pytest.raises(ValueError, match=message):
        InterestGCN(dataset.graph(), **options).fold_in(torch.tensor([[3]]), torch.tensor([[True]]))


def test_the_longest_history_has_items(dataset):
    with pytest.raises(ValueError, match="'max_length' must be at least 1"):
        InterestGCN(dataset.graph(), max_length=0)


def test_graph_models_serve_users_that_training_did_not_have(tmp_path):
    small = experiment(
        "interest-gcn-softmax", "planted", split="HeldOutUsers", model__max_length=50, model__embedding_dim=16,
        trainer__epochs=4, trainer__progress=False, groups__by="none", replicates=0,
    )  # fmt: skip
    dataset = small.dataset()
    assert isinstance(small.split, HeldOutUsers)
    trained = small.train(dataset)
    chance = 20 / dataset.num_items
    assert trained.test.metrics["recall@20"] > 2 * chance


@pytest.mark.parametrize("options", [*OPTIONS, {"max_length": 5}], ids=lambda options: ", ".join(options) or "default")
def test_a_model_that_has_propagated_answers_as_the_model_did(dataset, options):
    made, users = model(dataset, **options), torch.tensor([5, 0, 59])
    history, mask = Histories(dataset.known("valid")).read(users, 5)
    batch = Batch(users, history=history, mask=mask)
    expected, folded = made(batch), made.fold_in(history, mask)
    ready = made.propagated()
    names = made.state_dict().keys()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(1.0)
    for each in (ready, pickle.loads(pickle.dumps(ready))):
        for found, said in ((each(batch), expected), (each.fold_in(history, mask), folded)):
            torch.testing.assert_close(found.interests, said.interests, rtol=0, atol=0)
            torch.testing.assert_close(found.items, said.items, rtol=0, atol=0)
            assert said.interest_mask is None or torch.equal(found.interest_mask, said.interest_mask)
        assert each.state_dict().keys() == names
    assert not torch.equal(made(batch).items, expected.items)
    assert torch.equal(made.propagated()(batch).items, made(batch).items)


@pytest.mark.parametrize("score", ["user_virtual", "pair_max"])  # only the first has a way for few users
def test_a_model_that_has_propagated_does_so_once_and_trains_like_any(dataset, monkeypatch, score):
    ready, users = model(dataset, score=score).propagated(), Batch(torch.tensor([5]))
    asked = []
    monkeypatch.setattr(InterestGCN, "propagate", lambda self: asked.append(self))
    folded = ready.fold_in(torch.tensor([[3]]), torch.tensor([[True]]))
    assert folded.items is ready(users).items  # they are at hand, too
    assert not asked
    monkeypatch.undo()
    ready.train()(users).items.sum().backward()
    assert ready.embedding.weight.grad.any()
    with torch.no_grad():
        ready.embedding.weight.add_(1.0)
    again = ready.eval().propagated()
    assert not torch.equal(again(users).items, folded.items)
