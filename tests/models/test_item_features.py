"""Features of items in both families of models, against models whose own vectors are what the features make of them."""

from functools import partial

import pytest
import torch
from torch import nn

from graphmi.data import Histories, PrefixLoader, TargetLoader, planted, to_graph
from graphmi.models import InterestGCN, SequenceModel
from graphmi.models.graph import item_features
from graphmi.nn import FeatureSum, ItemTower, LastPosition, SelfAttentiveExtractor, TransformerEncoder
from graphmi.program import interests_program
from graphmi.typing import Batch

USERS, ITEMS, DIM = 30, 50, 8


@pytest.fixture(scope="module")
def graph():
    data = planted(num_users=USERS, num_items=ITEMS, num_clusters=4, interactions_per_user=6)
    draws = torch.Generator().manual_seed(0)
    return to_graph(data.with_vectors(data.items.ids, torch.randn(ITEMS, 5, generator=draws)))


@pytest.fixture(scope="module")
def history():
    data = planted(num_users=USERS, num_items=ITEMS, num_clusters=4, interactions_per_user=6)
    return Histories(data), data


def summed(model, graph):
    """Return the own vectors of items and what their features add, as loops over items and features."""
    own, features = model.embedding.weight[-ITEMS:].tolist(), item_features(graph).tolist()
    weight = model.item_tower.map.weight.tolist()  # [dim, num_features]
    added = [[sum(w * f for w, f in zip(row, item, strict=True)) for row in weight] for item in features]
    return torch.tensor([[a + b for a, b in zip(*rows, strict=True)] for rows in zip(own, added, strict=True)])


def pair(make, graph):
    """Return a model with features, and one without whose item vectors are the sums."""
    torch.manual_seed(0)
    model, plain = make(item_tower=FeatureSum).double(), make().double()
    known = {name: value for name, value in model.state_dict().items() if "item_tower" not in name}
    plain.load_state_dict(known)
    with torch.no_grad():
        plain.embedding.weight[-ITEMS:] = summed(model, graph).double()
    return model, plain


def test_features_are_categories_and_vectors_that_are_centred_and_scaled(graph):
    found = item_features(graph)
    assert torch.equal(found[:, :4], graph["item"].category)
    torch.testing.assert_close(found[:, 4:].mean(0), torch.zeros(5), atol=1e-6, rtol=0)
    torch.testing.assert_close(found[:, 4:].square().sum(1).mean(), torch.tensor(1.0))
    differences = graph["item"].x - graph["item"].x.mean(0)
    torch.testing.assert_close(found[:, 4:] * (differences[0, 0] / found[0, 4]), differences)


def test_items_without_a_vector_have_zeros_and_do_not_count(graph):
    some = graph.clone()
    some["item"].x = torch.cat([graph["item"].x[:20], torch.zeros(30, 5)]).double()
    some["item"].x[3, 0] = 0
    found = item_features(some)[:, 4:]
    assert torch.equal(found.any(1), torch.arange(ITEMS) < 20)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found[:20].mean(0), torch.zeros(5), atol=1e-6, rtol=0)
    torch.testing.assert_close(found[:20].square().sum(1).mean(), torch.tensor(1.0))
    ones = torch.ones(ITEMS, 5)
    for same in (0 * ones, 0.1 * ones, 1e30 * ones, ones.long()):
        some["item"].x = same  # nothing is known, or nothing differs
        assert not item_features(some)[:, 4:].any()


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_vectors_of_any_size_are_scaled(graph, scale):
    other = graph.clone()
    other["item"].x = graph["item"].x * scale
    torch.testing.assert_close(item_features(other), item_features(graph))


@pytest.mark.parametrize("name", ["x", "category"])
def test_features_are_a_row_per_item(graph, name):
    for wrong in (torch.ones(ITEMS), torch.ones(ITEMS + 1, 2)):
        other = graph.clone()
        other["item"][name] = wrong
        with pytest.raises(ValueError, match=rf"graph\['item'\]\.{name} must be \[50, size\] \(got \[5"):
            SequenceModel(other, item_tower=FeatureSum)


GRAPHS = {
    "default": {},
    "sums": {"center": "sum", "normalize": True},
    "edge by edge": {"center": "edge_dot"},
    "pairs": {"score": "pair_max"},
    "one interest": {"num_interests": 1},
    "by the latest": {"max_length": 3},
}


@pytest.mark.parametrize("options", GRAPHS.values(), ids=GRAPHS)
def test_a_graph_model_propagates_the_sums(graph, history, options):
    make = partial(InterestGCN, graph, embedding_dim=DIM, num_layers=2, **options)
    model, plain = pair(make, graph)
    read = dict(zip(("history", "mask"), history[0].read(torch.arange(USERS), 6), strict=True))
    some = torch.tensor([4, 2, 4])
    for mode, users in ((True, torch.arange(USERS)), (True, some), (False, torch.arange(USERS))):
        batch = Batch(users, **({} if mode else read))
        found, expected = model.train(mode)(batch), plain.train(mode)(batch)
        torch.testing.assert_close(found.interests, expected.interests, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(found.items, expected.items, rtol=1e-5, atol=1e-6)
        (found.interests.square().sum() + found.items.square().sum()).backward()
        assert all(each.grad is not None and each.grad.any() for each in model.item_tower.parameters())
        model.zero_grad()
    assert torch.equal(found.interests, model.propagated()(batch).interests)
    parts = model.contributions()(batch)
    sums = parts.rest.index_add(0, parts.row, parts.vector)
    if "score" not in options:
        torch.testing.assert_close(sums, found.interests)


def test_new_users_of_a_graph_and_its_reader_hear_from_the_sums(graph, history):
    model, plain = pair(partial(InterestGCN, graph, embedding_dim=DIM, num_layers=2), graph)
    items, mask = history[0].read(torch.arange(5), 6)
    expected = plain.eval().fold_in(items, mask).interests
    torch.testing.assert_close(model.eval().fold_in(items, mask).interests, expected, rtol=1e-5, atol=1e-6)
    program = interests_program(model).module()
    torch.testing.assert_close(program(items, mask), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("sparse", [False, True])
def test_drawn_neighbourhoods_have_the_sums(graph, sparse):
    """All neighbours are drawn, so nothing is left to chance."""
    make = partial(InterestGCN, graph, embedding_dim=DIM, num_layers=2)
    model, plain = pair(partial(make, num_neighbors=-1, sparse=sparse), graph)
    batch, items = Batch(torch.tensor([3, 0, 29])), torch.tensor([[0, 49], [7, 7]])
    found = model(batch)
    expected = make(item_tower=FeatureSum).double()
    expected.load_state_dict(model.state_dict())
    expected = expected(batch)
    torch.testing.assert_close(found.interests, expected.interests, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(found.items[items], expected.items[items], rtol=1e-5, atol=1e-6)
    assert torch.equal(model._centers(torch.arange(USERS)), model.embedding.weight[:USERS])
    torch.testing.assert_close(model._centers(torch.arange(USERS, USERS + ITEMS)), plain.embedding.weight[USERS:])


@pytest.mark.parametrize("known", [True, False])
def test_drawn_neighbourhoods_of_more_users_than_items(known):
    few = to_graph(planted(num_users=USERS, num_items=10, num_clusters=2, interactions_per_user=3))
    if not known:
        del few["item"].category
    drawn, whole = (InterestGCN(few, 2, DIM, 2, item_tower=ItemTower, num_neighbors=num) for num in (-1, None))
    whole.load_state_dict(drawn.state_dict())
    found, expected = (model(Batch(torch.arange(USERS))) for model in (drawn, whole))
    torch.testing.assert_close(found.interests, expected.interests)
    torch.testing.assert_close(found.items[:], expected.items)


SEQUENCES = {
    "self-attention": {"extractor": SelfAttentiveExtractor},
    "cosines": {"extractor": LastPosition, "encoder": partial(TransformerEncoder, dropout=0.0), "normalize": True},
}


@pytest.mark.parametrize("loader", [TargetLoader, PrefixLoader])
@pytest.mark.parametrize("options", SEQUENCES.values(), ids=SEQUENCES)
def test_a_sequence_model_reads_and_recommends_the_sums(graph, history, options, loader):
    model, plain = pair(partial(SequenceModel, graph, DIM, 5, **options), graph)
    batch = next(iter(loader(history[1], 30, max_length=5, generator=torch.Generator().manual_seed(0))))
    found, expected = model(batch), plain(batch)
    torch.testing.assert_close(found.interests, expected.interests, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(found.items[:], expected.items[:], rtol=1e-5, atol=1e-6)
    found.interests.square().sum().backward()  # of histories alone
    assert model.item_tower.map.weight.grad.any()
    items, mask = history[0].read(torch.arange(5), 5)
    wanted = plain.eval()(Batch(torch.arange(5), history=items, mask=mask)).interests
    torch.testing.assert_close(interests_program(model).module()(items, mask), wanted, rtol=1e-5, atol=1e-6)


def test_the_tower_of_mtmi_recommends_and_does_not_read(graph, history):
    torch.manual_seed(0)
    model = SequenceModel(graph, DIM, 5, item_tower=ItemTower)
    assert model.item_tower.num_features == 9
    items, mask = history[0].read(torch.arange(5), 5)
    before = model.eval()(Batch(torch.arange(5), history=items, mask=mask))
    ranked = before.items[:]
    nn.init.zeros_(model.item_tower.output.weight)
    after = model(Batch(torch.arange(5), history=items, mask=mask))
    assert torch.equal(before.interests, after.interests)
    assert not torch.equal(ranked, after.items[:])


@pytest.mark.parametrize("make", [InterestGCN, partial(SequenceModel, max_length=5)])
def test_features_that_nobody_has_cannot_be_added(graph, make):
    assert make(graph).features is None
    bare = graph.clone()
    del bare["item"].category, bare["item"].x
    with pytest.raises(ValueError, match=r"these items have none: give categories or vectors with the data"):
        make(bare, item_tower=FeatureSum)
