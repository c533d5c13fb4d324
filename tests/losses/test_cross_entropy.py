import math

import pytest
import torch
import torch.nn.functional as F

from graphmi.losses import MultiInterestLoss, SampledSoftmaxLoss, in_cache, products
from graphmi.losses.cross_entropy import cross_entropy_of_products
from graphmi.losses.hits import Places, leave_out
from graphmi.nn import LogSumExpReadout, SelectReadout
from graphmi.typing import Negatives, Representations

CORRECTIONS = {
    "none": None,
    "shared": (5,),
    "shared, 3": (1, 1, 5),
    "per row": (7, 1, 1),
    "all": (7, 1, 5),
    "one": (1,),
}
HITS = {"no hits": None, "places": Places(torch.tensor([0, 3, 3, 3, 3, 3, 6]), torch.tensor([3, 0, 1, 2, 3, 4, 2]))}


def numbers(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def plain(left, right, pos, correction=None, temperature=1.0, hits=None, valid=None):
    scores = left @ right.T / temperature
    if correction is not None:
        scores = scores + correction
    if hits is not None:
        left_out = torch.zeros_like(scores)
        leave_out(left_out, hits)
        scores = scores + left_out
    if valid is not None:
        scores = scores.masked_fill(~valid.unsqueeze(1), -torch.inf)
    every = torch.cat([pos.unsqueeze(1) / temperature, scores.flatten(1)], 1)
    return every.logsumexp(1) - pos / temperature


@pytest.mark.parametrize("size", [1.0, 30.0], ids=["small", "large"])
@pytest.mark.parametrize("block", [1, 2**18])
@pytest.mark.parametrize("num_vectors", [1, 2])
@pytest.mark.parametrize("correction", CORRECTIONS.values(), ids=CORRECTIONS)
@pytest.mark.parametrize("hits", HITS.values(), ids=HITS)
@pytest.mark.parametrize("valid", [None, numbers(7, 5, seed=5) > -0.5], ids=["all", "valid"])
@pytest.mark.parametrize("rows", ["alike", "different"])
def test_is_the_cross_entropy_of_all_products(monkeypatch, size, block, num_vectors, correction, hits, valid, rows):
    monkeypatch.setattr(in_cache, "_BLOCK", block)
    monkeypatch.setattr("graphmi.losses.cross_entropy._FEW", 3)  # the last block has fewer rows
    left, right = size * numbers(7, num_vectors, 3), numbers(5, 3, seed=1)
    inputs = [each.requires_grad_() for each in (left, right, size * numbers(7, seed=2))]
    if correction is not None:
        correction = numbers(*correction, seed=3)
    arguments = (correction, 0.5, hits, valid)
    found, expected = cross_entropy_of_products(*inputs, *arguments), plain(*inputs, *arguments)
    torch.testing.assert_close(found, expected)
    direction = torch.full((7,), 0.3, dtype=torch.float64) if rows == "alike" else numbers(7, seed=4)
    gradients = torch.autograd.grad(found, inputs, direction)
    for part, other in zip(gradients, torch.autograd.grad(expected, inputs, direction), strict=True):
        torch.testing.assert_close(part, other)


def test_as_many_rows_as_negatives_have_corrections_of_their_own():
    inputs = [each.requires_grad_() for each in (numbers(5, 1, 3), numbers(5, 3, seed=1), numbers(5, seed=2))]
    correction = numbers(5, 1, 1, seed=3)
    found, expected = cross_entropy_of_products(*inputs, correction), plain(*inputs, correction)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("correction", [None, torch.tensor([-torch.inf, 0.0, 1.0, -torch.inf])])
def test_negatives_that_do_not_count(correction):
    inputs = [each.requires_grad_() for each in (numbers(3, 2, 3), numbers(4, 3, seed=1), numbers(3, seed=2))]
    nothing_left = Places(torch.tensor([1, 1, 1, 1]), torch.arange(4))
    loss = cross_entropy_of_products(*inputs, correction, 1.0, nothing_left)
    assert loss[1] == 0
    loss.sum().backward()
    assert (inputs[0].grad[1] == 0).all()
    assert inputs[2].grad[1] == 0
    assert all(each.grad.isfinite().all() for each in inputs)
    if correction is not None:
        assert (inputs[1].grad[[0, 3]] == 0).all()


@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
def test_nothing_is_left_beside_a_positive_far_below(kind):
    pos = torch.tensor([-2000.0, 1.0], dtype=kind)
    inputs = [each.to(kind).requires_grad_() for each in (0.1 * numbers(2, 1, 3), numbers(4, 3, seed=1), pos)]
    arguments = (None, 0.1, None, torch.tensor([[False], [True]]).expand(2, 4))
    gradients = torch.autograd.grad(cross_entropy_of_products(*inputs, *arguments).mean(), inputs)
    for part, other in zip(gradients, torch.autograd.grad(plain(*inputs, *arguments).mean(), inputs), strict=True):
        torch.testing.assert_close(part, other)


def test_no_rows():
    left, right, pos = (numbers(*shape).requires_grad_() for shape in ((0, 1, 3), (4, 3), (0,)))
    cross_entropy_of_products(left, right, pos).sum().backward()
    assert (right.grad == 0).all()
    with torch.no_grad():
        assert cross_entropy_of_products(left, right, pos).shape == (0,)
    assert products.partition_of_products(left, right).shape == (0, 1)


@pytest.mark.parametrize("learns", range(3), ids=["left", "right", "pos"])
@pytest.mark.parametrize("direction", [torch.ones(3).double(), numbers(3, seed=4)], ids=["alike", "different"])
def test_a_second_derivative_is_refused(learns, direction):
    inputs = [numbers(3, 1, 3), numbers(4, 3, seed=1), numbers(3, seed=2)]
    variable = inputs[learns].requires_grad_()
    (gradient,) = torch.autograd.grad(cross_entropy_of_products(*inputs), variable, direction, create_graph=True)
    torch.testing.assert_close(gradient, torch.autograd.grad(plain(*inputs), variable, direction)[0])
    with pytest.raises(RuntimeError, match="once only"):
        gradient.square().sum().backward()


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_sums_of_half_precision_are_in_full(kind):
    left, right = torch.zeros(2, 1, 4, dtype=kind, requires_grad=True), torch.zeros(70_000, 4, dtype=kind)
    loss = cross_entropy_of_products(left, right, torch.zeros(2, dtype=kind))
    torch.testing.assert_close(loss, torch.full((2,), 70_001.0).log())


def test_gradients():
    inputs = [each.requires_grad_() for each in (numbers(4, 2, 3), numbers(5, 3, seed=1), numbers(4, seed=2))]
    assert torch.autograd.gradcheck(lambda *x: cross_entropy_of_products(*x, None, 0.7), inputs)
    assert torch.autograd.gradcheck(lambda *x: cross_entropy_of_products(*x, None, 0.7).mean(), inputs)


@pytest.mark.parametrize("size", [1e-3, 1.0, 1e3, 1e18, 1e30])
def test_numbers_of_any_size_in_float32(size):
    left, right, pos = size * numbers(7, 1, 3).float(), numbers(5, 3, seed=1).float(), size * numbers(7, seed=2).float()
    inputs = [each.requires_grad_() for each in (left, right, pos)]
    loss = cross_entropy_of_products(*inputs)
    # Products of this size and a positive cancel, and how exactly depends on the order of a processor's sums.
    torch.testing.assert_close(loss / max(size, 1.0), plain(*inputs) / max(size, 1.0))
    loss.mean().backward()
    assert all(each.grad.isfinite().all() for each in inputs)


@pytest.mark.parametrize("size", [1e2, 1e4])
def test_corrections_of_any_size_in_float32(size):
    inputs = [each.float().requires_grad_() for each in (numbers(7, 1, 3), numbers(5, 3, seed=1), numbers(7, seed=2))]
    correction = size * numbers(5, seed=3).float()
    loss = cross_entropy_of_products(*inputs, correction)
    torch.testing.assert_close(loss, plain(*inputs, correction))
    loss.mean().backward()
    assert all(each.grad.isfinite().all() for each in inputs)


def test_vectors_may_lie_anywhere_in_memory():
    left, right, pos = numbers(2, 7, 3).transpose(0, 1).requires_grad_(), numbers(3, 5, seed=1).T, numbers(7, seed=2)
    found = cross_entropy_of_products(left, right, pos)
    (gradient,) = torch.autograd.grad(found.mean(), left)
    expected = plain(left, right, pos)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(gradient, torch.autograd.grad(expected.mean(), left)[0])


def test_keeps_no_products_and_makes_a_block_at_a_time(monkeypatch, make_largest):
    monkeypatch.setattr(in_cache, "_BLOCK", 800)
    monkeypatch.setattr("graphmi.losses.cross_entropy._FEW", 1)
    inputs = [each.requires_grad_() for each in (numbers(100, 2, 3), numbers(200, 3, seed=1), numbers(100, seed=2))]
    with make_largest() as largest:
        loss = cross_entropy_of_products(*inputs)
    assert sum(each.numel() for each in loss.grad_fn.saved_tensors) == 2 * sum(each.numel() for each in inputs)
    assert largest.numel == 800
    with make_largest() as largest:
        loss.mean().backward()
    assert largest.numel == 600  # the gradients kept are multiplied


def test_a_loss_without_gradients_is_the_same():
    inputs = numbers(7, 2, 3), numbers(5, 3, seed=1), numbers(7, seed=2)
    arguments = (numbers(7, 1, 5, seed=3), 0.5, HITS["places"], numbers(7, 5, seed=5) > -0.5)
    torch.testing.assert_close(cross_entropy_of_products(*inputs, *arguments), plain(*inputs, *arguments))


@pytest.mark.parametrize("kinds", [(torch.float64, torch.float32), (torch.float32, torch.float64)])
def test_scores_of_positives_and_corrections_may_have_another_precision(kinds):
    left, right = numbers(7, 1, 3).float().requires_grad_(), numbers(5, 3, seed=1).float()
    pos, correction = (numbers(*shape, seed=2).to(kind) for shape, kind in zip([(7,), (5,)], kinds, strict=True))
    found, expected = (loss(left, right, pos, correction) for loss in (cross_entropy_of_products, plain))
    torch.testing.assert_close(found, expected, check_dtype=False)
    torch.testing.assert_close(*(torch.autograd.grad(each.mean(), left)[0] for each in (found, expected)))


@pytest.mark.parametrize("readout", [SelectReadout(), LogSumExpReadout()])
def test_losses_are_computed_by_it(monkeypatch, readout):
    called = []

    def noted(*arguments):
        called.append(len(arguments))
        return cross_entropy_of_products(*arguments)

    monkeypatch.setattr("graphmi.losses.softmax.cross_entropy_of_products", noted)
    out = Representations(numbers(4, 2, 3).requires_grad_(), numbers(9, 3, seed=1))
    positive, negatives = torch.tensor([0, 1, 2, 3]), Negatives(torch.arange(9), all_items=True)
    loss = MultiInterestLoss(readout, SampledSoftmaxLoss())(out, positive, negatives)
    assert called
    own = out.items[positive].unsqueeze(1)
    scores = readout(out.interests, own, out.items)
    torch.testing.assert_close(loss, F.cross_entropy(scores.neg, positive))


class HalfTheSum(SelectReadout):
    def partitioned(self, *arguments, **options):
        scores = super().partitioned(*arguments, **options)
        return scores._replace(neg=scores.neg - math.log(2))


class HalfOfAll(LogSumExpReadout):
    def partitioned(self, *arguments, **options):
        scores = super().partitioned(*arguments, **options)
        return scores._replace(neg=scores.neg - math.log(2))


@pytest.mark.parametrize("readout", [HalfTheSum(), HalfOfAll()])
def test_how_the_readout_of_a_subclass_sums_counts(readout):
    out = Representations(numbers(4, 2, 3).requires_grad_(), numbers(9, 3, seed=1))
    positive, negatives = torch.tensor([0, 1, 2, 3]), Negatives(torch.arange(9), all_items=True)
    loss = MultiInterestLoss(readout, SampledSoftmaxLoss())(out, positive, negatives)
    scores = readout(out.interests, out.items[positive].unsqueeze(1), out.items)
    others = scores.neg.scatter(1, positive.unsqueeze(1), -torch.inf).logsumexp(1) - math.log(2)
    torch.testing.assert_close(loss, F.softplus(others - scores.pos).mean())


class HalfAsMuch(SampledSoftmaxLoss):
    def compare(self, pos, partition):
        return super().compare(pos, partition) / 2


def test_what_a_subclass_compares_counts():
    out = Representations(numbers(4, 2, 3).requires_grad_(), numbers(9, 3, seed=1))
    positive, negatives = torch.tensor([0, 1, 2, 3]), Negatives(torch.arange(9), all_items=True)
    whole, half = (
        MultiInterestLoss(SelectReadout(), kind())(out, positive, negatives)
        for kind in (SampledSoftmaxLoss, HalfAsMuch)
    )
    torch.testing.assert_close(half, whole / 2)
