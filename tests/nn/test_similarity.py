import math

import pytest
import torch

from graphmi.nn import Cosine, InnerProduct, NegativeDistance, ProjectedInnerProduct

SIMILARITIES = {
    "inner": (InnerProduct(), lambda a, b: sum(x * y for x, y in zip(a, b, strict=True))),
    "cosine": (
        Cosine(),
        lambda a, b: sum(x * y for x, y in zip(a, b, strict=True)) / (math.hypot(*a) * math.hypot(*b)),
    ),
    "distance": (NegativeDistance(), lambda a, b: -math.dist(a, b)),
}


@pytest.mark.parametrize("name", SIMILARITIES)
@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("num_vectors", [1, 3])
def test_equals_a_loop_over_pairs(name, shared, num_vectors):
    similarity, pair = SIMILARITIES[name]
    torch.manual_seed(0)
    interests = torch.randn(2, 3, 4, dtype=torch.float64)
    items = torch.randn(*([5] if shared else [2, 5]), num_vectors * 4, dtype=torch.float64)
    scores = similarity(interests, items)
    assert scores.shape == (2, 3, 5)
    for user in range(2):
        for k in range(3):
            for n in range(5):
                row = (items[n] if shared else items[user, n]).tolist()
                vectors = [row[4 * j : 4 * j + 4] for j in range(num_vectors)]
                best = max(pair(interests[user, k].tolist(), vector) for vector in vectors)
                assert scores[user, k, n].item() == pytest.approx(best, abs=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_small_distances_to_items_of_ones_own_are_exact(dtype):
    left = torch.randn(40, 1, 16, generator=torch.Generator().manual_seed(0)).to(dtype)
    right = left.squeeze(1) + (torch.arange(1, 41) * 2**-9).unsqueeze(1).to(dtype)
    items = right.unsqueeze(1).expand(-1, 30, -1)  # so many that torch would take a matrix product
    found = NegativeDistance()(left.expand(-1, 30, -1), items)
    expected = -torch.linalg.vector_norm(left.squeeze(1).double() - right.double(), dim=-1)
    torch.testing.assert_close(found[:, 3, 7].double(), expected, atol=0, rtol=1e-5)


@pytest.mark.parametrize("name", SIMILARITIES)
def test_nobody_is_scored(name):
    similarity, _ = SIMILARITIES[name]
    assert similarity(torch.randn(0, 3, 4), torch.randn(5, 8)).shape == (0, 3, 5)
    assert similarity(torch.randn(0, 3, 4), torch.randn(0, 5, 8)).shape == (0, 3, 5)
    assert similarity(torch.randn(2, 3, 4), torch.randn(0, 4)).shape == (2, 3, 0)


def test_projection_is_two_affine_maps():
    similarity = ProjectedInnerProduct(3, projected_dim=2).double()
    m, e = torch.randn(1, 1, 3, dtype=torch.float64), torch.randn(1, 3, dtype=torch.float64)
    w1, b1, w2, b2 = (p.tolist() for p in similarity.parameters())
    left = [sum(w * x for w, x in zip(row, m[0, 0].tolist(), strict=True)) + b for row, b in zip(w1, b1, strict=True)]
    right = [sum(w * x for w, x in zip(row, e[0].tolist(), strict=True)) + b for row, b in zip(w2, b2, strict=True)]
    assert similarity(m, e).item() == pytest.approx(left[0] * right[0] + left[1] * right[1])


@pytest.mark.parametrize(
    "similarity", [InnerProduct(), Cosine(), NegativeDistance(), ProjectedInnerProduct(3).double()]
)
def test_gradients(similarity):
    torch.manual_seed(1)
    interests = torch.randn(2, 2, 3, dtype=torch.float64, requires_grad=True)
    items = torch.randn(4, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(similarity, (interests, items))


def test_zero_vectors_and_zero_distances_have_finite_gradients():
    for similarity in (Cosine(), NegativeDistance()):
        interests = torch.zeros(1, 2, 3, requires_grad=True)
        similarity(interests, torch.zeros(4, 3)).sum().backward()
        assert interests.grad.isfinite().all()


def test_cosine_with_a_zero_vector_is_0_with_gradient_0():
    interests = torch.tensor([[[0.0, 0.0], [3.0, 4.0]]], requires_grad=True)
    cosine = Cosine()(interests, torch.tensor([[1.0, 0.0]]))
    cosine.sum().backward()
    assert torch.allclose(cosine.flatten(), torch.tensor([0.0, 0.6]))
    assert torch.allclose(interests.grad[0], torch.tensor([[0.0, 0.0], [0.128, -0.096]]))  # (1 - .36) / 5, -.48 / 5


@pytest.mark.parametrize("width", [0, 3, 5])
def test_width_must_fit(width):
    with pytest.raises(ValueError, match="multiple of the interests' 4 dimensions"):
        InnerProduct()(torch.zeros(1, 1, 4), torch.zeros(2, width))


def test_projection_has_the_width_of_the_model():
    with pytest.raises(ValueError, match=r"^ProjectedInnerProduct has 'embedding_dim' 64, but .* are 32 wide"):
        ProjectedInnerProduct(64)(torch.zeros(1, 1, 32), torch.zeros(2, 32))


def test_projection_needs_a_width():
    with pytest.raises(ValueError, match="at least 1"):
        ProjectedInnerProduct(4, projected_dim=0)
