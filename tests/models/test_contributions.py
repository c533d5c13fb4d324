"""What items add to interests: the terms sum to what the models give, and each is what its item alone brings."""

import itertools
from functools import partial

import pytest
import torch
from torch import nn
from torch_geometric.data import HeteroData

from graphmi.models import InterestGCN, Popularity, SeparateInterestGCN, SequenceModel
from graphmi.models.arrangement import Arrangement
from graphmi.nn import (
    Adjacency,
    DynamicRoutingExtractor,
    GRUEncoder,
    LastPosition,
    LastQueryExtractor,
    MeanPooling,
    SelfAttentiveExtractor,
    TransformerEncoder,
    UserTowers,
)
from graphmi.typing import Batch, Decomposable

NUM_USERS, NUM_ITEMS = 8, 10
SCORES = ["user_virtual", "pair_max", "symmetric", "center"]


def make_graph():
    """Return a graph whose last user has no neighbour, and its edges."""
    keys = torch.randperm((NUM_USERS - 1) * (NUM_ITEMS - 1), generator=torch.Generator().manual_seed(1))[:25]
    graph = HeteroData({"user": {"num_nodes": NUM_USERS}, "item": {"num_nodes": NUM_ITEMS}})
    pairs = torch.stack([keys // (NUM_ITEMS - 1), keys % (NUM_ITEMS - 1)])
    graph["user", "interacts", "item"].edge_index = pairs
    return graph, pairs


USERS = Batch(user=torch.tensor([3, 7, 0, 3]))  # one without neighbours, one twice


def total(found):
    return found.rest.index_add(0, found.row, found.vector)


def neighbors(pairs, user):
    return sorted(pairs[1][pairs[0] == user].tolist())


# --- graph models

OPTIONS = [
    *({"attention": a, "center": c} for a, c in itertools.product(("interest", "neighbor", "sigmoid"), ("node_dot",))),
    *({"center": c, "score": s} for c, s in itertools.product(("node_norm", "edge_dot", "sum"), ("symmetric",))),
    *({"score": score, "normalize": True} for score in SCORES),
    {"rescale": True, "temperature": 0.3, "share_interests": True},
    {"num_interests": 1},
    {"num_layers": 0},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_neighbours_and_the_own_center_sum_to_the_interests(options):
    graph, pairs = make_graph()
    model = InterestGCN(graph, **{"num_interests": 3, "embedding_dim": 6, "num_layers": 2} | options).double()
    found = model.contributions()(USERS)
    torch.testing.assert_close(total(found), model(USERS).interests.detach(), rtol=1e-12, atol=1e-12)
    for row, user in enumerate(USERS.user.tolist()):
        assert sorted(found.item[found.row == row].tolist()) == neighbors(pairs, user)
    assert (found.row.diff() >= 0).all()
    assert found.row.dtype == found.item.dtype == torch.int64


@pytest.mark.parametrize("score", SCORES)
def test_neighbours_of_separate_interests_sum_to_them(score):
    graph, pairs = make_graph()
    model = SeparateInterestGCN(graph, num_interests=3, embedding_dim=6, score=score, normalize=True).double()
    found = model.contributions()(USERS)
    torch.testing.assert_close(total(found), model(USERS).interests.detach(), rtol=1e-12, atol=1e-12)
    assert found.item[found.row == 2].tolist() == neighbors(pairs, 0)


def test_a_neighbour_brings_its_center_times_weight_and_attention():
    graph, pairs = make_graph()
    model = InterestGCN(graph, num_interests=2, embedding_dim=4, num_layers=1).double()
    found = model.contributions()(USERS)
    centers, parameters = model.embedding.weight.detach(), model.convs[0].generator.interest.detach()
    for index in range(len(found.row)):
        user, item = int(USERS.user[found.row[index]]), int(found.item[index])
        weight = (len(neighbors(pairs, user)) * int((pairs[1] == item).sum())) ** -0.5
        attention = (parameters @ centers[NUM_USERS + item]).softmax(0)
        expected = torch.outer(attention, centers[NUM_USERS + item]) * weight / 2
        torch.testing.assert_close(found.vector[index], expected, rtol=1e-6, atol=0)  # the graph's weights are float32
    torch.testing.assert_close(found.rest, (centers[USERS.user] / 2).unsqueeze(1).expand(-1, 2, -1))


def test_scores_are_sums_of_what_neighbours_bring():
    graph, _ = make_graph()
    model = InterestGCN(graph, num_interests=3, embedding_dim=6, normalize=True).double()
    out, found = model(USERS), model.contributions()(USERS)
    terms = found.vector @ out.items.t()
    summed = (found.rest @ out.items.t()).index_add(0, found.row, terms)
    torch.testing.assert_close(summed, (out.interests @ out.items.t()), rtol=1e-12, atol=1e-12)
    assert (terms < 0).any()  # some speak against


def test_nothing_adds_up_to_nothing_of_length_one():
    nothing, none, nobody = torch.zeros(1, 2, 4), torch.zeros(0, 2, 4), torch.zeros(0, dtype=torch.int64)
    arrangement = Arrangement("symmetric", normalize=True)
    found = arrangement.decompose((none, nothing), (none[:, 0], nothing[:, 0]), nobody, nobody)
    assert found.rest.tolist() == torch.zeros(1, 2, 8).tolist()


def test_entries_are_the_edges_of_the_nodes_asked_for():
    edges = torch.tensor([[0, 2, 1, 2, 0], [1, 1, 3, 0, 3]])
    adjacency = Adjacency.from_edge_index(edges, size=(3, 4))
    entries, row = adjacency.entries(torch.tensor([3, 2, 1]))
    assert row.tolist() == [0, 0, 2, 2]
    assert adjacency.col[entries].tolist() == [0, 1, 0, 2]
    assert all(part.numel() == 0 for part in adjacency.entries(torch.tensor([2])))


# --- sequence models

HISTORY = torch.tensor([[4, 2, 4, 7, 1], [3, 0, 0, 0, 0], [0, 0, 0, 0, 0], [6, 5, 9, 0, 0]])
MASK = torch.arange(5) < torch.tensor([[5], [1], [0], [3]])
READERS = Batch(user=torch.arange(4), history=HISTORY, mask=MASK)
SUMS = {
    "self-attentive": lambda d, n: SelfAttentiveExtractor(d, n, num_interests=3),
    "last query": lambda d, n: LastQueryExtractor(d, n, num_interests=3),
    "routing": lambda d, n: DynamicRoutingExtractor(d, n, num_interests=3),
    "routing, relu": lambda d, n: DynamicRoutingExtractor(d, n, num_interests=3, relu_layer=True),
    "routing, own maps": lambda d, n: DynamicRoutingExtractor(
        d, n, num_interests=3, shared_map=False, random_logits=False, dynamic_interests=False
    ),
    "mean": MeanPooling,
    "towers": lambda d, n: UserTowers(
        d, n, 3, encoder=GRUEncoder, extractor=partial(SelfAttentiveExtractor, num_interests=1), hidden_dim=0
    ),
}


def sequence_model(extractor, **options):
    graph, _ = make_graph()
    return SequenceModel(graph, embedding_dim=6, max_length=5, extractor=extractor, **options).double().eval()


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("extractor", SUMS.values(), ids=SUMS)
def test_positions_sum_to_the_interests(extractor, normalize):
    model = sequence_model(extractor, normalize=normalize)
    out, found = model(READERS), model.contributions()(READERS)
    summed = torch.zeros_like(out.interests).index_add(0, found.row, found.vector)
    torch.testing.assert_close(summed, out.interests.detach(), rtol=1e-12, atol=1e-12)
    assert found.rest.abs().max() < 1e-12
    assert out.interests.abs().max() > 0.01
    for row in range(4):
        assert found.item[found.row == row].tolist() == HISTORY[row][MASK[row]].tolist()


@pytest.mark.parametrize("encoder", [TransformerEncoder, GRUEncoder])
def test_positions_are_those_that_the_encoder_gives(encoder):
    model = sequence_model(SUMS["self-attentive"], encoder=encoder)
    out, found = model(READERS), model.contributions()(READERS)
    mask = READERS.mask
    encoded = model.encoder(model.embedding(READERS.history) * mask.unsqueeze(-1), mask)[mask]
    expected = out.routing.transpose(1, 2)[mask].unsqueeze(-1) * encoded.unsqueeze(1)
    torch.testing.assert_close(found.vector, expected.detach(), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(total(found), out.interests.detach(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("wrap", [MeanPooling, UserTowers], ids=["one network", "towers"])
def test_networks_are_linear_in_the_positions_where_they_stand(wrap):
    model = sequence_model(lambda d, n: wrap(d, n, hidden_dim=7))
    found, out = model.contributions()(READERS), model(READERS)
    networks = [t.network for t in model.extractor.towers] if wrap is UserTowers else [model.extractor.network]
    items = model.embedding.weight.detach()
    for k, network in enumerate(networks):
        for row in (0, 1, 3):
            read = items[HISTORY[row][MASK[row]]]
            open_ = (network[0](read.mean(0)) > 0).double()
            linear = network[2].weight @ torch.diag(open_) @ network[0].weight
            expected = read / len(read) @ linear.t()
            torch.testing.assert_close(found.vector[found.row == row][:, k], expected.detach(), rtol=1e-12, atol=1e-12)
            biases = network[2].weight @ (open_ * network[0].bias) + network[2].bias
            torch.testing.assert_close(found.rest[row, k], biases.detach(), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(total(found), out.interests.detach())


@pytest.mark.parametrize(
    "extractor",
    [LastPosition, lambda d, n: UserTowers(d, n, encoder=GRUEncoder, extractor=LastPosition)],
    ids=["last", "recurrent towers"],
)
def test_one_position_is_no_sum(extractor):
    assert sequence_model(extractor).contributions()(READERS) is None


def test_models_say_whether_they_are_sums():
    graph, _ = make_graph()
    assert isinstance(InterestGCN(graph), Decomposable)
    assert isinstance(SequenceModel(graph), Decomposable)
    assert not isinstance(Popularity(graph), Decomposable)
    assert not isinstance(nn.Linear(2, 2), Decomposable)
