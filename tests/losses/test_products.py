import pytest
import torch

from graphmi.losses import MultiInterestLoss, SampledSoftmaxLoss, products
from graphmi.losses.partition import log_partition
from graphmi.losses.products import partition_of_products
from graphmi.nn import ArgmaxSelector, InverseDistanceSelector, SelectReadout, SoftmaxSelector
from graphmi.typing import Negatives, Representations

CORRECTIONS = {"none": None, "shared": (5,), "per row": (7, 1), "all": (7, 5)}
HITS = {"no hits": None, "hits": (torch.tensor([0, 3, 3, 3, 3, 3, 6]), torch.tensor([3, 0, 1, 2, 3, 4, 2]))}


def vectors(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=torch.float64, generator=generator)


@pytest.mark.parametrize("block", [1, 10, 2**18])
@pytest.mark.parametrize("correction", CORRECTIONS.values(), ids=CORRECTIONS)
@pytest.mark.parametrize("hits", HITS.values(), ids=HITS)
def test_is_the_log_partition_of_the_products(monkeypatch, block, correction, hits):
    monkeypatch.setattr(products, "_BLOCK", block)
    variables = left, right = vectors(7, 3).requires_grad_(), vectors(5, 3, seed=1).requires_grad_()
    if correction is not None:
        correction = vectors(*correction, seed=2)
        correction.view(-1)[0] = -torch.inf
    found = partition_of_products(left, right, correction, 0.5, hits)
    scores = left @ right.T / 0.5 if correction is None else left @ right.T / 0.5 + correction
    if hits is not None:
        scores = scores.index_put(hits, scores.new_tensor(-torch.inf))
    kept = scores.isfinite().any(1)
    torch.testing.assert_close(found[kept], scores[kept].logsumexp(1))
    assert (found[~kept] == -torch.inf).all()
    direction = 100 * vectors(7, seed=3)
    expected = torch.autograd.grad((direction[kept] * scores[kept].logsumexp(1)).sum(), variables)
    gradients = torch.autograd.grad(found, variables, direction)  # rows with nothing left add nothing
    for part, other in zip(gradients, expected, strict=True):
        torch.testing.assert_close(part, other)


def test_gradients():
    hits = HITS["hits"]
    variables = vectors(7, 3).requires_grad_(), vectors(5, 3, seed=1).requires_grad_()
    kept = torch.arange(7) != 3
    assert torch.autograd.gradcheck(lambda u, v: partition_of_products(u, v, None, 0.7, hits)[kept], variables)
    assert torch.autograd.gradcheck(lambda u, v: partition_of_products(u, v)[kept], variables)


def test_a_row_without_negatives_gets_no_gradient():
    left, right = vectors(2, 3).requires_grad_(), vectors(1, 3).requires_grad_()
    found = partition_of_products(left, right, hits=(torch.tensor([0]), torch.tensor([0])))
    loss = SampledSoftmaxLoss().compare(torch.zeros(2, dtype=torch.float64), found)
    loss.sum().backward()
    assert loss[0] == 0
    assert not left.grad[0].any()
    assert left.grad[1].all()


def test_large_products_are_finite():
    left, right = 1e4 * torch.eye(2), torch.eye(2)
    torch.testing.assert_close(partition_of_products(left, right), torch.full((2,), 1e4))
    torch.testing.assert_close(partition_of_products(-left, right - 1), log_partition(-left @ (right - 1).T))


def test_autocast_takes_the_products_as_it_would():
    left, right = torch.randn(4, 3).bfloat16(), torch.randn(5, 3)
    with torch.autocast("cpu", torch.bfloat16):
        found = partition_of_products(left, right)
        expected = log_partition(left @ right.T)
    assert torch.equal(found, expected)


@pytest.mark.parametrize("num_interests", [1, 3])
@pytest.mark.parametrize(
    "readout",
    [SelectReadout(), SelectReadout(SoftmaxSelector()), SelectReadout(anchor="candidate")],
    ids=["hard", "soft", "candidate"],
)
def test_what_readouts_call_a_query_has_the_scores_as_products(readout, num_interests):
    interests, items = vectors(4, num_interests, 5), vectors(6, 5, seed=1)
    scores = readout(interests, items[:4].unsqueeze(1), items)
    if readout.gives_query(interests):
        torch.testing.assert_close(scores.query @ items.T, scores.neg)
    else:
        assert (readout.anchor, num_interests, scores.query) == ("candidate", 3, None)


def test_one_interest_is_read_alike_whoever_chooses_it():
    interests, items, row = vectors(4, 1, 5), vectors(6, 5, seed=1), torch.tensor([0, 0, 3])
    everyone = torch.ones(4, 1, dtype=torch.bool)
    for selector in (ArgmaxSelector(), SoftmaxSelector(), InverseDistanceSelector()):
        readout = SelectReadout(selector, anchor="candidate")
        found, masked = (readout(interests, items[:4].unsqueeze(1), items, mask) for mask in (None, everyone))
        torch.testing.assert_close(found[:2], masked[:2])
        torch.testing.assert_close(found.neg, interests.squeeze(1) @ items.T)
        grouped = readout.grouped(interests, items[:3], items, row)
        torch.testing.assert_close(grouped.neg, found.neg)
        torch.testing.assert_close(grouped.pos, found.neg[row, torch.arange(3)])
    nobody = readout(interests, items[:4].unsqueeze(1), items, ~everyone)
    assert nobody.query is None


def test_several_vectors_per_item_are_no_products():
    interests, items = vectors(4, 3, 5), vectors(6, 10, seed=1)
    assert SelectReadout()(interests, items[:4].unsqueeze(1), items).query is None
    loss = MultiInterestLoss(SelectReadout(), SampledSoftmaxLoss())
    positive = torch.arange(4)
    shared = loss(Representations(interests, items), positive, Negatives(torch.tensor([4, 5, 0])))
    own = loss(Representations(interests, items), positive, Negatives(torch.tensor([[4, 5, 0]] * 4)))
    torch.testing.assert_close(shared, own)
