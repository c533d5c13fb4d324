"""Lazy Adam: torch's Adam where every row is touched, a closed form row by row, and rows that are left alone."""

import copy
import math
import pickle

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from graphmi.optim import LazyAdam

NUM_ROWS, DIM = 7, 3
EVERY = torch.arange(NUM_ROWS)


def table(dim=DIM, dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    return nn.Parameter(torch.randn(NUM_ROWS, dim, dtype=dtype, generator=generator))


def loss(weight, ids, *, sparse, step=0):
    """Two lookups, as of histories and items, with duplicates within and between them."""
    first, second = F.embedding(ids, weight, sparse=sparse), F.embedding(ids.flip(0)[:4], weight, sparse=sparse)
    scale = torch.arange(1.0 + step, 1.0 + step + first.numel(), dtype=first.dtype).view_as(first)
    return (first * scale).sin().sum() + second.exp().sum()


def train(weight, optimizer, batches, *, sparse):
    for step, ids in enumerate(batches):
        optimizer.zero_grad()
        loss(weight, ids, sparse=sparse, step=step).backward()
        assert weight.grad.is_sparse == sparse
        optimizer.step()
    return weight.detach()


def with_duplicates(steps):
    generator = torch.Generator().manual_seed(1)
    return [torch.cat([EVERY, torch.randint(NUM_ROWS, (5,), generator=generator)]) for _ in range(steps)]


@pytest.mark.parametrize("options", [{}, {"weight_decay": 0.1, "betas": (0.7, 0.8), "eps": 1e-3}])
def test_is_adam_where_every_row_is_touched(options):
    ours, theirs = table(), table()
    found = train(ours, LazyAdam([ours], lr=0.1, **options), with_duplicates(6), sparse=True)
    expected = train(theirs, torch.optim.Adam([theirs], lr=0.1, **options), with_duplicates(6), sparse=False)
    torch.testing.assert_close(found, expected)


def test_row_wise_is_adam_without_momentum_where_rows_are_numbers():
    ours, theirs = table(1), table(1)
    options = {"lr": 0.1, "betas": (0.0, 0.9), "weight_decay": 0.1}
    found = train(ours, LazyAdam([ours], row_wise=True, **options), with_duplicates(6), sparse=True)
    expected = train(theirs, torch.optim.Adam([theirs], **options), with_duplicates(6), sparse=False)
    torch.testing.assert_close(found, expected)


def test_row_wise_is_adagrad_times_the_root_of_the_visits():
    """With a second moment that forgets nothing, and one number per row."""
    ours, theirs = table(1), table(1)
    batches = with_duplicates(5)
    found = train(ours, LazyAdam([ours], lr=0.1, betas=(0.9, 1 - 1e-9), eps=1e-12, row_wise=True), batches, sparse=True)
    adagrad = torch.optim.Adagrad([theirs], lr=0.1, eps=1e-12)
    for step, ids in enumerate(batches):
        adagrad.param_groups[0]["lr"] = 0.1 * math.sqrt(step + 1)
        adagrad.zero_grad()
        loss(theirs, ids, sparse=False, step=step).backward()
        adagrad.step()
    torch.testing.assert_close(found, theirs.detach(), rtol=1e-5, atol=1e-7)


def test_the_first_row_wise_step_is_as_long_as_the_learning_rate_in_single_precision():
    weight = nn.Parameter(torch.zeros(NUM_ROWS, 1))
    weight.grad = torch.linspace(1, 2, NUM_ROWS).unsqueeze(1).to_sparse(1)
    LazyAdam([weight], lr=1.0, betas=(0.9, 1 - 1e-6), eps=0.0, row_wise=True).step()
    torch.testing.assert_close(weight.detach(), torch.full((NUM_ROWS, 1), -1.0))


VISITS = [[0, 2, 2], [2, 5, 5, 5], [0, 5, 2], [4, 4, 0]]


def row_by_row(row_wise, lr=0.1, betas=(0.8, 0.9), eps=1e-8):
    """The formulas for single rows, in Python."""
    weight = table().detach().clone()
    mean, square, count = torch.zeros_like(weight), torch.zeros_like(weight), [0] * NUM_ROWS
    for step, visited in enumerate(VISITS, start=1):
        other = weight.clone().requires_grad_()
        (other[visited] * torch.arange(1.0, 1.0 + len(visited)).unsqueeze(1)).square().sum().backward()
        for i in set(visited):
            g = other.grad[i]
            count[i] += 1
            moment = g.square().mean() if row_wise else g.square()
            mean[i] = betas[0] * mean[i] + (1 - betas[0]) * g
            square[i] = betas[1] * square[i] + (1 - betas[1]) * moment
            seen = count[i] if row_wise else step
            direction = g if row_wise else mean[i] / (1 - betas[0] ** step)
            weight[i] -= lr * direction / ((square[i] / (1 - betas[1] ** seen)).sqrt() + eps)
    return weight


@pytest.mark.parametrize("options", [{"betas": (0.8, 0.9)}, {"betas": (0.8, 0.0), "eps": 0.1}])
@pytest.mark.parametrize("row_wise", [False, True])
def test_equals_the_formulas_row_by_row(row_wise, options):
    weight = table()
    optimizer = LazyAdam([weight], lr=0.1, row_wise=row_wise, **options)
    for visited in VISITS:
        optimizer.zero_grad()
        rows = F.embedding(torch.tensor(visited), weight, sparse=True)
        (rows * torch.arange(1.0, 1.0 + len(visited)).unsqueeze(1)).square().sum().backward()
        optimizer.step()
    torch.testing.assert_close(weight.detach(), row_by_row(row_wise, **options))


@pytest.mark.parametrize("row_wise", [False, True])
def test_gradients_are_there_after_the_step(row_wise):
    weight, other = table(), table()
    train(weight, LazyAdam([weight, other], row_wise=row_wise), [EVERY], sparse=True)
    assert torch.equal(other, table())  # which has no gradient
    loss(other, EVERY, sparse=False).backward()
    torch.testing.assert_close(weight.grad.to_dense(), other.grad)


@pytest.mark.parametrize("row_wise", [False, True])
def test_what_is_not_touched_stays_bit_by_bit(row_wise):
    weight = table(dtype=torch.float32)
    optimizer = LazyAdam([weight], lr=0.1, weight_decay=0.3, row_wise=row_wise)
    train(weight, optimizer, with_duplicates(2), sparse=True)
    held = [t for t in optimizer.state[weight].values() if t.dim()]
    before = [t.detach().clone() for t in (weight, *held)]
    train(weight, optimizer, [torch.tensor([1, 4, 1, 1])], sparse=True)
    for old, new in zip(before, (weight, *held), strict=True):
        changed = (old != new).view(NUM_ROWS, -1).any(dim=1)
        assert changed.nonzero().flatten().tolist() == [1, 4]
    train(weight, optimizer, [torch.tensor([], dtype=torch.long)], sparse=True)  # nothing was looked up


@pytest.mark.parametrize(("row_wise", "numbers"), [(False, 2 * NUM_ROWS * DIM), (True, 2 * NUM_ROWS)])
def test_memory_is_what_it_says(row_wise, numbers):
    weight = table()
    optimizer = LazyAdam([weight], row_wise=row_wise)
    train(weight, optimizer, [EVERY], sparse=True)
    assert sum(t.numel() for t in optimizer.state[weight].values()) == numbers + 1  # and the number of steps


def test_dense_parameters_are_left_to_adam():
    def both(make):
        torch.manual_seed(0)
        layer, weight = nn.Linear(DIM, 2), nn.Embedding(NUM_ROWS, DIM, sparse=make is LazyAdam)
        optimizer = make([{"params": layer.parameters(), "lr": 0.2}, {"params": weight.parameters()}], lr=0.1)

        def closure():
            optimizer.zero_grad()
            value = layer(weight(EVERY)).square().sum()
            value.backward()
            return value

        values = [optimizer.step(closure).item() for _ in range(4)]
        return values, [*layer.parameters(), *weight.parameters()]

    (ours, found), (theirs, expected) = both(LazyAdam), both(torch.optim.Adam)
    assert ours == pytest.approx(theirs)
    torch.testing.assert_close(found, expected)


def test_steps_are_fused_on_the_cpu_and_left_to_torch_elsewhere():
    parameters = [table(), nn.Parameter(torch.zeros(2, 4)[:, :2]), nn.Parameter(torch.zeros(2, device="meta"))]
    assert [LazyAdam([one]).param_groups[0]["fused"] for one in parameters] == [True, None, None]


def test_a_parameter_may_be_a_part_of_a_tensor():
    memory, theirs = torch.zeros(NUM_ROWS, 2 * DIM, dtype=torch.float64), table()
    memory[:, :DIM] = theirs.detach()
    ours = nn.Parameter(memory[:, :DIM])
    found = train(ours, LazyAdam([ours], lr=0.1), with_duplicates(6), sparse=False)
    expected = train(theirs, torch.optim.Adam([theirs], lr=0.1), with_duplicates(6), sparse=False)
    torch.testing.assert_close(found, expected)
    assert (memory[:, DIM:] == 0).all()


def test_a_table_may_have_dense_gradients_at_times():
    ours, theirs = table(), table()
    optimizer, adam = LazyAdam([ours], lr=0.1), torch.optim.Adam([theirs], lr=0.1)
    for sparse in (False, True, False, True):
        train(ours, optimizer, [EVERY], sparse=sparse)
        train(theirs, adam, [EVERY], sparse=False)
    torch.testing.assert_close(ours.detach(), theirs.detach())


def test_a_row_wise_step_between_dense_ones_does_not_set_them_back():
    ours, theirs = table(), table()
    optimizer, adam = LazyAdam([ours], lr=0.1, row_wise=True), torch.optim.Adam([theirs], lr=0.1)
    train(ours, optimizer, [EVERY] * 3, sparse=False)
    train(theirs, adam, [EVERY] * 3, sparse=False)
    train(ours, optimizer, [EVERY], sparse=True)
    before = ours.detach().clone(), theirs.detach().clone()
    for weight, either in ((ours, optimizer), (theirs, adam)):
        weight.grad = torch.ones_like(weight)
        either.step()
    torch.testing.assert_close(ours - before[0], theirs - before[1])


@pytest.mark.parametrize("row_wise", [False, True])
def test_state_that_is_put_back_goes_on_exactly(row_wise, tmp_path):
    batches = [torch.tensor(visited) for visited in VISITS]
    weight = table()
    whole = LazyAdam([weight], lr=0.1, row_wise=row_wise)
    expected = [train(weight, whole, batches, sparse=True) for _ in range(2)][-1]
    first = table()
    optimizer = LazyAdam([first], lr=0.1, row_wise=row_wise)
    train(first, optimizer, batches, sparse=True)
    torch.save({"weight": first.detach(), "optimizer": optimizer.state_dict()}, tmp_path / "state.pt")
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    second = nn.Parameter(state["weight"])
    optimizer = LazyAdam([second], lr=0.1, row_wise=row_wise)
    optimizer.load_state_dict(state["optimizer"])
    assert torch.equal(train(second, optimizer, batches, sparse=True), expected)


@pytest.mark.parametrize("row_wise", [False, True])
@pytest.mark.parametrize("again", [copy.deepcopy, lambda optimizer: pickle.loads(pickle.dumps(optimizer))])
def test_a_copy_goes_on_alike(row_wise, again):
    weight = table()
    optimizer = LazyAdam([weight], lr=0.1, row_wise=row_wise)
    train(weight, optimizer, with_duplicates(2), sparse=True)
    other = again(optimizer)
    (twin,) = other.param_groups[0]["params"]
    train(twin, other, with_duplicates(3), sparse=True)
    train(weight, optimizer, with_duplicates(3), sparse=True)
    assert torch.equal(twin, weight)


def test_hooks_run_once_a_step():
    torch.optim.Adam([table()])  # which wraps its step
    weight, calls = table(), []
    optimizer = LazyAdam([weight])
    optimizer.register_step_pre_hook(lambda *_: calls.append("before"))
    optimizer.register_step_post_hook(lambda *_: calls.append("after"))
    train(weight, optimizer, [EVERY], sparse=True)
    assert calls == ["before", "after"]


def test_steps_are_not_counted_in_numbers_that_end_at_256():
    weight = nn.Parameter(torch.zeros(NUM_ROWS, DIM, dtype=torch.bfloat16))
    weight.grad = torch.ones_like(weight).to_sparse(1)
    LazyAdam([weight]).step()
    with pytest.raises(ValueError, match=r"for which torch\.bfloat16 is too small"):
        LazyAdam([weight], row_wise=True).step()


@pytest.mark.parametrize("row_wise", [False, True])
def test_a_backward_pass_through_a_table_that_changed_since_is_an_error(row_wise):
    weight = table()
    squares = (weight * weight).sum()
    train(weight, LazyAdam([weight], row_wise=row_wise), [EVERY], sparse=True)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        squares.backward()
