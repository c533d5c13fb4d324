import math

import pytest
import torch

from graphmi.nn import (
    ArgmaxSelector,
    Cosine,
    ExpectedReadout,
    InnerProduct,
    InverseDistanceSelector,
    LogSumExpReadout,
    MeanSelector,
    NegativeDistance,
    SelectReadout,
    SoftmaxSelector,
)

GENERATOR = torch.Generator().manual_seed(0)
INTERESTS = torch.randn(3, 4, 2, dtype=torch.float64, generator=GENERATOR)
POSITIVE = torch.randn(3, 1, 2, dtype=torch.float64, generator=GENERATOR)
SHARED = torch.randn(5, 2, dtype=torch.float64, generator=GENERATOR)
MASK = torch.tensor([[True] * 4, [True, False, False, True], [False, True, True, True]])
READOUTS = [
    SelectReadout(),
    SelectReadout(anchor="candidate"),
    SelectReadout(MeanSelector()),
    SelectReadout(InverseDistanceSelector(), anchor="candidate", similarity=NegativeDistance()),
    SelectReadout(SoftmaxSelector(), similarity=NegativeDistance()),
    LogSumExpReadout(),
    ExpectedReadout(SoftmaxSelector()),
]


@pytest.mark.parametrize("readout", READOUTS)
class TestContract:
    def test_shared_equals_per_row_negatives(self, readout):
        for a, b in zip(
            readout(INTERESTS, POSITIVE, SHARED, MASK),
            readout(INTERESTS, POSITIVE, SHARED.expand(3, -1, -1), MASK),
            strict=True,
        ):
            assert (a is None and b is None) or torch.allclose(a, b)

    def test_shapes(self, readout):
        pos, neg, weight = readout(INTERESTS, POSITIVE, SHARED, MASK)
        lead = (3,) if weight is None else (3, 4)
        assert pos.shape == lead
        assert neg.shape == (*lead, 5)

    def test_a_mask_removes_interests(self, readout):
        pos, neg, weight = readout(INTERESTS[1:2], POSITIVE[1:2], SHARED, MASK[1:2])
        few = readout(INTERESTS[1:2, [0, 3]], POSITIVE[1:2], SHARED)
        if weight is not None:
            assert (weight[~MASK[1:2]] == 0).all()
            pos, neg = (weight * pos).sum(1), (weight[..., None] * neg).sum(1)
            few = few._replace(pos=(few.weight * few.pos).sum(1), neg=(few.weight[..., None] * few.neg).sum(1))
        torch.testing.assert_close(pos, few.pos)
        torch.testing.assert_close(neg, few.neg)

    def test_one_interest_is_a_single_vector_model(self, readout):
        scores = readout(INTERESTS[:, :1], POSITIVE, SHARED)
        similarity = readout.similarity
        torch.testing.assert_close(scores.pos.flatten(), similarity(INTERESTS[:, :1], POSITIVE).flatten())
        torch.testing.assert_close(scores.neg.view(3, 5), similarity(INTERESTS[:, :1], SHARED)[:, 0])

    def test_large_scores_have_finite_gradients(self, readout):
        interests = (INTERESTS * 1e4).requires_grad_()
        scores = readout(interests, POSITIVE, SHARED, MASK)
        (scores.pos.sum() + scores.neg.sum()).backward()
        assert interests.grad.isfinite().all()

    def test_gradients(self, readout):
        inputs = tuple(x.clone().requires_grad_() for x in (INTERESTS, POSITIVE, SHARED))
        assert torch.autograd.gradcheck(lambda *x: tuple(s for s in readout(*x, MASK) if s is not None), inputs)


@pytest.mark.parametrize("similarity", [InnerProduct(), Cosine(), NegativeDistance()])
def test_the_candidate_takes_its_best_interest(similarity):
    readout = SelectReadout(ArgmaxSelector(similarity), anchor="candidate", similarity=similarity)
    pos, neg, _ = readout(INTERESTS, POSITIVE, SHARED)
    for user in range(3):
        one = INTERESTS[user : user + 1]
        assert pos[user] == max(similarity(one[:, k : k + 1], POSITIVE[user]).item() for k in range(4))
        for n in range(5):
            best = max(similarity(one[:, k : k + 1], SHARED[n : n + 1]).item() for k in range(4))
            assert neg[user, n].item() == pytest.approx(best)


@pytest.mark.parametrize("similarity", [InnerProduct(), NegativeDistance()])
@pytest.mark.parametrize("selector", [ArgmaxSelector(), SoftmaxSelector(0.7), MeanSelector()])
def test_the_positive_chooses_for_its_negatives(selector, similarity):
    pos, neg, _ = SelectReadout(selector, similarity=similarity)(INTERESTS, POSITIVE, SHARED)
    weights = selector(INTERESTS, POSITIVE)
    torch.testing.assert_close(pos, (weights * similarity(INTERESTS, POSITIVE)).sum(1)[:, 0])
    torch.testing.assert_close(neg, (weights * similarity(INTERESTS, SHARED)).sum(1))


@pytest.mark.parametrize("selector", [ArgmaxSelector(), SoftmaxSelector()])
def test_items_with_several_vectors_count_by_their_best(selector):
    positive, negative = torch.randn(3, 1, 6, dtype=torch.float64), torch.randn(5, 6, dtype=torch.float64)
    pos, neg, _ = SelectReadout(selector)(INTERESTS, positive, negative)
    weights = selector(INTERESTS, positive)
    best = torch.einsum("ukd,njd->uknj", INTERESTS, negative.view(5, 3, 2)).amax(-1)
    torch.testing.assert_close(neg, (weights * best).sum(1))
    assert pos.shape == (3,)


def test_logsumexp():
    pos, neg, _ = LogSumExpReadout()(INTERESTS, POSITIVE, SHARED)
    expected = [math.log(sum(math.exp(float(m @ e)) for m in INTERESTS[1])) for e in SHARED]
    assert neg[1].tolist() == pytest.approx(expected)
    assert pos[1].item() == pytest.approx(math.log(sum(math.exp(float(m @ POSITIVE[1, 0])) for m in INTERESTS[1])))


def test_anchor_must_be_known():
    with pytest.raises(ValueError, match="'anchor' must be 'positive' or 'candidate'"):
        SelectReadout(anchor="both")
