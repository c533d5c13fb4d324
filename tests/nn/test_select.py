import math

import pytest
import torch

from graphmi.nn import (
    ArgmaxSelector,
    Cosine,
    InnerProduct,
    InverseDistanceSelector,
    LabelAwareSelector,
    MeanSelector,
    NegativeDistance,
    ProjectedInnerProduct,
    SampledSelector,
    SoftmaxSelector,
)

SELECTORS = [
    ArgmaxSelector(),
    ArgmaxSelector(Cosine()),
    MeanSelector(),
    SoftmaxSelector(2.0),
    SoftmaxSelector(similarity=ProjectedInnerProduct(4).double()),
    SampledSelector(),
    SampledSelector(similarity=ProjectedInnerProduct(4).double()),
    InverseDistanceSelector(2.0),
    LabelAwareSelector(1.5),
]


def scored(*scores):
    """Interests whose inner products with the anchor [1] are these scores."""
    return torch.tensor(scores, dtype=torch.float64).view(1, -1, 1), torch.ones(1, 1, dtype=torch.float64)


@pytest.mark.parametrize("selector", SELECTORS, ids=lambda s: type(s).__name__)
class TestContract:
    @pytest.fixture
    def interests(self):
        return torch.randn(3, 5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    @pytest.mark.parametrize("shape", [(6, 4), (3, 6, 4), (3, 6, 8)])
    def test_weights_sum_to_one(self, selector, interests, shape):
        if shape[-1] == 8 and isinstance(selector, InverseDistanceSelector):
            shape = (3, 6, 12)
        weights = selector(interests, torch.randn(shape, dtype=torch.float64))
        assert weights.shape == (3, 5, 6)
        assert (weights >= 0).all()
        torch.testing.assert_close(weights.sum(1), torch.ones(3, 6, dtype=torch.float64))
        if selector.hard:
            assert ((weights == 0) | (weights == 1)).all()

    def test_inactive_interests_do_not_exist(self, selector, interests):
        mask = torch.tensor([[True, False, True, False, False]] * 3)
        anchor = torch.randn(6, 4, dtype=torch.float64)
        torch.manual_seed(0)
        weights = selector(interests, anchor, mask)
        assert (weights[~mask] == 0).all()
        if not isinstance(selector, SampledSelector):
            torch.testing.assert_close(weights[:, [0, 2]], selector(interests[:, [0, 2]], anchor))

    def test_one_interest_gets_everything(self, selector, interests):
        assert (selector(interests[:, :1], torch.randn(6, 4, dtype=torch.float64)) == 1).all()

    def test_order_of_interests_does_not_matter(self, selector, interests):
        if isinstance(selector, SampledSelector):
            pytest.skip("a draw")
        anchor, order = torch.randn(6, 4, dtype=torch.float64), torch.tensor([3, 0, 4, 1, 2])
        torch.testing.assert_close(selector(interests[:, order], anchor), selector(interests, anchor)[:, order])

    @pytest.mark.parametrize("similarity", [InnerProduct(), Cosine(), NegativeDistance()])
    def test_score_is_the_weighted_similarity(self, selector, interests, similarity):
        items, mask = torch.randn(6, 4, dtype=torch.float64), torch.rand(3, 5) < 0.5
        mask[:, 0] = True
        torch.manual_seed(0)
        score = selector.score(interests, items, similarity, mask)
        torch.manual_seed(0)
        expected = (selector(interests, items, mask) * similarity(interests, items)).sum(1)
        torch.testing.assert_close(score, expected)

    def test_large_scores_are_finite(self, selector, interests):
        interests = (interests * 1e4).requires_grad_()
        anchor = torch.randn(6, 4, dtype=torch.float64)
        (selector(interests, anchor) * interests.sum(-1, keepdim=True)).sum().backward()
        assert interests.grad.isfinite().all()


@pytest.mark.parametrize(
    "selector",
    [SoftmaxSelector(2.0), InverseDistanceSelector(2.0), LabelAwareSelector(1.5), MeanSelector()],
    ids=lambda s: type(s).__name__,
)
def test_gradients(selector):
    interests = torch.randn(2, 3, 2, dtype=torch.float64, requires_grad=True)
    anchor = torch.randn(4, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda m, e: selector(m, e) * m.sum(-1, keepdim=True), (interests, anchor))


def test_argmax_takes_the_first_of_ties():
    assert ArgmaxSelector()(*scored(1, 3, 3)).flatten().tolist() == [0, 1, 0]


def test_of_equal_interests_one_is_trained():
    interests = torch.ones(1, 3, 2, requires_grad=True)
    ArgmaxSelector().score(interests, torch.tensor([[1.0, 2.0]]), InnerProduct()).sum().backward()
    assert interests.grad[0].tolist() == [[1, 2], [0, 0], [0, 0]]


def test_the_mean_of_no_interest_is_nothing():
    mask = torch.tensor([[True, False], [False, False]])
    weights = MeanSelector()(torch.ones(2, 2, 3), torch.ones(1, 3), mask)
    assert weights.squeeze(-1).tolist() == [[1, 0], [0, 0]]


@pytest.mark.parametrize(
    ("temperature", "expected"),
    [(1, [0.665241, 0.244728, 0.090031]), (2, [0.866813, 0.117310, 0.015876]), (0, [1 / 3] * 3)],
)
def test_bam_probabilities(temperature, expected):
    weights = SoftmaxSelector(temperature)(*scored(1, 0, -1)).flatten().tolist()
    assert weights == pytest.approx(expected, abs=1e-6)
    interests, anchor = scored(1, 0, -1)
    torch.manual_seed(0)
    drawn = SampledSelector(temperature)(interests.expand(20_000, -1, -1), anchor).mean(0).flatten().tolist()
    assert drawn == pytest.approx(expected, abs=4 * math.sqrt(0.25 / 20_000))


def test_no_gradient_reaches_the_random_projection():
    projection = ProjectedInnerProduct(2)
    interests = torch.randn(4, 3, 2, requires_grad=True)
    (
        SampledSelector(similarity=projection)(interests, torch.randn(1, 2)) * interests.sum(-1, keepdim=True)
    ).sum().backward()
    assert all(p.grad is None for p in projection.parameters())


@pytest.mark.parametrize(("alpha", "distance"), [(0, 1.5), (1, 4 / 3), (2, 1.2), (10, 1.000976)])
def test_inverse_distances(alpha, distance):
    interests = torch.tensor([[[1.0], [-2.0]]], dtype=torch.float64)
    selector = InverseDistanceSelector(alpha, eps=1e-12)
    scores = selector.score(interests, torch.zeros(1, 1, dtype=torch.float64), NegativeDistance())
    assert -scores.item() == pytest.approx(distance, abs=1e-6)


def test_a_small_number_is_added_to_distances():
    interests = torch.tensor([[[1.0], [-3.0]]], dtype=torch.float64)
    weights = InverseDistanceSelector(eps=0.5)(interests, torch.zeros(1, 1, dtype=torch.float64))
    assert weights.flatten().tolist() == pytest.approx([3.5 / 5, 1.5 / 5])


def test_weighted_distance_is_monotone_only_with_detached_weights():
    def slope(t, detach):
        interests = torch.tensor([[[1.0], [t]]], dtype=torch.float64, requires_grad=True)
        selector = InverseDistanceSelector(2, detach_weights=detach)
        (-selector.score(interests, torch.zeros(1, 1, dtype=torch.float64), NegativeDistance())).sum().backward()
        return interests.grad[0, 1, 0].item()

    peak = 1 + math.sqrt(2)
    assert slope(peak - 0.1, False) > 0 > slope(peak + 0.1, False)
    assert slope(peak + 0.1, True) > 0


def test_inverse_distance_at_zero_is_finite():
    interests = torch.zeros(1, 2, 3, requires_grad=True)
    weights = InverseDistanceSelector(3.0)(interests, torch.zeros(1, 3))
    (weights * torch.tensor([[[1.0], [2.0]]])).sum().backward()
    assert weights.flatten().tolist() == [0.5, 0.5]
    assert interests.grad.isfinite().all()


@pytest.mark.parametrize(("power", "expected"), [(1, [0.731059, 0.268941]), (2, [0.952574, 0.047426])])
def test_label_aware_attention(power, expected):
    assert LabelAwareSelector(power)(*scored(2, 1)).flatten().tolist() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("power", [0.5, 1.5, 2])
def test_negative_scores_to_a_power_stay_negative(power):
    interests, anchor = scored(-2, 0, 1)
    interests.requires_grad_()
    weights = LabelAwareSelector(power)(interests, anchor)
    weights[0, 2].sum().backward()
    powers = [-(2**power), 0, 1]
    assert weights.flatten().tolist() == pytest.approx(
        [math.exp(p) / sum(map(math.exp, powers)) for p in powers], abs=1e-6
    )
    assert interests.grad.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_large_powers_are_finite_and_choose(dtype):
    interests, anchor = (part.to(dtype) for part in scored(40, 12, -40))
    interests.requires_grad_()
    weights = LabelAwareSelector(64.0)(interests, anchor)
    weights[0, 0].sum().backward()
    assert weights.flatten().tolist() == [1, 0, 0]
    assert interests.grad.isfinite().all()
    for scores, mask in (((2, 1, -30), None), ((-2, -30, -3), None), ((2, 1, 30), [[True, True, False]])):
        interests, anchor = (part.to(dtype) for part in scored(*scores))
        weights = LabelAwareSelector(64.0)(interests, anchor, None if mask is None else torch.tensor(mask))
        assert weights.flatten().tolist() == [1, 0, 0]


def test_projections_of_one_kind_are_not_the_same():
    interests = torch.randn(3, 4, 8)
    chosen, served = ProjectedInnerProduct(8), ProjectedInnerProduct(8)
    selector, items = ArgmaxSelector(chosen), torch.randn(6, 8)
    best = chosen(interests, items).argmax(1, keepdim=True)
    expected = served(interests, items).gather(1, best).squeeze(1)
    torch.testing.assert_close(selector.score(interests, items, served), expected)
    assert torch.equal(selector.score(interests, items, chosen), chosen(interests, items).amax(1))


class Turned(InnerProduct):
    """Has no parameters, but an option."""

    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def pairwise(self, left, right):
        return self.factor * super().pairwise(left, right)


def test_similarities_of_ones_own_are_not_the_same_without_parameters():
    interests, items = torch.randn(3, 2, 4), torch.randn(5, 4)
    selector, served = ArgmaxSelector(Turned(-1)), Turned(1)
    expected = (selector(interests, items) * served(interests, items)).sum(1)
    torch.testing.assert_close(selector.score(interests, items, served), expected)


@pytest.mark.parametrize(
    "make",
    [
        lambda: SoftmaxSelector(-1),
        lambda: SampledSelector(float("nan")),
        lambda: InverseDistanceSelector(-1),
        lambda: InverseDistanceSelector(eps=0),
        lambda: LabelAwareSelector(0),
    ],
)
def test_ranges(make):
    with pytest.raises(ValueError, match=r"must be .* \(got"):
        make()
