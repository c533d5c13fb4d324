import math

import pytest
import torch

from graphmi.losses import MultiInterestLoss, SampledSoftmaxLoss, UniformWeighting, in_cache, products
from graphmi.losses.hits import Matches, Places, leave_out
from graphmi.losses.partition import log_partition
from graphmi.losses.products import partition_of_products
from graphmi.nn import (
    ArgmaxSelector,
    Cosine,
    ExpectedReadout,
    InverseDistanceSelector,
    JointReadout,
    LogSumExpReadout,
    MixtureReadout,
    Readout,
    SelectReadout,
    SoftmaxSelector,
)
from graphmi.typing import Negatives, Representations

CORRECTIONS = {"none": None, "shared": (5,), "per row": (7, 1, 1), "per vector": (7, 2, 5), "all": (7, 1, 5)}
HITS = {
    "no hits": None,
    "places": Places(torch.tensor([0, 3, 3, 3, 3, 3, 6]), torch.tensor([3, 0, 1, 2, 3, 4, 2])),
    "matches": Matches(torch.tensor([8, 1, 2, 9, 4, 5, 6]), torch.tensor([9, 9, 9, 9, 9])),
}


def vectors(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=torch.float64, generator=generator)


@pytest.mark.parametrize("block", [1, 10, 2**18])
@pytest.mark.parametrize("piece", [1, 160, 2**25])
@pytest.mark.parametrize("correction", CORRECTIONS.values(), ids=CORRECTIONS)
@pytest.mark.parametrize("hits", HITS.values(), ids=HITS)
@pytest.mark.parametrize("valid", [None, vectors(7, 5, seed=5) > -0.5], ids=["all", "valid"])
@pytest.mark.parametrize("size", [1.0, 100.0], ids=["small", "large"])
def test_is_the_log_partition_of_the_products(monkeypatch, block, piece, correction, hits, valid, size):
    monkeypatch.setattr(in_cache, "_BLOCK", block)
    monkeypatch.setattr(in_cache, "_PIECE", piece)
    variables = left, right = (size * vectors(7, 2, 3)).requires_grad_(), vectors(5, 3, seed=1).requires_grad_()
    if correction is not None:
        correction = vectors(*correction, seed=2)
        correction.view(-1)[0] = -torch.inf
    found = partition_of_products(left, right, correction, 0.5, hits, valid)
    scores = left @ right.T / 0.5 if correction is None else left @ right.T / 0.5 + correction
    if hits is not None:
        removed = torch.zeros(7, 2, 5, dtype=torch.float64)
        leave_out(removed, hits)
        scores = scores + removed
    if valid is not None:
        scores = scores.masked_fill(~valid.unsqueeze(1), -torch.inf)
    kept = scores.isfinite().any(-1)
    torch.testing.assert_close(found[kept], scores[kept].logsumexp(-1))
    assert (found[~kept] == -torch.inf).all()
    direction = 100 * vectors(7, 2, seed=3)
    expected = torch.autograd.grad((direction[kept] * scores[kept].logsumexp(-1)).sum(), variables)
    gradients = torch.autograd.grad(found, variables, direction)  # rows with nothing left add nothing
    for part, other in zip(gradients, expected, strict=True):
        torch.testing.assert_close(part, other)


@pytest.mark.parametrize("wide", [1, 2])
@pytest.mark.parametrize("correction", CORRECTIONS.values(), ids=CORRECTIONS)
@pytest.mark.parametrize("hits", HITS.values(), ids=HITS)
@pytest.mark.parametrize("valid", [None, vectors(7, 5, seed=5) > -0.5], ids=["all", "valid"])
def test_many_negatives_are_taken_in_parts(monkeypatch, wide, correction, hits, valid):
    variables = vectors(7, 2, 3).requires_grad_(), vectors(5, 3, seed=1).requires_grad_()
    if correction is not None:
        correction = vectors(*correction, seed=2)
    expected = partition_of_products(*variables, correction, 0.5, hits, valid)
    monkeypatch.setattr(products, "WIDE", wide)
    monkeypatch.setattr(products, "_FILL", 1)
    found, direction = partition_of_products(*variables, correction, 0.5, hits, valid), vectors(7, 2, seed=3)
    torch.testing.assert_close(found, expected)
    for part, other in zip(*(torch.autograd.grad(of, variables, direction) for of in (found, expected)), strict=True):
        torch.testing.assert_close(part, other)


def test_gradients():
    hits = HITS["places"]
    variables = vectors(7, 2, 3).requires_grad_(), vectors(5, 3, seed=1).requires_grad_()
    kept = torch.arange(7) != 3
    assert torch.autograd.gradcheck(lambda u, v: partition_of_products(u, v, None, 0.7, hits)[kept], variables)
    assert torch.autograd.gradcheck(lambda u, v: partition_of_products(u, v)[kept], variables)


def test_vectors_may_lie_anywhere_in_memory():
    left, right = vectors(2, 7, 3), vectors(5, 3, seed=1)
    found = partition_of_products(left.transpose(0, 1).requires_grad_(), right)
    found.sum().backward()
    torch.testing.assert_close(found, (left.transpose(0, 1) @ right.T).logsumexp(-1))


def test_a_row_without_negatives_gets_no_gradient():
    left, right = vectors(2, 1, 3).requires_grad_(), vectors(1, 3).requires_grad_()
    found = partition_of_products(left, right, hits=Places(torch.tensor([0]), torch.tensor([0])))
    loss = SampledSoftmaxLoss().compare(torch.zeros(2, dtype=torch.float64), found.squeeze(1))
    loss.sum().backward()
    assert loss[0] == 0
    assert not left.grad[0].any()
    assert left.grad[1].all()


@pytest.mark.parametrize("size", [40.0, 90.0, 1e4])
@pytest.mark.parametrize(("product", "correction"), [(1, 0), (-1, 0), (1, 1), (1, -3)])
def test_large_products_and_corrections_are_finite(size, product, correction):
    left, right = torch.full((1, 2, 100), product * size / 100), torch.ones(2, 100)
    found = partition_of_products(left, right, torch.full((2,), correction * size))
    torch.testing.assert_close(found, torch.full((1, 2), (product + correction) * size + math.log(2)))


@pytest.mark.parametrize("block", [700, 2**18])
@pytest.mark.parametrize("correction", [*CORRECTIONS.values(), (1, 2, 5)], ids=[*CORRECTIONS, "of a vector"])
@pytest.mark.parametrize("hits", HITS.values(), ids=HITS)
@pytest.mark.parametrize("valid", [None, vectors(7, 5, seed=5) > -0.5], ids=["all", "valid"])
def test_autocast_takes_products_in_half_precision(monkeypatch, block, correction, hits, valid):
    monkeypatch.setattr(in_cache, "_BLOCK", block)
    variables = [vectors(7, 2, 3).float().requires_grad_(), vectors(5, 3, seed=1).float().requires_grad_()]
    if correction is not None:
        correction = vectors(*correction, seed=2).float()
    expected = partition_of_products(*variables, correction, 0.5, hits, valid)
    with torch.autocast("cpu", torch.bfloat16):
        found = partition_of_products(*variables, correction, 0.5, hits, valid)
        mixed = partition_of_products(variables[0].bfloat16(), variables[1], correction, 0.5, hits, valid)
    assert found.dtype == mixed.dtype == torch.float32
    for other in (found, mixed):
        torch.testing.assert_close(other, expected, atol=0.02, rtol=0.005)
    direction = 100 * vectors(7, 2, seed=3).float().where(expected.isfinite(), 0)
    gradients = (torch.autograd.grad(each, variables, direction) for each in (found, expected))
    for part, other in zip(*gradients, strict=True):
        assert part.dtype == torch.float32
        assert (part - other).norm() < 0.02 * other.norm()


def test_under_autocast_sums_have_full_precision():
    with torch.autocast("cpu", torch.bfloat16):
        found = partition_of_products(torch.zeros(1, 1, 4), torch.zeros(5000, 4))
    torch.testing.assert_close(found, torch.full((1, 1), 5000.0).log())


def test_powers_that_are_kept_have_room_in_float16():
    left, right = torch.full((1, 1, 4), 3.0, requires_grad=True), torch.full((2, 4), 3.0)
    with torch.autocast("cpu", torch.float16):
        partition_of_products(left, right).backward()  # of products of 36
    torch.testing.assert_close(left.grad, torch.full((1, 1, 4), 3.0))


def test_double_precision_is_kept_under_autocast():
    left, right = vectors(4, 2, 3), vectors(5, 3, seed=1)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(partition_of_products(left, right), (left @ right.T).logsumexp(-1))


READOUTS = {
    "hard": SelectReadout(),
    "soft": SelectReadout(SoftmaxSelector()),
    "best": SelectReadout(anchor="candidate"),
    "log-sum-exp": LogSumExpReadout(temperature=0.7),
    "expected": ExpectedReadout(SoftmaxSelector(detach_weights=True)),
    "mixture": MixtureReadout(3).double(),
    "joint": JointReadout([SelectReadout(), LogSumExpReadout(temperature=0.7)]),
}


@pytest.mark.parametrize("masked", [False, True], ids=["all interests", "some interests"])
@pytest.mark.parametrize("readout", READOUTS.values(), ids=READOUTS)
def test_without_single_scores_the_loss_is_the_same(monkeypatch, readout, masked):
    """Negatives that the batch shares, with repetitions and hits; and the positives of whole users among all items."""
    interests, items = vectors(4, 2, 3).requires_grad_(), vectors(6, 3, seed=1).requires_grad_()
    mask = torch.tensor([[True, True], [True, False], [False, True], [True, True]]) if masked else None
    if isinstance(readout, MixtureReadout):
        torch.nn.init.normal_(readout.prior.weight, generator=torch.Generator().manual_seed(0))
    out = Representations(interests, items, interest_mask=mask)
    loss = MultiInterestLoss(readout, SampledSoftmaxLoss(0.7))
    sampled = torch.tensor([0, 5, 5, 2, 4]), torch.tensor([5, 1, 0, 2])
    shared = Negatives(sampled[0], log_q=vectors(6, seed=2)[sampled[0]]), sampled[1], None
    valid = torch.tensor([[0, 1, 1, 1, 1, 1], [1, 1, 1, 0, 0, 1], [1, 0, 1, 1, 1, 1], [1, 1, 1, 1, 1, 0]]).bool()
    known, row = torch.tensor([0, 3, 4, 1, 5]), torch.tensor([0, 1, 1, 2, 3])
    whole = Negatives(torch.arange(6), valid=valid, excludes_known=True, all_items=True), known, row
    for negatives, positive, owner in (shared, whole):
        found = loss(out, positive, negatives, owner)
        gradients = torch.autograd.grad(found, (interests, items))
        for shortcut in ("partitioned", "as_products"):
            monkeypatch.setattr(type(readout), shortcut, getattr(Readout, shortcut))
        expected = loss(out, positive, negatives, owner)
        torch.testing.assert_close(found, expected)
        for part, other in zip(gradients, torch.autograd.grad(expected, (interests, items)), strict=True):
            torch.testing.assert_close(part, other)
        monkeypatch.undo()


def test_only_inner_products_of_the_same_temperature_are_summed_up_first():
    interests, positive = vectors(4, 2, 3), vectors(4, 1, 3, seed=1)

    def partition(query, best=False):
        return query.sum(-1)

    for readout in (
        LogSumExpReadout(temperature=0.5),
        LogSumExpReadout(Cosine(), temperature=0.7),
        ExpectedReadout(SoftmaxSelector(), Cosine()),
        SelectReadout(similarity=Cosine()),
        SelectReadout(anchor="candidate", similarity=Cosine()),
        SelectReadout(ArgmaxSelector(Cosine()), anchor="candidate"),
        SelectReadout(SoftmaxSelector(), anchor="candidate"),
        MixtureReadout(3, Cosine()),
        JointReadout([SelectReadout(), LogSumExpReadout()]),
    ):
        assert readout.partitioned(interests, positive, partition, 0.7) is None
        assert readout.as_products(interests, positive, 0.7) is None
    soft = SelectReadout(SoftmaxSelector())
    assert soft.partitioned(interests, positive, partition, 0.7) is not None
    assert soft.partitioned(interests, positive, partition, 0.7, row=torch.arange(4)) is None


def test_one_interest_is_read_alike_whoever_chooses_it():
    interests, items, row = vectors(4, 1, 5), vectors(6, 5, seed=1), torch.tensor([0, 0, 3])
    everyone = torch.ones(4, 1, dtype=torch.bool)

    def partition(query, best=False):
        return log_partition(query @ items.T)

    for selector in (ArgmaxSelector(), SoftmaxSelector(), InverseDistanceSelector()):
        readout = SelectReadout(selector, anchor="candidate")
        found, masked = (readout(interests, items[:4].unsqueeze(1), items, mask) for mask in (None, everyone))
        torch.testing.assert_close(found[:2], masked[:2])
        torch.testing.assert_close(found.neg, interests.squeeze(1) @ items.T)
        grouped = readout.grouped(interests, items[:3], items, row)
        torch.testing.assert_close(grouped.neg, found.neg)
        torch.testing.assert_close(grouped.pos, found.neg[row, torch.arange(3)])
        reduced = readout.partitioned(interests, items[:4].unsqueeze(1), partition, None)
        torch.testing.assert_close(reduced[:2], (found.pos, log_partition(found.neg)))
    assert readout.partitioned(interests, items[:4].unsqueeze(1), partition, None, everyone) is None  # weights of one


def test_several_vectors_per_item_are_no_products():
    interests, items = vectors(4, 3, 5), vectors(6, 10, seed=1)
    loss = MultiInterestLoss(SelectReadout(), SampledSoftmaxLoss())
    positive = torch.arange(4)
    shared = loss(Representations(interests, items), positive, Negatives(torch.tensor([4, 5, 0])))
    own = loss(Representations(interests, items), positive, Negatives(torch.tensor([[4, 5, 0]] * 4)))
    torch.testing.assert_close(shared, own)


class Harder(UniformWeighting):
    """A weighting of somebody else: it looks at scores, and learns."""

    def __init__(self):
        super().__init__()
        self.strength = torch.nn.Parameter(torch.tensor(0.5, dtype=torch.float64))

    def forward(self, neg, log_q=None, valid=None, pos_log_q=None):
        correction = super().forward(neg, log_q, valid, pos_log_q)
        return self.strength * neg + (0.0 if correction is None else correction)


def test_weightings_that_look_at_scores_get_scores_and_gradients():
    out = Representations(vectors(4, 2, 3), vectors(12, 3, seed=1))
    loss = MultiInterestLoss(SelectReadout(), SampledSoftmaxLoss(), Harder())
    positive, item = torch.arange(4), torch.arange(4, 12)
    found, expected = (loss(out, positive, Negatives(ids)) for ids in (item, item.expand(4, -1)))
    torch.testing.assert_close(found, expected)
    assert torch.autograd.grad(found, loss.weighting.strength)[0] != 0


@pytest.mark.parametrize("learned", [0, 1], ids=["log_q", "pos_log_q"])
def test_a_proposal_may_be_learned(learned):
    out = Representations(vectors(4, 2, 3), vectors(12, 3, seed=1))
    loss = MultiInterestLoss(SelectReadout(), SampledSoftmaxLoss())
    positive, item, proposal = torch.arange(4), torch.arange(4, 12), (vectors(8, seed=2), vectors(4, seed=3))
    log_q, pos_log_q = proposal
    proposal[learned].requires_grad_()
    found, expected = (
        torch.autograd.grad(
            loss(out, positive, Negatives(item.expand(*shape, 8), log_q.expand(*shape, 8), pos_log_q)),
            proposal[learned],
        )
        for shape in ((), (4,))
    )
    torch.testing.assert_close(found, expected)
