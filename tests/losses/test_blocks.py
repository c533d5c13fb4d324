"""A full softmax in blocks: the same loss and gradients as all scores at once, and no tensor of that size."""

from dataclasses import replace

import pytest
import torch

from graphmi.losses import (
    BPRLoss,
    EmbeddingNorm,
    GBCELoss,
    HardNegativeWeighting,
    MultiInterestLoss,
    SampledSoftmaxLoss,
)
from graphmi.losses.blocks import _LeftOut
from graphmi.nn import (
    ItemTower,
    LogSumExpReadout,
    NegativeDistance,
    Readout,
    SampledSelector,
    Scores,
    SelectReadout,
    SparseTable,
    TowerTable,
)
from graphmi.samplers import AllItemsSampler, MixedSampler

from .few_users import DIM, ITEMS, READOUTS, make_batch, make_graph


def both(block_size, reject_known=True):
    """Return the samplers of the plain form and of the blocks."""
    return [AllItemsSampler(make_graph(), reject_known, size) for size in (None, block_size)]


def assert_same(loss, samplers, out, users, positive, row, parameters, **tolerance):
    values = [loss(out, positive, sampler(users, positive), row) for sampler in samplers]
    torch.testing.assert_close(*values, **tolerance)
    plain, blocks = (torch.autograd.grad(v, parameters, allow_unused=True, retain_graph=True) for v in values)
    for a, b in zip(plain, blocks, strict=True):
        torch.testing.assert_close(a.to_dense(), b.to_dense(), **tolerance)


@pytest.mark.parametrize("name", list(READOUTS))
@pytest.mark.parametrize("size", [1, 5, ITEMS, 100])
@pytest.mark.parametrize("reject_known", [True, False])
@pytest.mark.parametrize("grouped", [True, False])
@pytest.mark.parametrize("masked", [True, False])
def test_equals_all_items_at_once(name, size, reject_known, grouped, masked):
    out, users, positive, row = make_batch()
    parameters = [out.interests, out.items]
    if not masked:
        out = replace(out, interest_mask=None)
    if not grouped:  # one positive per row
        mask = out.interest_mask[row] if masked else None
        out, users, row = replace(out, interests=out.interests[row], interest_mask=mask), users[row], None
    loss = MultiInterestLoss(READOUTS[name], SampledSoftmaxLoss(0.5), None, [(0.1, EmbeddingNorm())])
    assert_same(loss, both(size, reject_known), out, users, positive, row, [*parameters, *loss.parameters()])


@pytest.mark.parametrize("readout", [LogSumExpReadout(), SelectReadout(similarity=NegativeDistance())])
def test_several_vectors_per_item_and_other_similarities(readout):
    out, users, positive, row = make_batch()
    items = torch.randn(ITEMS, 3 * DIM, dtype=torch.double, requires_grad=True)
    out = replace(out, items=items)
    assert_same(
        MultiInterestLoss(readout, SampledSoftmaxLoss()), both(5), out, users, positive, row, [items, out.interests]
    )


@pytest.mark.parametrize("table", [lambda vectors: vectors, SparseTable])
def test_item_towers_are_run_block_by_block(table):
    out, users, positive, row = make_batch()
    tower, vectors = ItemTower(DIM, 2).double(), torch.randn(ITEMS, DIM, dtype=torch.double, requires_grad=True)
    out = replace(out, items=TowerTable(tower, table(vectors), torch.rand(ITEMS, 2)))
    loss = MultiInterestLoss(LogSumExpReadout(), SampledSoftmaxLoss())
    assert_same(loss, both(5), out, users, positive, row, [vectors, out.interests, *tower.parameters()])


@pytest.mark.parametrize("reject_known", [True, False])
def test_gradients_are_those_of_differences(reject_known):
    out, users, positive, row = make_batch()
    loss = MultiInterestLoss(READOUTS["joint"], SampledSoftmaxLoss(0.5))
    negatives = both(5, reject_known)[1](users, positive)

    def value(interests, items):
        return loss(replace(out, interests=interests, items=items), positive, negatives, row)

    assert torch.autograd.gradcheck(value, (out.interests, out.items), fast_mode=True)


@pytest.mark.parametrize("anchor", ["positive", "candidate"])
def test_draws_are_the_same_in_the_backward_pass(anchor):
    out, users, positive, row = make_batch()
    loss = MultiInterestLoss(SelectReadout(SampledSelector(), anchor), SampledSoftmaxLoss())
    negatives = both(5)[1](users, positive)

    def value(interests, items):
        torch.manual_seed(0)
        return loss(replace(out, interests=interests, items=items), positive, negatives, row)

    assert torch.autograd.gradcheck(value, (out.interests, out.items), fast_mode=True)


def test_a_drawn_interest_scores_all_blocks():
    out, users, positive, _ = make_batch()
    out, positive = replace(out, interests=out.interests[:1], interest_mask=None), positive[:1]
    each = [
        MultiInterestLoss(SelectReadout(), SampledSoftmaxLoss())(
            replace(out, interests=out.interests[:, k : k + 1]), positive, both(5)[0](users[:1], positive)
        )
        for k in range(4)
    ]
    drawn = MultiInterestLoss(SelectReadout(SampledSelector(0.0)), SampledSoftmaxLoss())
    for _ in range(8):
        value = drawn(out, positive, both(2)[1](users[:1], positive))
        assert any(torch.isclose(value, other) for other in each)


def test_nothing_left_and_users_without_known_items():
    out, _, _, _ = make_batch()
    graph = make_graph()
    graph["user", "interacts", "item"].edge_index = torch.stack(
        [torch.zeros(ITEMS, dtype=torch.long), torch.arange(ITEMS)]
    )
    users, positive = torch.tensor([0, 1, 2]), torch.tensor([4, 0, 3])  # the first knows everything, the others nothing
    samplers = [AllItemsSampler(graph, True, size) for size in (None, 5)]
    loss = MultiInterestLoss(SelectReadout(), SampledSoftmaxLoss())
    assert_same(loss, samplers, out, users, positive, None, [out.interests, out.items])


@pytest.mark.parametrize("name", ["argmax", "candidate", "logsumexp"])
def test_a_proposal_of_the_positives_counts(name):
    out, users, positive, row = make_batch()
    log_q, loss = torch.linspace(-2, 0, 3, dtype=torch.double), MultiInterestLoss(READOUTS[name], SampledSoftmaxLoss())
    samplers = [lambda *batch, sampler=sampler: replace(sampler(*batch), pos_log_q=log_q) for sampler in both(5)]
    for positives, rows in ((positive, row), (positive[:3], None)):
        assert_same(loss, samplers, out, users, positives, rows, [out.interests, out.items])


def test_under_autocast_sums_have_full_precision():
    out, users, positive, row = make_batch()
    interests, items = (x.detach().float().requires_grad_() for x in (out.interests, out.items))
    out = replace(out, interests=interests, items=items)
    loss = MultiInterestLoss(LogSumExpReadout(), SampledSoftmaxLoss())
    with torch.autocast("cpu", torch.bfloat16):
        assert loss(out, positive, both(5)[1](users, positive), row).dtype == torch.float32
        assert_same(loss, both(5), out, users, positive, row, [interests, items], atol=2e-2, rtol=2e-2)


@pytest.mark.parametrize("name", ["argmax", "candidate", "soft candidate", "logsumexp", "expected"])
def test_no_tensor_has_a_number_for_every_user_and_item(name, make_largest):
    num_items, size = 1000, 80
    out, users, positive, row = make_batch()
    items = torch.randn(num_items, 1, dtype=torch.double, requires_grad=True)
    interests = torch.randn(3, 4, 1, dtype=torch.double, requires_grad=True)
    out = replace(out, interests=interests, items=items)
    sampler = AllItemsSampler(make_graph(num_items), True, size)
    loss = MultiInterestLoss(READOUTS[name], SampledSoftmaxLoss())
    with make_largest() as largest:
        loss(out, positive, sampler(users, positive), row).backward()
    assert largest.numel == num_items  # the gradient of the items; the users are three


class Counting(SampledSoftmaxLoss):
    def __init__(self):
        super().__init__(temperature=0.3)
        self.scored, self.reduced = [], []

    def partition(self, neg, correction=None, hits=None):
        self.scored.append(neg.size(-1))
        return super().partition(neg, correction, hits)

    def partition_of_products(self, query, negatives):
        self.reduced.append(len(negatives.vectors))
        return super().partition_of_products(query, negatives)

    def partition_of_best(self, query, negatives, places):
        self.reduced.append(len(negatives.vectors))
        return super().partition_of_best(query, negatives, places)


@pytest.mark.parametrize("name", ["argmax", "candidate", "logsumexp"])
def test_single_scores_are_not_written_where_products_are_all_there_is(name):
    out, users, positive, row = make_batch()
    loss = MultiInterestLoss(READOUTS[name], Counting())
    loss(replace(out, interest_mask=None), positive, both(5)[1](users, positive), row).backward()
    assert not loss.objective.scored
    assert loss.objective.reduced[:3] == [5, 5, 2]
    assert sorted(loss.objective.reduced) == [2, 2, 5, 5, 5, 5]  # once more in the backward pass


def test_the_masks_of_accelerators_leave_out_what_the_places_of_the_cpu_do(monkeypatch):
    out, users, positive, row = make_batch()
    loss, negatives = MultiInterestLoss(LogSumExpReadout(), SampledSoftmaxLoss()), both(5)[1](users, positive)
    expected = loss(out, positive, negatives, row)
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    hits, valid = _LeftOut(negatives, None, ITEMS, 5)(5, 5)
    assert hits is None
    assert valid.equal(AllItemsSampler(make_graph())(users, positive).valid[:, 5:10])
    torch.testing.assert_close(loss(out, positive, negatives, row), expected)


class Bare(Readout):
    def forward(self, interests, positive, negative, interest_mask=None):
        return Scores(*SelectReadout()(interests, positive, negative, interest_mask)[:2])


def test_what_cannot_be_split_says_so():
    out, users, positive, row = make_batch()
    negatives = both(5)[1](users, positive)
    for objective in (BPRLoss(), GBCELoss()):
        with pytest.raises(ValueError, match=f"{type(objective).__name__} cannot take its negatives in blocks"):
            MultiInterestLoss(SelectReadout(), objective)(out, positive, negatives, row)
    weighted = MultiInterestLoss(SelectReadout(), SampledSoftmaxLoss(), HardNegativeWeighting(1.0))
    with pytest.raises(ValueError, match="HardNegativeWeighting compares all negatives"):
        weighted(out, positive, negatives, row)
    with pytest.raises(ValueError, match="Bare does not say how it scores further items"):
        MultiInterestLoss(Bare(), SampledSoftmaxLoss())(out, positive, negatives, row)
    drawn, plain = (
        replace(negatives, log_q=torch.zeros(ITEMS)),
        MultiInterestLoss(SelectReadout(), SampledSoftmaxLoss()),
    )
    with pytest.raises(ValueError, match="must give no 'log_q'"):
        plain(out, positive, drawn, row)
    with pytest.raises(ValueError, match="'block_size' must be at least 1"):
        AllItemsSampler(make_graph(), block_size=0)
    with pytest.raises(ValueError, match="without 'block_size'"):
        MixedSampler(make_graph(), [lambda graph: AllItemsSampler(graph, block_size=5)])(users, positive[:3])
