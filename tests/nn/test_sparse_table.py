"""Item vectors with sparse gradients against a plain parameter."""

import pytest
import torch
import torch.nn.functional as F

from graphmi.nn import ItemTower, SparseTable, TowerTable
from graphmi.retrieval import rank
from graphmi.typing import ItemTable

NUM_ITEMS, DIM = 50, 4


@pytest.fixture
def vectors():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(NUM_ITEMS, DIM, dtype=torch.float64, generator=generator).requires_grad_()


def dense(vectors, normalize):
    return F.normalize(vectors, dim=-1) if normalize else vectors


INDICES = [
    torch.tensor([[3, 7, 3], [0, 49, 7]]),
    torch.tensor(5),
    torch.empty(0, 2, dtype=torch.long),
    slice(None),
    slice(45, 60),
    slice(3, 3),
]


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("index", INDICES, ids=str)
def test_same_vectors_and_gradients_as_a_parameter(vectors, index, normalize):
    expected = dense(vectors, normalize)[index]
    wanted = torch.autograd.grad(expected.exp().sum(), vectors)[0]
    table = SparseTable(vectors, normalize)
    found = table[index]
    torch.testing.assert_close(found, expected, rtol=0, atol=0)
    found.exp().sum().backward()
    assert vectors.grad.is_sparse
    torch.testing.assert_close(vectors.grad.to_dense(), wanted)
    with torch.no_grad():
        assert torch.equal(table[index], expected)


def test_the_gradient_has_the_rows_that_were_looked_up(vectors):
    table = SparseTable(vectors, normalize=True)
    assert isinstance(table, ItemTable)
    assert len(table) == NUM_ITEMS
    (table[torch.tensor([3, 7, 3])].exp().sum() + table[torch.tensor([[9], [7]])].sum()).backward()
    assert vectors.grad._values().shape == (5, DIM)
    assert vectors.grad.coalesce().indices().tolist() == [[3, 7, 9]]


def test_a_slice_without_gradients_is_a_view(vectors):
    with torch.no_grad():
        assert SparseTable(vectors)[10:20].data_ptr() == vectors[10].data_ptr()


@pytest.mark.parametrize("normalize", [False, True])
def test_under_an_item_tower(vectors, normalize):
    tower, features = ItemTower(DIM, 2).double(), torch.rand(NUM_ITEMS, 2)
    index = torch.tensor([[3, 7], [3, 1]])
    sparse = TowerTable(tower, SparseTable(vectors), features, normalize)
    plain = TowerTable(tower, vectors, features, normalize)
    assert len(sparse) == NUM_ITEMS
    found, expected = sparse[index].exp().sum(), plain[index].exp().sum()
    torch.testing.assert_close(found, expected)
    inputs = [vectors, *tower.parameters()]
    ours, theirs = torch.autograd.grad(found, inputs), torch.autograd.grad(expected, inputs)
    assert ours[0].is_sparse
    torch.testing.assert_close([g.to_dense() for g in ours], [*theirs])
    with torch.no_grad():
        torch.testing.assert_close(sparse[5:9], plain[5:9])


@pytest.mark.parametrize("normalize", [False, True])
def test_full_ranking_is_the_same(normalize):
    """More items than retrieval ranks at once."""
    generator = torch.Generator().manual_seed(1)
    vectors = torch.randn(40_000, DIM, generator=generator).requires_grad_()
    queries = torch.randn(9, 3, DIM, generator=generator)
    found = rank(queries, SparseTable(vectors, normalize), 10)
    for ours, theirs in zip(found, rank(queries, dense(vectors, normalize), 10), strict=True):
        assert torch.equal(ours, theirs)
