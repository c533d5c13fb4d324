import polars as pl
import pytest
import torch
from torch_geometric.data import HeteroData

from graphmi.data import InteractionLoader, Interactions, UserLoader, to_graph


def train() -> Interactions:
    pairs = [(user, item) for user in range(7) for item in range(user + 1)]
    table = pl.DataFrame({"user_id": [user for user, _ in pairs], "item_id": [item for _, item in pairs]})
    return Interactions.from_frame(table)


def epoch(loader):
    return [pair for batch in loader for pair in zip(batch.user.tolist(), batch.positive.tolist(), strict=True)]


@pytest.mark.parametrize("make", [lambda data: data, to_graph])
def test_an_epoch_has_every_pair_once(make):
    data = train()
    loader = InteractionLoader(make(data), batch_size=10)
    batches = list(loader)
    assert len(loader) == len(batches) == 3
    assert [len(batch.user) for batch in batches] == [10, 10, 8]
    assert batches[0].user.dtype == batches[0].positive.dtype == torch.int64
    assert sorted(epoch(loader)) == list(zip(data.user.tolist(), data.item.tolist(), strict=True))


def test_orders_differ_by_epoch_and_follow_the_generator():
    loader = InteractionLoader(train(), 4, torch.Generator().manual_seed(3))
    first, state = epoch(loader), loader.generator.get_state()
    second = epoch(loader)
    assert first != second
    resumed = InteractionLoader(train(), 4, torch.Generator())
    resumed.generator.set_state(state)
    assert epoch(resumed) == second


def test_orders_are_uniform():
    loader = InteractionLoader(train(), 1, torch.Generator().manual_seed(0))
    firsts = [next(iter(loader)) for _ in range(2800)]
    counts = torch.tensor([int(batch.user) * (int(batch.user) + 1) // 2 + int(batch.positive) for batch in firsts])
    chi_square = ((counts.bincount(minlength=28) - 100).double() ** 2 / 100).sum()
    assert chi_square < 55.5  # 27 degrees of freedom, p = .001


def test_no_global_randomness_with_a_generator():
    before = torch.random.get_rng_state()
    epoch(InteractionLoader(train(), 4, torch.Generator().manual_seed(0)))
    assert torch.equal(before, torch.random.get_rng_state())


def test_batch_size_below_one():
    with pytest.raises(ValueError, match="'batch_size' must be at least 1"):
        InteractionLoader(train(), 0)


@pytest.mark.gpu
@pytest.mark.parametrize("source", ["cpu", "cuda"])
def test_batches_lie_on_the_device(source):
    loader = InteractionLoader(train(), 4, torch.Generator(source).manual_seed(0), device="cuda")
    assert all(batch.user.is_cuda and batch.positive.is_cuda for batch in loader)
    assert len(set(epoch(loader))) == 28


def test_user_batches_hold_every_pair_of_their_users_once():
    user, item = torch.tensor([3, 1, 3, 0, 3, 1]), torch.tensor([5, 2, 4, 7, 9, 8])
    graph = HeteroData({"user": {"num_nodes": 5}, "item": {"num_nodes": 10}})
    graph["user", "interacts", "item"].edge_index = torch.stack([user, item])
    loader = UserLoader(graph, users_per_batch=2, generator=torch.Generator().manual_seed(0))
    for _ in range(3):
        batches = list(loader)
        assert len(batches) == len(loader) == 2  # users 2 and 4 have nothing
        seen = [(int(b.user[r]), int(p)) for b in batches for r, p in zip(b.row, b.positive, strict=True)]
        assert sorted(seen) == sorted(zip(user.tolist(), item.tolist(), strict=True))
        assert sorted(torch.cat([b.user for b in batches]).tolist()) == [0, 1, 3]


def test_user_batches_are_shuffled_by_the_generator_alone():
    graph = HeteroData({"user": {"num_nodes": 50}, "item": {"num_nodes": 1}})
    graph["user", "interacts", "item"].edge_index = torch.stack([torch.arange(50), torch.zeros(50, dtype=torch.long)])

    def epochs(seed):
        loader = UserLoader(graph, 8, torch.Generator().manual_seed(seed))
        return [torch.cat([b.user for b in loader]).tolist() for _ in range(2)]

    assert epochs(0) == epochs(0) != epochs(1)
    assert epochs(0)[0] != epochs(0)[1]


def test_users_per_batch_is_checked():
    with pytest.raises(ValueError, match="'users_per_batch' must be at least 1"):
        UserLoader(HeteroData(), 0)
