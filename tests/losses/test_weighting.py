import math

import pytest
import torch

from graphmi.losses import BPRLoss, HardNegativeWeighting, SampledSoftmaxLoss, UniformWeighting

NEG = torch.tensor([[0.0, 1.0, -1.0]], dtype=torch.float64)
POS = torch.tensor([2.0], dtype=torch.float64)
WEIGHTINGS = [
    UniformWeighting(),
    HardNegativeWeighting(0.0),
    HardNegativeWeighting(2.0),
    HardNegativeWeighting(2.0, True),
]


@pytest.mark.parametrize("weighting", WEIGHTINGS, ids=repr)
class TestContract:
    def test_invalid_negatives_are_removed(self, weighting):
        valid = torch.tensor([[True, False, True], [False] * 3])
        correction = weighting(NEG.expand(2, -1), torch.zeros(3, dtype=torch.float64), valid)
        assert (correction[~valid] == -math.inf).all()
        assert correction[valid].isfinite().all()
        kept = weighting(NEG[:, [0, 2]], torch.zeros(2, dtype=torch.float64))
        torch.testing.assert_close(correction[:1, [0, 2]], kept.view(1, -1).expand(1, 2))

    def test_nothing_left_has_finite_gradients(self, weighting):
        for objective in (SampledSoftmaxLoss(), BPRLoss()):
            neg = NEG.clone().requires_grad_()
            pos = POS.clone().requires_grad_()
            loss = objective(pos, neg, weighting(neg, None, torch.zeros(1, 3, dtype=torch.bool)))
            loss.sum().backward()
            assert loss.item() == 0
            assert (neg.grad == 0).all()
            assert (pos.grad == 0).all()

    def test_large_scores_are_finite(self, weighting):
        neg = (1e4 * NEG).requires_grad_()
        SampledSoftmaxLoss()(POS, neg, weighting(neg)).sum().backward()
        assert neg.grad.isfinite().all()

    def test_per_interest(self, weighting):
        neg = torch.randn(2, 4, 5, dtype=torch.float64)
        log_q, valid = torch.randn(2, 1, 5, dtype=torch.float64), torch.rand(2, 1, 5) < 0.7
        correction = weighting(neg, log_q, valid).expand_as(neg)
        for k in range(4):
            torch.testing.assert_close(correction[:, k], weighting(neg[:, k], log_q[:, 0], valid[:, 0]))


def test_nothing_to_correct_builds_nothing():
    assert UniformWeighting()(NEG) is None


def test_log_q_corrects_negatives_and_positive():
    log_q, pos_log_q = torch.tensor([0.2, 0.5, 0.3]).double().log(), torch.tensor([[0.1]]).double().log()
    loss = SampledSoftmaxLoss(0.5)(POS, NEG, UniformWeighting()(NEG, log_q, None, pos_log_q))
    logits = torch.cat([POS[:, None] / 0.5 - pos_log_q, NEG / 0.5 - log_q], 1)
    expected = torch.nn.functional.cross_entropy(logits, torch.tensor([0]))
    assert loss.item() == pytest.approx(expected.item())


def test_nothing_is_corrected_on_request():
    log_q, pos_log_q = torch.tensor([0.2, 0.5, 0.3]).log(), torch.tensor([[0.1]]).log()
    assert UniformWeighting(log_q=False)(NEG, log_q, None, pos_log_q) is None


def test_the_positive_alone_can_be_corrected():
    pos_log_q = torch.tensor([[0.1]]).double().log()
    loss = SampledSoftmaxLoss()(POS, NEG, UniformWeighting()(NEG, None, None, pos_log_q))
    logits = torch.cat([POS[:, None] - pos_log_q, NEG], 1)
    assert loss.item() == pytest.approx(torch.nn.functional.cross_entropy(logits, torch.tensor([0])).item())


@pytest.mark.parametrize(
    ("beta", "loss"), [(0, 0.440190), (0.1, 0.460586), (0.5, 0.537384), (1, 0.613559), (2, 0.696466), (10, 0.743654)]
)
def test_published_hard_negatives(beta, loss):
    correction = HardNegativeWeighting(beta)(NEG)
    assert SampledSoftmaxLoss()(POS, NEG, correction).item() == pytest.approx(loss, abs=1e-6)


@pytest.mark.parametrize(
    ("detach", "gradient"),
    [(False, [-0.004635, 0.489940, -0.026725]), (True, [0.053796, 0.397503, 0.007281])],
)
def test_published_hard_negative_gradients(detach, gradient):
    neg = NEG.clone().requires_grad_()
    SampledSoftmaxLoss()(POS, neg, HardNegativeWeighting(1.0, detach)(neg)).sum().backward()
    assert neg.grad.flatten().tolist() == pytest.approx(gradient, abs=1e-6)


def test_hard_negatives_and_log_q_are_one_importance_weight():
    log_q = torch.tensor([0.2, 0.5, 0.3]).double().log()
    weights = [math.exp(2.0 * x) / q for x, q in zip([0.0, 1.0, -1.0], [0.2, 0.5, 0.3], strict=True)]
    mean = sum(weights) / 3
    correction = HardNegativeWeighting(2.0)(NEG, log_q, None, torch.tensor([[-5.0]]))
    assert correction.exp().flatten().tolist() == pytest.approx([w / mean for w in weights], rel=1e-5)


@pytest.mark.parametrize("valid", [None, torch.ones(1, 3, dtype=torch.bool)], ids=["none", "all"])
@pytest.mark.parametrize("beta", [0.0, 1.0])
def test_a_score_of_minus_infinity_counts_as_invalid(beta, valid):
    neg = torch.tensor([[0.5, -math.inf, 1.0]], dtype=torch.float64, requires_grad=True)
    correction = HardNegativeWeighting(beta)(neg, None, valid)
    loss = SampledSoftmaxLoss()(POS, neg, correction)
    loss.sum().backward()
    expected = HardNegativeWeighting(beta)(neg[:, [0, 2]])
    assert loss.item() == pytest.approx(SampledSoftmaxLoss()(POS, neg[:, [0, 2]], expected).item())
    assert neg.grad.isfinite().all()


@pytest.mark.parametrize("detach", [False, True])
def test_gradients_of_hard_negatives(detach):
    neg = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    valid = torch.tensor([[True] * 4, [True, False, True, False], [False] * 4])
    weighting = HardNegativeWeighting(1.5, detach)
    if detach:
        assert not weighting(neg, None, valid).requires_grad
    else:
        pos = torch.randn(3, dtype=torch.float64)
        assert torch.autograd.gradcheck(lambda x: SampledSoftmaxLoss()(pos, x, weighting(x, None, valid)), neg)


def test_beta_must_not_be_negative():
    with pytest.raises(ValueError, match="'beta' must be at least 0"):
        HardNegativeWeighting(-0.1)


def test_weights_have_mean_one_in_double_precision():
    correction = HardNegativeWeighting(2.0)(random_negatives := torch.randn(4, 7, dtype=torch.float64))
    assert correction.shape == random_negatives.shape
    torch.testing.assert_close(correction.exp().mean(1), torch.ones(4).double(), atol=1e-14, rtol=0)
