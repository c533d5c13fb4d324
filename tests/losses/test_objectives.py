import math

import pytest
import torch
import torch.nn.functional as F

from graphmi.losses import BCELoss, BPRLoss, GBCELoss, SampledSoftmaxLoss, TripletLoss
from graphmi.losses.partition import log_partition

INF = math.inf
OBJECTIVES = [BPRLoss(), SampledSoftmaxLoss(), SampledSoftmaxLoss(0.1), BCELoss(), GBCELoss(50), TripletLoss(0.5)]


def random_scores(*shape):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(*shape, dtype=torch.float64, generator=generator).requires_grad_()


@pytest.mark.parametrize("objective", OBJECTIVES, ids=repr)
class TestContract:
    def test_minus_infinity_removes_a_negative(self, objective):
        pos, neg = random_scores(3), random_scores(3, 6)
        correction = torch.tensor([0.0, -INF, 0.0, -INF, -INF, 0.0], dtype=torch.float64)
        kept = neg[:, correction == 0]
        if isinstance(objective, GBCELoss):  # its sampling rate is that of the draw
            rate = 6 / 49
            beta = 0.75 * rate + 0.25
            expected = (beta * F.softplus(-pos) + F.softplus(kept).sum(1)) / 4
        else:
            expected = objective(pos, kept)
        torch.testing.assert_close(objective(pos, neg, correction), expected)
        torch.testing.assert_close(objective(pos, neg, correction.expand(3, -1)), expected)

    def test_no_correction_is_zero_correction(self, objective):
        pos, neg = random_scores(3), random_scores(3, 6)
        torch.testing.assert_close(objective(pos, neg), objective(pos, neg, torch.zeros_like(neg)))

    def test_a_correction_of_each_row_counts_for_all_its_negatives(self, objective):
        pos, neg = random_scores(3), random_scores(3, 6)
        correction = torch.tensor([[0.5], [-2.0], [0.0]], dtype=torch.float64)
        torch.testing.assert_close(objective(pos, neg, correction), objective(pos, neg, correction.repeat(1, 6)))

    def test_a_weight_is_a_repeated_negative(self, objective):
        if isinstance(objective, GBCELoss):
            pytest.skip("counts the draws")
        pos, neg = random_scores(3), random_scores(3, 2)
        weighted = objective(pos, neg, torch.tensor([3.0, 1.0], dtype=torch.float64).log())
        torch.testing.assert_close(weighted, objective(pos, neg[:, [0, 0, 0, 1]]))

    def test_a_row_without_negatives_is_finite(self, objective):
        pos, neg = random_scores(2), random_scores(2, 3)
        correction = torch.tensor([[-INF] * 3, [0.0, -INF, 0.0]], dtype=torch.float64, requires_grad=True)
        loss = objective(pos, neg, correction)
        loss.sum().backward()
        assert loss.isfinite().all()
        assert all(x.grad.isfinite().all() for x in (pos, neg, correction))
        assert (neg.grad[0] == 0).all()

    @pytest.mark.parametrize("scale", [1e4, -1e4])
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_large_scores_are_finite(self, objective, scale, dtype):
        pos = torch.tensor([1.0, -1.0], dtype=dtype) * scale
        neg = (torch.tensor([[1.0, -1.0, 0.5]] * 2, dtype=dtype) * scale).requires_grad_()
        loss = objective(pos.requires_grad_(), neg)
        loss.sum().backward()
        assert loss.isfinite().all()
        assert neg.grad.isfinite().all()

    def test_a_loss_per_interest(self, objective):
        pos, neg, correction = random_scores(2, 3), random_scores(2, 3, 5), random_scores(2, 1, 5).detach()
        loss = objective(pos, neg, correction)
        for k in range(3):
            torch.testing.assert_close(loss[:, k], objective(pos[:, k], neg[:, k], correction[:, 0]))

    def test_gradients(self, objective):
        correction = random_scores(3, 4).detach()
        correction[0, 1] = -INF
        correction[2] = -INF
        assert torch.autograd.gradcheck(
            lambda p, n: objective(p, n, correction), (random_scores(3), random_scores(3, 4))
        )
        assert torch.autograd.gradcheck(
            lambda c: objective(random_scores(3), random_scores(3, 4), c), random_scores(3, 4).detach().requires_grad_()
        )

    def test_without_negatives_it_is_finite(self, objective):
        pos, neg = random_scores(3), random_scores(3, 0)
        for correction in (None, neg.detach()):
            loss = objective(pos, neg, correction)
            expected = objective(pos, random_scores(3, 2), torch.full((2,), -INF, dtype=torch.float64))
            if not isinstance(objective, GBCELoss):  # whose rate is that of the draw
                torch.testing.assert_close(loss, expected)
            (gradient,) = torch.autograd.grad(loss.sum(), pos, allow_unused=True, materialize_grads=True)
            assert gradient.isfinite().all()

    def test_corrections_of_minus_infinity_have_finite_gradients(self, objective):
        pos, neg = random_scores(2), random_scores(2, 3) + 50
        correction = torch.full((2, 3), -INF, dtype=torch.float64, requires_grad=True)
        objective(pos, neg, correction).sum().backward()
        assert (correction.grad == 0).all()


def test_bpr_of_the_published_graph_example():
    pos, neg = torch.tensor([0.693303]), torch.tensor([[0.097918]])
    assert BPRLoss()(pos, neg).item() == pytest.approx(0.439126, abs=1e-6)


@pytest.mark.parametrize("temperature", [1.0, 0.2])
def test_softmax_equals_cross_entropy(temperature):
    logits = random_scores(4, 7)
    expected = F.cross_entropy(logits / temperature, torch.zeros(4, dtype=torch.long), reduction="none")
    torch.testing.assert_close(SampledSoftmaxLoss(temperature)(logits[:, 0], logits[:, 1:]), expected)


def test_temperature_leaves_the_correction_alone():
    loss = SampledSoftmaxLoss(0.5)(torch.tensor([1.0]), torch.tensor([[0.25]]), torch.tensor([[0.7]]))
    assert loss.item() == pytest.approx(math.log(1 + math.exp(0.25 / 0.5 + 0.7 - 1 / 0.5)))


def test_published_softmax_value():
    loss = SampledSoftmaxLoss()(torch.tensor([2.0]), torch.tensor([[0.0, 1.0, -1.0]]))
    assert loss.item() == pytest.approx(0.440190, abs=1e-6)


def test_bce_equals_torch():
    pos, neg = random_scores(3), random_scores(3, 1)
    expected = F.binary_cross_entropy_with_logits(pos, torch.ones_like(pos), reduction="none")
    expected = expected + F.binary_cross_entropy_with_logits(neg, torch.zeros_like(neg), reduction="none")[:, 0]
    torch.testing.assert_close(BCELoss()(pos, neg), expected)


@pytest.mark.parametrize("calibration", [0.0, 0.75, 1.0])
def test_gbce_written_out(calibration):
    num_items, negatives = 101, [0.3, -1.2, 2.0, 0.1]
    alpha = 4 / 100
    beta = alpha * (calibration * (1 - 1 / alpha) + 1 / alpha)
    sigma = [1 / (1 + math.exp(-x)) for x in (0.8, *negatives)]
    expected = -(math.log(sigma[0] ** beta) + sum(math.log(1 - s) for s in sigma[1:])) / 5
    loss = GBCELoss(num_items, calibration)(torch.tensor([0.8]), torch.tensor([negatives]))
    assert loss.item() == pytest.approx(expected, abs=1e-6)
    if calibration == 0:
        assert beta == 1
    if calibration == 1:
        assert beta == pytest.approx(alpha)


@pytest.mark.parametrize("num_items", [10, 4])
def test_gbce_with_as_many_negatives_as_items_or_more_is_plain(num_items):
    pos, neg = random_scores(2), random_scores(2, 9)
    torch.testing.assert_close(GBCELoss(num_items, 0.75)(pos, neg), GBCELoss(num_items, 0.0)(pos, neg))


def test_gbce_needs_the_size_of_the_catalogue():
    pos, neg = random_scores(2), random_scores(2, 9)
    with pytest.raises(ValueError, match="give it 'num_items'"):
        GBCELoss()(pos, neg)
    torch.testing.assert_close(GBCELoss(calibration=0.3).for_catalogue(50)(pos, neg), GBCELoss(50, 0.3)(pos, neg))
    torch.testing.assert_close(GBCELoss(50).for_catalogue(20)(pos, neg), GBCELoss(50)(pos, neg))


def test_triplet():
    loss = TripletLoss(1.0)(torch.tensor([2.0]), torch.tensor([[0.0, 1.5, 4.0]]))
    assert loss.item() == pytest.approx((0 + 0.5 + 3) / 3)
    assert TripletLoss(0.0)(torch.tensor([2.0]), torch.tensor([[0.0, 1.5, 4.0]])).item() == pytest.approx(2 / 3)


def test_partition_in_half_precision_is_summed_in_full():
    ones = torch.ones(1, 4096, dtype=torch.bfloat16)
    assert log_partition(ones).item() == pytest.approx(1 + math.log(4096), rel=1e-6)


@pytest.mark.parametrize("size", [1e9, 1e10, 1e15, 1e35])
@pytest.mark.parametrize("sign", [1, -1])
def test_partition_of_scores_beyond_all_measure_is_the_largest(size, sign):
    generator = torch.Generator().manual_seed(0)
    neg = (sign * size * (1 + torch.rand(200, 8, generator=generator))).requires_grad_()
    found = log_partition(neg)
    torch.testing.assert_close(found, neg.amax(1))
    torch.testing.assert_close(torch.autograd.grad(found.sum(), neg)[0], neg.double().softmax(1).float())
    scores = torch.full((1,), 5.0), torch.full((1, 1), 6.0)
    assert SampledSoftmaxLoss(1 / size)(*scores).item() == pytest.approx(size, rel=1e-5)


@pytest.mark.parametrize(
    "make",
    [
        lambda: SampledSoftmaxLoss(0),
        lambda: SampledSoftmaxLoss(INF),
        lambda: TripletLoss(-1),
        lambda: GBCELoss(1),
        lambda: GBCELoss(10, 1.5),
    ],
)
def test_ranges(make):
    with pytest.raises(ValueError, match=r"must be .* \(got"):
        make()


@pytest.mark.parametrize("objective", OBJECTIVES, ids=repr)
def test_each_positive_has_negatives_of_its_own(objective):
    for pos, neg in (((4, 1), (4, 9)), ((4, 9), (4,)), ((4,), (9,)), ((1,), (4, 9))):
        with pytest.raises(ValueError, match=r"need negative scores \[\.\.\., num_negatives\]"):
            objective(random_scores(*pos), random_scores(*neg))
