import copy
import math

import pytest
import torch
import torch.nn.functional as F

from graphmi.losses import SampledSoftmaxLoss
from graphmi.nn import (
    ArgmaxSelector,
    Cosine,
    ExpectedReadout,
    InnerProduct,
    InverseDistanceSelector,
    JointReadout,
    LogSumExpReadout,
    MeanSelector,
    MixtureReadout,
    NegativeDistance,
    SelectReadout,
    SoftmaxSelector,
)
from graphmi.nn.readout.base import weighted_sum

GENERATOR = torch.Generator().manual_seed(0)
INTERESTS = torch.randn(3, 4, 2, dtype=torch.float64, generator=GENERATOR)
POSITIVE = torch.randn(3, 1, 2, dtype=torch.float64, generator=GENERATOR)
SHARED = torch.randn(5, 2, dtype=torch.float64, generator=GENERATOR)
MASK = torch.tensor([[True] * 4, [True, False, False, True], [False, True, True, True]])


def mixture(similarity=None):
    readout = MixtureReadout(2, similarity).double()
    torch.nn.init.normal_(readout.prior.weight, generator=torch.Generator().manual_seed(1))
    return readout


READOUTS = [
    SelectReadout(),
    SelectReadout(anchor="candidate"),
    SelectReadout(MeanSelector()),
    SelectReadout(InverseDistanceSelector()),
    SelectReadout(InverseDistanceSelector(), anchor="candidate", similarity=NegativeDistance()),
    SelectReadout(SoftmaxSelector(), similarity=NegativeDistance()),
    LogSumExpReadout(),
    ExpectedReadout(SoftmaxSelector()),
    mixture(),
    mixture(NegativeDistance()),
    JointReadout([SelectReadout(), LogSumExpReadout()]),
    JointReadout([mixture(), ExpectedReadout(SoftmaxSelector()), JointReadout([LogSumExpReadout(), mixture()])]),
]


def losses(scores):
    """The softmax losses, combined over the interests."""
    loss = torch.cat([scores.pos.unsqueeze(-1), scores.neg], -1).logsumexp(-1) - scores.pos
    return loss if scores.weight is None else scores.combine(loss, scores.weight)


@pytest.mark.parametrize("readout", READOUTS)
class TestContract:
    def test_shared_equals_per_row_negatives(self, readout):
        shared = readout(INTERESTS, POSITIVE, SHARED, MASK)
        copies = readout(INTERESTS, POSITIVE, SHARED.expand(3, -1, -1), MASK)
        torch.testing.assert_close(copies[:2], shared[:2])
        torch.testing.assert_close(losses(copies), losses(shared))

    def test_shapes(self, readout):
        pos, neg, weight, *_ = readout(INTERESTS, POSITIVE, SHARED, MASK)
        assert neg.shape == (*pos.shape, 5)
        assert pos.shape == ((3,) if weight is None else weight.shape)
        assert pos.size(0) == 3

    def test_a_mask_removes_interests(self, readout):
        for user in range(3):
            row, active = slice(user, user + 1), MASK[user]
            masked = readout(INTERESTS[row], POSITIVE[row], SHARED, MASK[row])
            few = readout(INTERESTS[row][:, active], POSITIVE[row], SHARED)
            torch.testing.assert_close(losses(masked), losses(few))

    def test_one_interest_is_a_single_vector_model(self, readout):
        if isinstance(readout, JointReadout):
            pytest.skip("adds up several")
        similarity = readout.similarity
        scores = similarity(INTERESTS[:, :1], torch.cat([POSITIVE, SHARED.expand(3, -1, -1)], 1))[:, 0]
        expected = F.cross_entropy(scores, torch.zeros(3, dtype=torch.long), reduction="none")
        torch.testing.assert_close(losses(readout(INTERESTS[:, :1], POSITIVE, SHARED)), expected)

    def test_the_order_of_the_interests_does_not_matter(self, readout):
        order = torch.tensor([2, 0, 3, 1])
        permuted = readout(INTERESTS[:, order], POSITIVE, SHARED, MASK[:, order])
        torch.testing.assert_close(losses(permuted), losses(readout(INTERESTS, POSITIVE, SHARED, MASK)))

    def test_large_scores_have_finite_gradients(self, readout):
        interests = (INTERESTS * 1e4).requires_grad_()
        loss = losses(readout(interests, POSITIVE, SHARED, MASK))
        loss.sum().backward()
        assert loss.isfinite().all()
        assert interests.grad.isfinite().all()

    @pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
    def test_in_half_precision_it_is_that_of_all_in_full(self, readout, kind):
        inputs = [x.to(kind).requires_grad_() for x in (INTERESTS, POSITIVE, SHARED)]
        loss = losses(copy.deepcopy(readout).to(kind)(*inputs, MASK))
        exact = losses(copy.deepcopy(readout).to(kind).double()(*(x.detach().double() for x in inputs), MASK))
        torch.testing.assert_close(loss.double(), exact, atol=8 * torch.finfo(kind).eps, rtol=4 * torch.finfo(kind).eps)
        loss.sum().backward()
        assert all(x.grad.isfinite().all() for x in inputs)

    def test_gradients(self, readout):
        inputs = tuple(x.clone().requires_grad_() for x in (INTERESTS, POSITIVE, SHARED))
        assert torch.autograd.gradcheck(lambda *x: readout(*x, MASK)[:2], inputs)
        assert torch.autograd.gradcheck(lambda *x: losses(readout(*x, MASK)), inputs)


@pytest.mark.parametrize("similarity", [InnerProduct(), Cosine(), NegativeDistance()])
def test_the_candidate_takes_its_best_interest(similarity):
    readout = SelectReadout(ArgmaxSelector(similarity), anchor="candidate", similarity=similarity)
    pos, neg, *_ = readout(INTERESTS, POSITIVE, SHARED)
    for user in range(3):
        one = INTERESTS[user : user + 1]
        assert pos[user] == max(similarity(one[:, k : k + 1], POSITIVE[user]).item() for k in range(4))
        for n in range(5):
            best = max(similarity(one[:, k : k + 1], SHARED[n : n + 1]).item() for k in range(4))
            assert neg[user, n].item() == pytest.approx(best)


@pytest.mark.parametrize("similarity", [InnerProduct(), NegativeDistance()])
@pytest.mark.parametrize("selector", [ArgmaxSelector(), SoftmaxSelector(0.7), MeanSelector()])
def test_the_positive_chooses_for_its_negatives(selector, similarity):
    pos, neg, *_ = SelectReadout(selector, similarity=similarity)(INTERESTS, POSITIVE, SHARED)
    weights = selector(INTERESTS, POSITIVE)
    torch.testing.assert_close(pos, (weights * similarity(INTERESTS, POSITIVE)).sum(1)[:, 0])
    torch.testing.assert_close(neg, (weights * similarity(INTERESTS, SHARED)).sum(1))


@pytest.mark.parametrize("selector", [ArgmaxSelector(), SoftmaxSelector()])
def test_items_with_several_vectors_count_by_their_best(selector):
    positive, negative = torch.randn(3, 1, 6, dtype=torch.float64), torch.randn(5, 6, dtype=torch.float64)
    pos, neg, *_ = SelectReadout(selector)(INTERESTS, positive, negative)
    weights = selector(INTERESTS, positive)
    best = torch.einsum("ukd,njd->uknj", INTERESTS, negative.view(5, 3, 2)).amax(-1)
    torch.testing.assert_close(neg, (weights * best).sum(1))
    assert pos.shape == (3,)


def test_logsumexp():
    pos, neg, *_ = LogSumExpReadout()(INTERESTS, POSITIVE, SHARED)
    expected = [math.log(sum(math.exp(float(m @ e)) for m in INTERESTS[1])) for e in SHARED]
    assert neg[1].tolist() == pytest.approx(expected)
    assert pos[1].item() == pytest.approx(math.log(sum(math.exp(float(m @ POSITIVE[1, 0])) for m in INTERESTS[1])))


def test_anchor_must_be_known():
    with pytest.raises(ValueError, match="'anchor' must be 'positive' or 'candidate'"):
        SelectReadout(anchor="both")


class TestMixture:
    def probabilities(self, weights):
        """Mix the softmaxes of all interests, each over the positive and the negatives, ``[users]``."""
        items = torch.cat([POSITIVE, SHARED.expand(3, -1, -1)], 1)
        each = torch.stack([F.softmax(items @ m.unsqueeze(-1), 1)[:, 0, 0] for m in INTERESTS.unbind(1)], 1)
        return (weights * each).sum(1)

    def test_written_out(self):
        readout = mixture()
        weights = (INTERESTS @ readout.prior.weight[0]).exp() * MASK
        weights = weights / weights.sum(1, keepdim=True)
        expected = -self.probabilities(weights).log()
        torch.testing.assert_close(losses(readout(INTERESTS, POSITIVE, SHARED, MASK)), expected)

    def test_weights_start_equal(self):
        readout = MixtureReadout(2).double()
        expected = -self.probabilities(MASK / MASK.sum(1, keepdim=True)).log()
        torch.testing.assert_close(losses(readout(INTERESTS, POSITIVE, SHARED, MASK)), expected)

    def test_equal_interests_are_one(self):
        same = INTERESTS[:, :1].expand(-1, 4, -1)
        torch.testing.assert_close(
            losses(mixture()(same, POSITIVE, SHARED)), losses(SelectReadout()(INTERESTS[:, :1], POSITIVE, SHARED))
        )

    def test_is_at_most_the_expected_loss(self):
        scores = mixture()(INTERESTS, POSITIVE, SHARED, MASK)
        expected = losses(scores._replace(weight=scores.weight.exp(), combine=weighted_sum))
        assert (losses(scores) < expected)[MASK.sum(1) > 1].all()

    def test_partition_sums_as_weights_are_the_logsumexp(self):
        scores = mixture()(INTERESTS, POSITIVE, SHARED)
        partition = torch.cat([scores.pos.unsqueeze(-1), scores.neg], -1).logsumexp(-1)
        actual = losses(scores._replace(weight=partition.log_softmax(1)))
        torch.testing.assert_close(actual, losses(LogSumExpReadout()(INTERESTS, POSITIVE, SHARED)))

    def test_weights_learn_who_explains_the_positives(self):
        readout = MixtureReadout(2).double()
        interests = torch.eye(2, dtype=torch.double).expand(3, -1, -1)
        positive = torch.tensor([[[5.0, 0.0]]], dtype=torch.double).expand(3, -1, -1)
        losses(readout(interests, positive, -positive[0])).sum().backward()
        first, second = readout.prior.weight.grad[0]
        assert first < 0 < second

    def test_another_width_is_refused(self):
        with pytest.raises(ValueError, match="'embedding_dim' 64, but the interests are 2 wide"):
            MixtureReadout().double()(INTERESTS, POSITIVE, SHARED)
        with pytest.raises(ValueError, match="'embedding_dim' must be at least 1"):
            MixtureReadout(0)


class TestJoint:
    @pytest.mark.parametrize("mask", [None, MASK])
    def test_is_the_sum_of_its_parts(self, mask):
        parts = [SelectReadout(), ExpectedReadout(SoftmaxSelector()), mixture(), LogSumExpReadout()]
        expected = sum(losses(part(INTERESTS, POSITIVE, SHARED, mask)) for part in parts)
        for readout in (JointReadout(parts), JointReadout([JointReadout(parts[:2]), JointReadout(parts[2:])])):
            torch.testing.assert_close(losses(readout(INTERESTS, POSITIVE, SHARED, mask)), expected)

    def test_needs_a_readout(self):
        with pytest.raises(ValueError, match="at least one readout"):
            JointReadout([])


def test_expected_loss_with_detached_weights_has_the_mean_gradient_of_the_draw():
    draws = torch.Generator().manual_seed(0)
    interests = torch.randn(5, 3, 4, generator=draws, requires_grad=True)
    positive, negative = torch.randn(5, 1, 4, generator=draws), torch.randn(7, 4, generator=draws)
    pos, neg, weight, *_ = ExpectedReadout(SoftmaxSelector(detach_weights=True))(interests, positive, negative)
    objective = SampledSoftmaxLoss()
    (found,) = torch.autograd.grad((objective(pos, neg) * weight).sum(), interests)
    chance = (interests @ positive.transpose(1, 2)).squeeze(-1).softmax(1).detach()
    mean = torch.zeros_like(found)
    for drawn in range(3):  # a draw trains one interest
        own = interests[:, drawn]
        loss = objective((own * positive[:, 0]).sum(1), own @ negative.T)
        mean += torch.autograd.grad((chance[:, drawn] * loss).sum(), interests)[0]
    torch.testing.assert_close(found, mean)


def test_whoever_has_no_active_interest_gets_no_score_and_no_gradient():
    interests = INTERESTS.clone().requires_grad_()
    mask = torch.tensor([[True] * 4, [False] * 4, [True] * 4])
    scores = LogSumExpReadout()(interests, POSITIVE, SHARED, mask)
    assert (scores.neg[1] == -math.inf).all()
    assert scores.neg[[0, 2]].isfinite().all()
    scores.neg.sum().backward()
    assert not interests.grad[1].any()
    assert interests.grad.isfinite().all()


def test_a_joint_readout_scores_further_items_only_where_all_its_parts_do():
    class Silent(SelectReadout):
        def forward(self, *arguments):
            return super().forward(*arguments)._replace(score=None)

    for part, scores_further in ((SelectReadout(), True), (Silent(), False)):
        scores = JointReadout([LogSumExpReadout(), part])(INTERESTS, POSITIVE, SHARED)
        assert (scores.score is not None) == scores_further
