"""InterestGCN on drawn neighbourhoods beside the same model on the whole graph."""

from functools import cache, partial

import pytest
import torch
from torch_geometric.data import HeteroData
from torch_geometric.loader import LinkLoader, NodeLoader
from torch_geometric.sampler import NegativeSampling
from torch_geometric.transforms import ToUndirected

from graphmi.config import experiment
from graphmi.data import InteractionLoader, UserLoader, planted, to_graph
from graphmi.losses import BPRLoss, EmbeddingNorm, InterestRepulsion, MultiInterestLoss, SampledSoftmaxLoss
from graphmi.models import InterestGCN
from graphmi.neighbors import BipartiteNeighborSampler
from graphmi.nn import CAGCNWeight, FeatureSum, ItemTower, SelectReadout
from graphmi.optim import LazyAdam
from graphmi.run import RunFolder
from graphmi.samplers import AllItemsSampler, InBatchSampler, PopularitySampler, UniformSampler
from graphmi.trainer import Trainer
from graphmi.typing import Batch, ItemTable, Negatives

TO_ITEM = ("user", "interacts", "item")
USERS, ITEMS = 30, 40


@cache
def world():
    data = planted(num_users=USERS, num_items=ITEMS, interactions_per_user=8)
    return data, to_graph(data)


def build(num_neighbors=None, **options):
    torch.manual_seed(0)
    return InterestGCN(world()[1], options.pop("num_interests", 3), 6, num_neighbors=num_neighbors, **options).double()


def everything(out):
    """Interests and items, and the parameters behind both, as one loss without symmetry."""
    items = torch.tensor([[3, 3, 0], [39, 5, 17]])
    parts = out.interests, out.items[items], out.items[:4], out.ego_users, out.ego_items[items]
    return torch.cat([part.flatten() for part in parts])


BATCH = Batch(user=torch.tensor([7, 0, 7, 29]))
OPTIONS = {
    "default": {},
    "no layer": {"num_layers": 0},
    "one layer": {"num_layers": 1},
    "pair_max": {"score": "pair_max"},
    "symmetric": {"score": "symmetric", "normalize": True},
    "center": {"score": "center"},
    "neighbor": {"attention": "neighbor"},
    "cagcn": {"weight": CAGCNWeight(), "center": "sum", "share_interests": True, "rescale": True},
    "cosine": {"temperature": 0.3, "center": "node_norm", "attention": "sigmoid", "normalize": True},
    "features": {"item_tower": FeatureSum},
    "item tower": {"item_tower": ItemTower, "score": "symmetric"},
}


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("num_neighbors", [-1, 50])
def test_with_all_neighbours_output_and_gradients_are_those_of_the_whole_graph(name, num_neighbors):
    model, whole = build(num_neighbors, sparse=True, **OPTIONS[name]), build(**OPTIONS[name])
    found, expected = (everything(m(BATCH)) for m in (model, whole))
    torch.testing.assert_close(found, expected)
    weight = torch.randn(expected.shape, generator=torch.Generator().manual_seed(1), dtype=expected.dtype)
    (found @ weight).backward()
    (expected @ weight).backward()
    for (key, ours), theirs in zip(model.named_parameters(), whole.parameters(), strict=True):
        if theirs.grad is None:
            assert ours.grad is None, key
        else:
            torch.testing.assert_close(ours.grad.to_dense(), theirs.grad, msg=key)


@cache
def copies(num):
    """One small graph many times side by side: a draw for all of its users is that many independent draws."""
    keys = torch.randperm(6 * 8, generator=torch.Generator().manual_seed(1))[:26]
    number = torch.arange(num).repeat_interleave(len(keys))
    user, item = (part.repeat(num) + number * size for part, size in ((keys // 8, 6), (keys % 8, 8)))
    graph = HeteroData({"user": {"num_nodes": 6 * num}, "item": {"num_nodes": 8 * num}})
    graph[TO_ITEM].edge_index = torch.stack([user, item])
    return ToUndirected()(graph)


def on_copies(num_layers, num, **options):
    """A model with the same parameters in each copy; what is drawn after it was built is always the same."""
    options = {"num_interests": 1, "center": "sum", "score": "center", "embedding_dim": 4} | options
    model = InterestGCN(copies(num), num_layers=num_layers, **options).double()
    torch.manual_seed(2)
    start = torch.randn(14, 4).double()
    model.embedding.weight.data = torch.cat([start[:6].repeat(num, 1), start[6:].repeat(num, 1)])
    for conv in model.convs:
        conv.generator.interest.data = torch.ones_like(conv.generator.interest)
    return model


def errors(found, expected):
    """How far means over copies ``[copies, ...]`` are from what they should be, in standard errors."""
    assert found.std(0).min() > 1e-3  # there is something to average
    return (found.mean(0) - expected) / (found.std(0) / len(found) ** 0.5)


@pytest.mark.parametrize(
    ("num", "num_layers", "options"),
    [(4000, 2, {}), (4000, 3, {}), (4000, 3, {"num_interests": 3}), (500, 3, {"weight": CAGCNWeight()})],
)
def test_the_backbone_and_its_scores_are_estimated_without_bias(num, num_layers, options):
    model = on_copies(num_layers, num, num_neighbors=2, **options)
    user, item = torch.arange(6 * num), torch.arange(8 * num)
    with torch.no_grad():
        out, whole = model(Batch(user=user)), on_copies(num_layers, 1, **options)(Batch(user=torch.arange(6)))
        interests, items = out.interests.view(num, 6, 4), out.items[item].view(num, 8, 4)
    expected, expected_items = whole.interests[:, 0], whole.items
    parts = [
        errors(interests, expected),
        errors(items, expected_items),
        errors(interests @ items.transpose(1, 2), expected @ expected_items.t()),
    ]
    error = torch.cat([part.flatten() for part in parts])
    assert error.abs().max() < 4.5
    assert error.square().mean() < 2


@pytest.mark.parametrize(("num_layers", "unbiased"), [(2, True), (3, False)])
def test_pyg_batches_are_unbiased_up_to_two_layers(num_layers, unbiased):
    """In PyG's samples a node draws once, and from the third layer on a path can meet the same draw twice."""
    num = 4000
    model = on_copies(num_layers, num)
    sampler = BipartiteNeighborSampler(copies(num), [1] * num_layers)
    data = next(iter(NodeLoader(copies(num), sampler, "user", batch_size=6 * num)))
    with torch.no_grad():
        found = model.on_sample(data).interests.view(num, 6, 4)
        expected = on_copies(num_layers, 1)(Batch(user=torch.arange(6))).interests[:, 0]
    assert (errors(found, expected).abs().max() < 4.5) == unbiased


@pytest.mark.parametrize("num_hops", [3, 4])
@pytest.mark.parametrize("name", OPTIONS)
def test_pyg_batches_with_all_neighbours(name, num_hops):
    _, graph = world()
    model = build(**OPTIONS[name])
    sampler = BipartiteNeighborSampler(graph, [-1] * num_hops)
    triplets = NegativeSampling("triplet", amount=2)
    loader = LinkLoader(graph, sampler, TO_ITEM, neg_sampling=triplets, batch_size=16, shuffle=True)
    for data, _ in zip(loader, range(3), strict=False):
        out = model.on_sample(data)
        users, items = (data[kind].n_id[: data[kind].num_sampled_nodes[0]] for kind in ("user", "item"))
        expected = model(Batch(user=users))
        torch.testing.assert_close(out.interests, expected.interests)
        torch.testing.assert_close(out.items, expected.items[items])
        torch.testing.assert_close(out.ego_users, expected.ego_users)
        torch.testing.assert_close(out.ego_items, expected.ego_items[items])
        assert len(out.items) > int(data["item"].dst_neg_index.max())


def test_a_loop_of_ones_own_learns():
    _, graph = world()
    model = build(sparse=True, num_layers=2).float()
    sampler = BipartiteNeighborSampler(graph, [4, 4], generator=torch.Generator().manual_seed(0))
    triplets = NegativeSampling("triplet", amount=1)
    loader = LinkLoader(graph, sampler, TO_ITEM, neg_sampling=triplets, batch_size=64, shuffle=True)
    loss = MultiInterestLoss(SelectReadout(anchor="candidate"), BPRLoss(), regularizers=[(1e-4, EmbeddingNorm())])
    optimizer = LazyAdam(model.parameters(), lr=0.05)
    losses = []
    for _ in range(15):
        for data in loader:
            user, pos, neg = data["user"].src_index, data["item"].dst_pos_index, data["item"].dst_neg_index
            value = loss(model.on_sample(data), pos, Negatives(neg), row=user)
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
            losses.append(float(value.detach()))
    assert sum(losses[-5:]) < 0.7 * sum(losses[:5])


SAMPLERS = {
    "own": partial(UniformSampler, num_negatives=3),
    "shared": partial(UniformSampler, num_negatives=5, shared=True),
    "popular": partial(PopularitySampler, num_negatives=5),
    "in batch": InBatchSampler,
    "all": AllItemsSampler,
    "blocks": partial(AllItemsSampler, block_size=16),
}


def step(model, sampler, loader=InteractionLoader, size=20):
    data, graph = world()
    batch = next(iter(loader(data, size, generator=torch.Generator().manual_seed(0))))
    negatives = SAMPLERS[sampler](graph)(batch.user, batch.positive, torch.Generator().manual_seed(0))
    penalties = [(0.1, EmbeddingNorm()), (0.1, InterestRepulsion())]
    loss = MultiInterestLoss(SelectReadout(anchor="candidate"), SampledSoftmaxLoss(), regularizers=penalties)
    value = loss(model(batch), batch.positive, negatives, batch.row)
    value.backward()
    return value


@pytest.mark.parametrize(("loader", "size"), [(InteractionLoader, 20), (UserLoader, 4)])
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_goes_with_every_sampler_and_loader(sampler, loader, size):
    if loader is UserLoader and sampler in ("popular", "in batch"):
        pytest.skip("corrects positives, one per user")
    model, whole = build(-1, sparse=True), build()
    torch.testing.assert_close(*(step(m, sampler, loader, size) for m in (model, whole)))
    torch.testing.assert_close(model.embedding.weight.grad.to_dense(), whole.embedding.weight.grad)
    value = step(build(2, sparse=True), sampler, loader, size)
    assert torch.isfinite(value)


def test_blocks_that_are_computed_again_draw_the_same():
    """A finite difference of the loss along its gradient, at the same state of torch's generator."""
    model = build(2, center="sum", num_layers=2)

    def value():
        torch.manual_seed(5)
        return step(model, "blocks")

    value()
    gradient, weight = model.embedding.weight.grad.clone(), model.embedding.weight.data
    direction = gradient / gradient.norm()
    sides = []
    for sign in (1, -1):
        model.embedding.weight.data = weight + sign * 1e-6 * direction
        sides.append(float(value().detach()))
    assert (sides[0] - sides[1]) / 2e-6 == pytest.approx(float(gradient.norm()), rel=1e-5)


def test_the_gradient_holds_what_was_drawn_and_nothing_else():
    model = build([2, 1, 1], sparse=True)
    out = model(Batch(user=torch.tensor([3])))
    assert isinstance(out.items, ItemTable)
    assert len(out.items) == ITEMS
    out.interests.sum().backward()
    assert 1 < model.embedding.weight.grad.coalesce().indices().numel() <= 1 + 3 + 2 + 3 + 6 + 6


def test_evaluation_propagates_over_the_whole_graph():
    model, whole = build(1).eval(), build().eval()
    found, expected = model(BATCH), whole(BATCH)
    assert torch.equal(found.interests, expected.interests)
    assert torch.equal(found.items, expected.items)


def test_softmax_over_neighbours_keeps_its_scale():
    """Its weights add up to one over what was drawn, so the sum over few neighbours is not scaled up."""
    num, options = 2000, {"attention": "neighbor"}
    model = on_copies(1, num, num_neighbors=1, **options)
    with torch.no_grad():
        found = model(Batch(user=torch.arange(6 * num))).interests.view(num, 6, 4).mean(0)
        expected = on_copies(1, 1, **options)(Batch(user=torch.arange(6))).interests[:, 0]
    own = model.embedding.weight[:6] / 2  # the layer mean's part that draws nothing
    ratio = (found - own).norm() / (expected - own).norm()
    assert 0.5 < ratio < 2  # scaled up it would be about the degree, 4


def fit(epochs, folder=None, resume=False):
    data, graph = world()
    torch.manual_seed(0)
    model = InterestGCN(graph, 2, 8, 2, num_neighbors=[3, 2], sparse=True)
    trainer = Trainer(epochs=epochs, learning_rate=0.01, accelerator="cpu", progress=False)
    loader = InteractionLoader(data, 64, generator=torch.Generator().manual_seed(0))
    loss = MultiInterestLoss(SelectReadout(anchor="candidate"), BPRLoss())
    validate = lambda _: {"ndcg@20": 0.0}  # noqa: E731
    history = trainer.fit(model, loader, UniformSampler(graph), loss, validate, folder=folder, resume=resume)
    return [row["loss"] for row in history.rows]


def test_resumed_equals_uninterrupted(tmp_path):
    expected = fit(4)
    assert expected[-1] < expected[0]
    fit(2, RunFolder(tmp_path))
    assert fit(4, RunFolder(tmp_path), resume=True) == expected


@pytest.mark.parametrize("num_neighbors", [5, [4, 3, 2]])
def test_a_preset_trains(tmp_path, num_neighbors):
    data = "planted:num_users=40,num_items=60,interactions_per_user=8"
    options = {"model__num_neighbors": num_neighbors, "model__sparse": True, "trainer__epochs": 1}
    one = experiment("interest-gcn", data, replicates=0, trainer__accelerator="cpu", **options)
    trained = one.train(one.dataset(), RunFolder(tmp_path))
    assert trained.model.num_neighbors == ([5] * 3 if num_neighbors == 5 else num_neighbors)
    assert 0 <= trained.valid["ndcg@20"] <= 1


@pytest.mark.parametrize("num_neighbors", [0, -2, [3], [3, 3, 0], [3, 3, 3, 3]])
def test_wrong_numbers_are_named(num_neighbors):
    with pytest.raises(ValueError, match="'num_neighbors' must be one number or one for each of 3 layers"):
        build(num_neighbors)


def test_what_samples_do_not_hold_is_refused():
    _, graph = world()
    data = next(iter(NodeLoader(graph, BipartiteNeighborSampler(graph, [2, 2]), "user", batch_size=4)))
    with pytest.raises(ValueError, match="3 layers and needs"):
        build().on_sample(data)
    with pytest.raises(ValueError, match="not there for drawn neighbourhoods"):
        build(center="edge_dot", num_layers=2).on_sample(data)
    with pytest.raises(ValueError, match="edge_dot"):
        build(3, center="edge_dot")
