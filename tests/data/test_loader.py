import polars as pl
import pytest
import torch

from graphmi.data import InteractionLoader, Interactions, to_graph


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
