import pytest
import torch

from graphmi.losses import MultiInterestLoss, SampledSoftmaxLoss, best, in_cache, products
from graphmi.losses.best import partition_of_best
from graphmi.losses.hits import Matches, Places, leave_out
from graphmi.losses.in_cache import NegativeVectors
from graphmi.nn import Readout, SelectReadout
from graphmi.typing import Negatives, Representations

HITS = {
    "no hits": None,
    "places": Places(torch.tensor([0, 3, 3, 3, 3, 3, 6]), torch.tensor([3, 0, 1, 2, 3, 4, 2])),
    "matches": Matches(torch.tensor([8, 1, 2, 9, 4, 5, 6]), torch.tensor([9, 9, 9, 9, 9])),
}
NOWHERE = Places(*torch.empty(2, 0, dtype=torch.int64))
SOMEWHERE = Places(torch.tensor([3, 0, 6, 3, 3, 1]), torch.tensor([4, 1, 0, 2, 4, 3]))  # in no order, and one twice


def vectors(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=torch.float64, generator=generator)


@pytest.mark.parametrize("block", [1, 60, 2**18])
@pytest.mark.parametrize("wide", [1, 2, 4096])
@pytest.mark.parametrize("correction", [None, (5,), (7, 1, 1), (7, 1, 5)], ids=["none", "shared", "per row", "all"])
@pytest.mark.parametrize("hits", HITS.values(), ids=HITS)
@pytest.mark.parametrize("valid", [None, vectors(7, 5, seed=5) > -0.5], ids=["all", "valid"])
@pytest.mark.parametrize("size", [1.0, 100.0], ids=["small", "large"])
@pytest.mark.parametrize("num_vectors", [1, 3])
def test_is_the_log_partition_of_the_largest_products(
    monkeypatch, block, wide, correction, hits, valid, size, num_vectors
):
    monkeypatch.setattr(in_cache, "_BLOCK", block)
    for module in (products, best):
        monkeypatch.setattr(module, "WIDE", wide)
    monkeypatch.setattr(products, "_FILL", 1)
    variables = (size * vectors(7, num_vectors, 4)).requires_grad_(), vectors(5, 4, seed=1).requires_grad_()
    left, right = variables
    largest = (left @ right.T).max(1).values
    scores = largest / 0.5
    if correction is not None:
        correction = vectors(*correction, seed=2)
        correction.view(-1)[0] = -torch.inf
        scores = scores + (correction if correction.dim() == 1 else correction.squeeze(1))
    found, at = partition_of_best(left, NegativeVectors(right, correction, hits, valid), 0.5, SOMEWHERE)
    if hits is not None:
        removed = torch.zeros(7, 5, dtype=torch.float64)
        leave_out(removed, hits)
        scores = scores + removed
    if valid is not None:
        scores = scores.masked_fill(~valid, -torch.inf)
    kept = scores.isfinite().any(-1)
    torch.testing.assert_close(found[kept], scores[kept].logsumexp(-1))
    assert (found[~kept] == -torch.inf).all()
    torch.testing.assert_close(at, largest[SOMEWHERE.row, SOMEWHERE.column])
    directions = vectors(7, seed=3), vectors(6, seed=4)
    total = (directions[0][kept] * scores[kept].logsumexp(-1)).sum() + (
        directions[1] * largest[SOMEWHERE.row, SOMEWHERE.column]
    ).sum()
    expected = torch.autograd.grad(total, variables)
    for part, other in zip(torch.autograd.grad((found, at), variables, directions), expected, strict=True):
        torch.testing.assert_close(part, other)


@pytest.mark.parametrize("num_vectors", [1, 3])
def test_gradients(num_vectors):
    variables = vectors(7, num_vectors, 4).requires_grad_(), vectors(5, 4, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda left, right: partition_of_best(left, NegativeVectors(right), 0.7, SOMEWHERE), variables
    )
    assert torch.autograd.gradcheck(
        lambda left: partition_of_best(left, NegativeVectors(variables[1].detach()), 0.7, SOMEWHERE), variables[:1]
    )


def test_of_equal_products_the_first_has_the_gradient():
    left, right = vectors(3, 1, 4).expand(3, 3, 4).clone(), vectors(5, 4, seed=1).requires_grad_()
    left[1, 0] *= -1  # here the second and the third are equal, and the first is larger for some
    left.requires_grad_()
    total = partition_of_best(left, NegativeVectors(right), 1.0, NOWHERE)[0].sum()
    expected = torch.autograd.grad((left @ right.T).max(1).values.logsumexp(-1).sum(), (left, right))
    found = torch.autograd.grad(total, (left, right))
    torch.testing.assert_close(found, expected)
    assert found[0][0, 0].any()
    assert found[0][1, 1].any()
    assert not found[0][:, 2].any()


def test_vectors_may_lie_anywhere_in_memory():
    left, right = vectors(3, 7, 4).transpose(0, 1).requires_grad_(), vectors(4, 5, seed=1).T.requires_grad_()
    found, at = partition_of_best(left, NegativeVectors(right), 1.0, SOMEWHERE)
    largest = (left @ right.T).max(1).values
    torch.testing.assert_close(found, largest.logsumexp(-1))
    expected = torch.autograd.grad(
        largest.logsumexp(-1).sum() + largest[SOMEWHERE.row, SOMEWHERE.column].sum(), (left, right)
    )
    torch.testing.assert_close(torch.autograd.grad(found.sum() + at.sum(), (left, right)), expected)


@pytest.mark.parametrize("autocast", [True, False])
@pytest.mark.parametrize("num_vectors", [1, 3])
def test_in_half_precision_it_is_that_of_all_products_in_full(num_vectors, autocast):
    kind = torch.float32 if autocast else torch.bfloat16
    left, right = vectors(7, num_vectors, 4).to(kind).requires_grad_(), vectors(5, 4, seed=1).to(kind).requires_grad_()
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        found, at = partition_of_best(left, NegativeVectors(right), 1.0, SOMEWHERE)
    largest = (left.float() @ right.float().T).amax(1)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, largest.logsumexp(-1), rtol=0.02, atol=0.02)
    torch.testing.assert_close(at.float(), largest[SOMEWHERE.row, SOMEWHERE.column], rtol=0.02, atol=0.02)


class Plain(SampledSoftmaxLoss):
    """A softmax of somebody else, with a partition of its own."""

    def partition(self, neg, correction=None, hits=None):
        return super().partition(neg, correction, hits)


@pytest.mark.parametrize("objective", [SampledSoftmaxLoss, Plain])
@pytest.mark.parametrize("known", [torch.tensor([4, 0, 3, 5, 1]), torch.tensor([0, 3, 4, 1, 5])])
@pytest.mark.parametrize("mask", [None, torch.tensor([[1, 1, 1], [0, 1, 0], [0, 1, 1], [1, 0, 0]]).bool()])
def test_the_loss_of_whole_users_is_that_of_all_scores(monkeypatch, objective, known, mask):
    interests, items = vectors(4, 3, 5).requires_grad_(), vectors(6, 5, seed=1).requires_grad_()
    valid = torch.ones(4, 6, dtype=torch.bool)
    row = torch.tensor([2, 1, 1, 3, 0])
    valid[row, known] = False
    out = Representations(interests, items, interest_mask=mask)
    loss = MultiInterestLoss(SelectReadout(anchor="candidate"), objective(0.7))
    negatives = Negatives(torch.arange(6), valid=valid, excludes_known=True, all_items=True)
    found = loss(out, known, negatives, row)
    monkeypatch.setattr(SelectReadout, "partitioned", Readout.partitioned)
    expected = loss(out, known, negatives, row)
    torch.testing.assert_close(found, expected)
    for part, other in zip(*(torch.autograd.grad(of, (interests, items)) for of in (found, expected)), strict=True):
        torch.testing.assert_close(part, other)


class OwnProducts(SampledSoftmaxLoss):
    """A softmax whose products are made in a way of somebody else."""

    def partition_of_products(self, query, negatives):
        return super().partition_of_products(2 * query, negatives)


def test_products_of_ones_own_are_not_passed_by():
    interests, items = vectors(4, 1, 5), vectors(6, 5, seed=1)
    row, known = torch.tensor([2, 1, 1, 3, 0]), torch.tensor([0, 3, 4, 1, 5])
    out = Representations(interests, items)
    loss = MultiInterestLoss(SelectReadout(anchor="candidate"), OwnProducts(0.7))
    found = loss(out, known, Negatives(torch.arange(6), excludes_known=True, all_items=True), row)
    scores = (interests.squeeze(1) @ items.T)[row]
    partition = (2 * scores / 0.7).logsumexp(1)
    expected = torch.nn.functional.softplus(partition - scores[torch.arange(5), known] / 0.7).mean()
    torch.testing.assert_close(found, expected)
