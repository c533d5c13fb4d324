import pytest
import torch
from torch import nn
from torch_geometric.data import HeteroData

from graphmi.evaluator import Evaluator
from graphmi.losses import EmbeddingNorm, InterestRepulsion, MultiInterestLoss, SampledSoftmaxLoss
from graphmi.nn import FeatureSum, ItemTower, SelectReadout, TowerTable
from graphmi.retrieval import ExactIndex, rank, top_k
from graphmi.samplers import AllItemsSampler, InBatchSampler, UniformSampler
from graphmi.typing import ItemTable, Representations

NUM_ITEMS, DIM, NUM_FEATURES = 3000, 4, 5


class Rows:
    """Counts the items that go through a tower."""

    def __init__(self, tower):
        self.count = 0
        tower.register_forward_hook(self)

    def __call__(self, tower, args, out):
        self.count += out[..., 0].numel()


@pytest.fixture
def tower():
    torch.manual_seed(0)
    return ItemTower(DIM, NUM_FEATURES, hidden_dim=6).double()


@pytest.fixture
def table(tower):
    generator = torch.Generator().manual_seed(1)
    vectors = torch.randn(NUM_ITEMS, DIM, dtype=torch.float64, generator=generator).requires_grad_()
    return TowerTable(tower, vectors, (torch.rand(NUM_ITEMS, NUM_FEATURES, generator=generator) < 0.3).float())


@pytest.fixture(scope="module")
def graph():
    generator = torch.Generator().manual_seed(2)
    graph = HeteroData({"user": {"num_nodes": 128}, "item": {"num_nodes": NUM_ITEMS}})
    user = torch.arange(128).repeat_interleave(3)
    item = torch.randint(NUM_ITEMS, (384,), generator=generator)
    graph["user", "interacts", "item"].edge_index = torch.stack([user, item])
    return graph


def interests():
    return torch.randn(128, 3, DIM, dtype=torch.float64, generator=torch.Generator().manual_seed(3))


def naive(tower, vector, features):
    def layer(linear, values):
        rows = zip(linear.weight.tolist(), linear.bias.tolist(), strict=True)
        return [sum(w * v for w, v in zip(row, values, strict=True)) + bias for row, bias in rows]

    hidden = layer(tower.hidden, [*vector.tolist(), *features.tolist()])
    return layer(tower.output, [max(0.0, value) for value in hidden])


def test_equals_a_loop(tower, table):
    for index in (0, 7, NUM_ITEMS - 1):
        wanted = naive(tower, table.vectors[index], table.features[index])
        assert table[torch.tensor([index])][0].tolist() == pytest.approx(wanted)


def test_rows_in_any_shape(table):
    assert isinstance(table, ItemTable)
    assert len(table) == NUM_ITEMS
    every = table[:]
    assert every.shape == (NUM_ITEMS, DIM)
    index = torch.tensor([[3, 0, 3], [9, 2999, 1]])
    torch.testing.assert_close(table[index], every[index])
    torch.testing.assert_close(table[2990:4000], every[2990:])
    assert table[index[:0]].shape == (0, 3, DIM)
    assert table[0:0].shape == (0, DIM)
    assert table[torch.tensor(5)].shape == (DIM,)


def test_unit_length(tower, table):
    unit = TowerTable(tower, table.vectors, table.features, normalize=True)
    torch.testing.assert_close(unit[:].norm(dim=-1), torch.ones(NUM_ITEMS, dtype=torch.float64))
    torch.testing.assert_close(unit[4:6], table[4:6] / table[4:6].norm(dim=-1, keepdim=True))


@pytest.mark.parametrize("dtype", [torch.bool, torch.int64, torch.float64])
def test_features_of_any_kind_of_number(tower, table, dtype):
    single, vectors = tower.float(), table.vectors[:7].float()
    expected = single(vectors, table.features[:7])
    torch.testing.assert_close(single(vectors, table.features[:7].to(dtype)), expected)


def test_without_features():
    table = TowerTable(ItemTower(DIM), torch.randn(3, DIM))
    assert table[torch.tensor([2, 2])].shape == (2, DIM)
    assert table.tower.hidden.weight.shape == (DIM, DIM)


def test_gradient_reaches_rows_and_tower(tower, table):
    index = torch.tensor([5, 5, 1])
    table[index].square().sum().backward()
    assert table.vectors.grad.any(dim=1).nonzero().flatten().tolist() == [1, 5]
    assert all(parameter.grad.any() for parameter in tower.parameters())
    features = table.features[:3].double()
    assert torch.autograd.gradcheck(lambda v, *_: tower(v, features), (table.vectors[:3], *tower.parameters()))


SAMPLERS = {
    "uniform, shared": (lambda graph: UniformSampler(graph, 1280, shared=True), 1280),
    "uniform, each": (lambda graph: UniformSampler(graph, 2), 256),
    "in batch": (InBatchSampler, 128),
    "all items": (AllItemsSampler, NUM_ITEMS),
}


@pytest.mark.parametrize("name", SAMPLERS)
def test_loss_runs_the_tower_for_its_items_only(name, tower, table, graph):
    make, num_negatives = SAMPLERS[name]
    user = torch.arange(128)
    positive = graph["user", "interacts", "item"].edge_index[1, ::3]
    negatives = make(graph)(user, positive, torch.Generator().manual_seed(0))
    loss = MultiInterestLoss(SelectReadout(), SampledSoftmaxLoss(), regularizers=[(0.1, InterestRepulsion())])
    rows = Rows(tower)
    lazy = loss(Representations(interests(), table), positive, negatives)
    assert rows.count == 128 + num_negatives
    found = torch.autograd.grad(lazy, [table.vectors, *tower.parameters()])
    full = loss(Representations(interests(), table[:]), positive, negatives)
    torch.testing.assert_close(lazy, full)
    torch.testing.assert_close(found, torch.autograd.grad(full, [table.vectors, *tower.parameters()]))


def test_whole_users_and_norms_take_a_table(tower, table, graph):
    user, row = torch.arange(128), torch.arange(128).repeat_interleave(3)
    positive = graph["user", "interacts", "item"].edge_index[1]
    negatives = AllItemsSampler(graph)(user, positive[::3])
    loss = MultiInterestLoss(
        SelectReadout(anchor="candidate"), SampledSoftmaxLoss(), regularizers=[(0.1, EmbeddingNorm())]
    )
    terms = (loss(Representations(interests(), items), positive, negatives, row) for items in (table, table[:]))
    torch.testing.assert_close(*terms)


def test_retrieval_takes_a_table(tower, table):
    """More items than a block of retrieval holds."""
    vectors = torch.randn(40_000, DIM, generator=torch.Generator().manual_seed(4))
    tower = tower.float()
    large = TowerTable(tower, vectors.requires_grad_(), torch.zeros(40_000, NUM_FEATURES))
    queries, exclude = interests().float(), (torch.arange(129), torch.arange(128))
    full = large[:].detach()
    rows = Rows(tower)
    found = rank(queries, large, 10, exclude=exclude)
    assert rows.count == 40_000
    for got, wanted in zip(found, rank(queries, full, 10, exclude=exclude), strict=True):
        torch.testing.assert_close(got, wanted)
    for got, wanted in zip(top_k(queries, large, 10), top_k(queries, full, 10), strict=True):
        torch.testing.assert_close(got, wanted)
    assert torch.equal(ExactIndex(large).search(queries, 5).ids, ExactIndex(full).search(queries, 5).ids)


class Pairs:
    def __init__(self, item):
        self.user, self.item = torch.arange(128), item


class Model(nn.Module):
    def __init__(self, tower, table, lazy):
        super().__init__()
        self.tower, self.table, self.lazy = tower, table, lazy

    def forward(self, batch):
        return Representations(interests()[batch.user], self.table if self.lazy else self.table[:])


def test_full_ranking_takes_a_table(tower, table):
    best = rank(interests(), table[:], 30)[1]
    evaluator = Evaluator(Pairs(best[:, 15]), Pairs(best[:, 0]))  # ranked 15th where the first is known
    lazy, full = (evaluator(Model(tower, table, lazy)).per_user for lazy in (True, False))
    assert all(torch.equal(lazy[name], full[name]) for name in full)
    assert (lazy["recall@20"] == 1).all()
    assert (lazy["recall@10"] == 0).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"embedding_dim": 0}, "'embedding_dim' must be at least 1 .got 0"),
        ({"hidden_dim": 0}, "'hidden_dim' must be at least 1 .got 0"),
        ({"num_features": -1}, "'num_features' must be at least 0 .got -1"),
    ],
)
def test_impossible_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        ItemTower(**{"embedding_dim": DIM, **options})


@pytest.mark.parametrize("make", [ItemTower, FeatureSum])
def test_features_must_be_those_it_was_made_for(make):
    with pytest.raises(ValueError, match=r"made for 2 features \(got 3\)"):
        make(DIM, 2)(torch.zeros(1, DIM), torch.zeros(1, 3))
    with pytest.raises(ValueError, match=r"made for 2 features \(got 0\)"):
        make(DIM, 2)(torch.zeros(1, DIM))


def test_a_sum_of_features():
    torch.manual_seed(0)
    tower, vectors = FeatureSum(400, 100), torch.randn(100, 400)
    added = tower(vectors, torch.eye(100, dtype=torch.float64)) - vectors
    torch.testing.assert_close(added, tower.map.weight.t(), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(added.norm(dim=1).mean(), torch.tensor(1.0), rtol=0.01, atol=0)
    assert abs(FeatureSum(400, 100, init_std=0.3).map.weight.std() - 0.3) < 0.01
    assert torch.equal(FeatureSum(400, 100, init_std=0.0)(vectors, torch.eye(100)), vectors)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 2), "'embedding_dim' must be at least 1 .got 0"),
        ((DIM, -1), "'num_features' must be at least 0 .got -1"),
        ((DIM, 0), "FeatureSum adds features of items, and these items have none"),
        ((DIM, 2, -0.1), "'init_std' must be at least 0 .got -0.1"),
    ],
)
def test_impossible_sums(arguments, message):
    with pytest.raises(ValueError, match=message):
        FeatureSum(*arguments)
