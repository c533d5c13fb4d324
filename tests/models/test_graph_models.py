import pytest
import torch
from torch import nn
from torch_geometric.data import HeteroData
from torch_geometric.nn import LightGCN

from graphmi.data import LeaveOneOut, planted
from graphmi.evaluator import Evaluator
from graphmi.models import EASE, InterestGCN, ItemKNN, Popularity, SeparateInterestGCN, separate_gcn
from graphmi.nn import CAGCNWeight
from graphmi.nn.sparse import propagate
from graphmi.typing import Batch

DTYPES = [torch.float32, torch.float64]
PAIRS = torch.tensor([[0, 0, 1, 1], [0, 1, 1, 2]])


def make_graph(pairs=PAIRS, num_users=2, num_items=3):
    graph = HeteroData({"user": {"num_nodes": num_users}, "item": {"num_nodes": num_items}})
    graph["user", "interacts", "item"].edge_index = pairs
    return graph


def larger_graph():
    keys = torch.randperm(7 * 9, generator=torch.Generator().manual_seed(1))[:25]
    return make_graph(torch.stack([keys // 9, keys % 9]), 8, 10)  # the last user and item are isolated


def layer_means(model):
    """Virtual interests and centers of all nodes."""
    return tuple(torch.stack(layers).mean(0) for layers in model.propagate())


def scores(out):
    """Best inner product over interests and item vectors, pair by pair."""
    items = out.items.unflatten(1, (-1, out.interests.size(-1)))
    return torch.einsum("ukd,ijd->uikj", out.interests, items).flatten(2).amax(-1)


class Hidden(nn.Module):
    """A model of which nothing is known but its answers."""

    def __init__(self, model):
        super().__init__()
        self.model = [model]  # a list hides it

    def forward(self, batch):
        return self.model[0](batch)


ALL = Batch(user=torch.arange(8))


@pytest.mark.parametrize("dtype", DTYPES)
def test_vector_of_the_design(dtype):
    model = InterestGCN(make_graph(), num_interests=2, embedding_dim=2, num_layers=1).to(dtype)
    model.embedding.weight.data = torch.tensor([[1, 0], [0, 1], [1, 0], [1, 0.5], [0, 2]], dtype=dtype)
    model.convs[0].generator.interest.data = torch.eye(2, dtype=dtype)
    expected = torch.tensor([[0.693303, 0.648787, 0.097918], [0.118029, 0.435611, 1.472421]], dtype=dtype)
    y = scores(model(Batch(user=torch.arange(2))))
    torch.testing.assert_close(y, expected, atol=1e-6, rtol=0)
    bpr = torch.nn.functional.softplus(y[0, 2] - y[0, 0])
    torch.testing.assert_close(bpr, torch.tensor(0.439126, dtype=dtype), atol=1e-6, rtol=0)
    single = InterestGCN(make_graph(), num_interests=1, embedding_dim=2, num_layers=1).to(dtype)
    single.embedding.weight.data = model.embedding.weight.data
    expected = torch.tensor([[0.941942, 0.890165, 0.169194], [0.213388, 0.853553, 1.803078]], dtype=dtype)
    torch.testing.assert_close(scores(single(Batch(user=torch.arange(2)))), expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("num_layers", [0, 1, 3])
def test_one_interest_is_lightgcn_of_pyg(num_layers):
    graph = larger_graph()
    model = InterestGCN(graph, num_interests=1, embedding_dim=8, num_layers=num_layers)
    pyg = LightGCN(18, 8, num_layers)
    pyg.embedding.weight.data = model.embedding.weight.data
    edges = graph["user", "interacts", "item"].edge_index + torch.tensor([[0], [8]])
    expected = pyg.get_embedding(torch.cat([edges, edges.flip(0)], dim=1))
    out = model(ALL)
    torch.testing.assert_close(out.interests[:, 0], expected[:8])
    torch.testing.assert_close(out.items, expected[8:])


def test_interests_average_to_the_backbone_with_sum_centers():
    graph = larger_graph()
    model = InterestGCN(graph, num_interests=4, embedding_dim=8, center="sum", rescale=False)
    single = InterestGCN(graph, num_interests=1, embedding_dim=8)
    single.embedding.weight.data = model.embedding.weight.data
    virtual, center = layer_means(model)
    _, expected = layer_means(single)
    torch.testing.assert_close(center, expected)
    layers = virtual.sum(1) - 3 * model.embedding.weight / 4  # K virtuals hold the layer-0 center K times
    torch.testing.assert_close(layers, expected)


@pytest.mark.parametrize("score", ["user_virtual", "pair_max", "symmetric", "center"])
def test_scores_equal_their_formula(score):
    model = InterestGCN(larger_graph(), num_interests=3, embedding_dim=8, score=score)
    virtual, center = layer_means(model)
    u, i, cu, ci = virtual[:8], virtual[8:], center[:8], center[8:]
    user = torch.einsum("ukd,id->uik", u, ci).amax(-1)
    item = torch.einsum("ud,ijd->uij", cu, i).amax(-1)
    expected = {
        "user_virtual": user,
        "pair_max": torch.einsum("ukd,ijd->uikj", u, i).flatten(2).amax(-1),
        "symmetric": user + item,
        "center": cu @ ci.t(),
    }[score]
    torch.testing.assert_close(scores(model(ALL)), expected)


@pytest.mark.parametrize("attention", ["interest", "neighbor", "sigmoid"])
@pytest.mark.parametrize(
    "options", [{}, {"rescale": True, "normalize": True}, {"share_interests": True}, {"num_layers": 0}]
)
def test_virtual_interests_that_nobody_asks_for_are_left_out(attention, options):
    model = InterestGCN(larger_graph(), 3, 8, center="sum", attention=attention, **options).double()
    batch, target = Batch(user=torch.tensor([3, 0, 3, 7])), slice(8, None)
    virtuals, centers = model.propagate()
    expected = model.arrangement.represent(virtuals, centers, model.embedding.weight, batch.user, target)
    out = model(batch)
    assert all(virtual.shape == (8, 3, 8) for virtual in model._layers()[0][1:])
    torch.testing.assert_close(out.interests, expected.interests)
    torch.testing.assert_close(out.items, expected.items)
    gradients = (
        torch.autograd.grad((each.interests.square().sum() + each.items.pow(3).sum()), [*model.parameters()])
        for each in (out, expected)
    )
    for found, wanted in zip(*gradients, strict=True):
        torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("make", [InterestGCN, SeparateInterestGCN])
@pytest.mark.parametrize("score", ["user_virtual", "pair_max", "center"])
def test_normalized_scores_are_cosines(score, make):
    out = make(larger_graph(), embedding_dim=8, score=score, normalize=True)(ALL)
    for vectors in (out.interests, out.items.unflatten(1, (-1, 8))[:9]):
        torch.testing.assert_close(vectors.norm(dim=-1), torch.ones(vectors.shape[:-1]))


@pytest.mark.parametrize("make", [InterestGCN, SeparateInterestGCN])
def test_vectors_start_as_large_as_asked_for(make):
    for options, std in (({}, 0.1), ({"init_std": 0.5}, 0.5)):
        weight = make(larger_graph(), **options).state_dict()
        weight = weight["embedding"] if "embedding" in weight else weight["embedding.weight"]
        assert weight.std().item() == pytest.approx(std, rel=0.1)


def test_isolated_nodes_keep_their_center():
    model = InterestGCN(larger_graph(), num_interests=4, embedding_dim=8, num_layers=3)
    out = model(ALL)
    torch.testing.assert_close(out.interests[7], (model.embedding.weight[7] / 4).expand(4, -1))
    torch.testing.assert_close(out.items[9], model.embedding.weight[17] / 4)


@pytest.mark.parametrize("make", [InterestGCN, SeparateInterestGCN])
def test_edges_of_32_bits_and_vectors_of_16(make):
    graph = larger_graph()
    narrow = make_graph(graph["user", "interacts", "item"].edge_index.int(), 8, 10)
    models = [make(each, embedding_dim=8) for each in (graph, narrow)]
    models[1].load_state_dict(models[0].state_dict())
    expected, found = (model(ALL) for model in models)
    assert torch.equal(found.interests, expected.interests)
    half = models[1].bfloat16()(ALL)
    assert half.interests.dtype == half.items.dtype == torch.bfloat16
    torch.testing.assert_close(half.interests.float(), expected.interests, atol=0.02, rtol=0.05)


def test_extra_parameters_are_those_of_the_paper():
    def count(model):
        return sum(p.numel() for p in model.parameters())

    graph = larger_graph()
    backbone = count(InterestGCN(graph, num_interests=1, num_layers=0))
    assert count(InterestGCN(graph, num_interests=4, num_layers=3)) - backbone == 3 * 4 * 64
    assert count(InterestGCN(graph, num_interests=4, num_layers=3, share_interests=True)) - backbone == 4 * 64
    assert count(SeparateInterestGCN(graph, num_interests=4)) == 5 * backbone


def test_cagcn_directions_differ():
    graph = larger_graph()
    model = InterestGCN(graph, num_interests=1, embedding_dim=8, num_layers=1, weight=CAGCNWeight())
    to_item = graph["user", "interacts", "item"].edge_index
    matrix = torch.zeros(18, 18)  # [destination, source]
    matrix[to_item[1] + 8, to_item[0]] = CAGCNWeight()(to_item, (8, 10))
    matrix[to_item[0], to_item[1] + 8] = CAGCNWeight()(to_item.flip(0), (10, 8))
    assert not torch.allclose(matrix, matrix.t())
    expected = (model.embedding.weight + matrix @ model.embedding.weight) / 2
    torch.testing.assert_close(model(ALL).interests[:, 0], expected[:8])


def test_separate_interests_are_backbones_of_their_own():
    graph = larger_graph()
    model = SeparateInterestGCN(graph, num_interests=2, embedding_dim=8)
    single = InterestGCN(graph, num_interests=1, embedding_dim=8)
    out = model(ALL)
    for k in range(3):
        single.embedding.weight.data = model.embedding.data[k]
        expected = single(ALL)
        if k == 0:
            torch.testing.assert_close(out.items, expected.items)
        else:
            torch.testing.assert_close(out.interests[:, k - 1], expected.interests[:, 0])


def test_separate_interests_are_propagated_once_and_evaluated_as_batch_by_batch(monkeypatch):
    dataset, layers = LeaveOneOut()(planted(num_users=40, num_items=50, interactions_per_user=8)), []
    model = SeparateInterestGCN(dataset.graph(), num_layers=2)
    monkeypatch.setattr(separate_gcn, "propagate", lambda *words: layers.append(None) or propagate(*words))
    evaluator = Evaluator(dataset.test, dataset.known("test"), batch_size=7)
    once = evaluator(model)
    assert len(layers) == 2
    batch_by_batch = evaluator(Hidden(model.eval()))
    assert len(layers) == 2 + 6 * 2
    assert once.to_dict() == batch_by_batch.to_dict()
    assert all(torch.equal(once.per_user[name], values) for name, values in batch_by_batch.per_user.items())


@pytest.mark.parametrize("score", ["user_virtual", "pair_max", "symmetric", "center"])
def test_separate_interests_that_were_propagated_stay_as_they_are_until_they_are_trained(score, monkeypatch):
    model = SeparateInterestGCN(larger_graph(), 2, 8, 3, score=score, normalize=True).eval()
    before, ready = model(ALL), model.propagated()
    assert ready.edges is model.edges
    model.embedding.data += 1.0
    monkeypatch.setattr(separate_gcn, "propagate", lambda *_: pytest.fail("it propagates again"))
    assert torch.equal(ready(ALL).interests, before.interests)
    assert torch.equal(ready(ALL).items, before.items)
    monkeypatch.undo()
    assert ready.train()(ALL).items.requires_grad
    assert torch.equal(model.propagated()(ALL).items, model(ALL).items)


@pytest.mark.parametrize("make", [InterestGCN, SeparateInterestGCN])
@pytest.mark.parametrize("score", ["user_virtual", "pair_max", "symmetric", "center"])
def test_every_parameter_learns(make, score):
    model = make(larger_graph(), num_interests=3, embedding_dim=8, score=score)
    scores(model(ALL)).square().sum().backward()
    for name, parameter in model.named_parameters():
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.any() or (score == "center" and "interest" in name), name


def test_edges_are_rebuilt_from_the_graph_not_saved():
    model = InterestGCN(larger_graph())
    assert set(model.state_dict()) == {"embedding.weight", *(f"convs.{n}.generator.interest" for n in range(3))}


def test_popularity_counts_training_users():
    out = Popularity(make_graph())(Batch(user=torch.tensor([1, 0])))
    torch.testing.assert_close(scores(out), torch.tensor([[1.0, 2.0, 1.0]] * 2))


@pytest.mark.parametrize(
    "kwargs",
    [{"embedding_dim": 0}, {"num_layers": -1}, {"num_interests": 0}, {"init_std": 0.0}, {"init_std": torch.inf},
     {"score": "max"}, {"num_interests": 0, "num_layers": 0}],
)  # fmt: skip
@pytest.mark.parametrize("make", [InterestGCN, SeparateInterestGCN])
def test_wrong_arguments_are_named(make, kwargs):
    name = next(iter(kwargs))
    with pytest.raises(ValueError, match=f"'{name}'"):
        make(larger_graph(), **kwargs)


@pytest.mark.parametrize("make", [InterestGCN, SeparateInterestGCN, Popularity, EASE, ItemKNN])
def test_edges_that_cannot_be_are_refused(make):
    with pytest.raises(ValueError, match="interacts"):
        make(HeteroData({"user": {"num_nodes": 2}, "item": {"num_nodes": 3}}))
    for kind, pairs, size in (("user", [[0, 2], [0, 1]], 2), ("item", [[0, 1], [0, 3]], 3), ("item", [[0], [-1]], 3)):
        with pytest.raises(ValueError, match=rf"must name each {kind} by a number in \[0, {size}\) \(got "):
            make(make_graph(torch.tensor(pairs)))


@pytest.mark.parametrize("make", [InterestGCN, SeparateInterestGCN, EASE, ItemKNN])
def test_a_number_that_is_no_users_is_refused(make):
    graph = make_graph()
    last = graph["user"].num_nodes - 1
    assert len(make(graph)(Batch(user=torch.tensor([last]))).interests) == 1
    for wrong in (last + 1, -1, -2):
        with pytest.raises(ValueError, match=rf"has {last + 1} users, and the batch one with the number {wrong},"):
            make(graph)(Batch(user=torch.tensor([0, wrong])))


@pytest.mark.parametrize("make", [InterestGCN, SeparateInterestGCN])
def test_a_trained_model_compiles_as_one_graph(make):
    model, batch = make(make_graph(), 2, 4, 1).eval(), Batch(user=torch.tensor([1, 0]))
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    with torch.no_grad():
        assert torch.equal(compiled(batch).interests, model(batch).interests)
