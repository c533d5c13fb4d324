import math

import pytest
import torch
from torch.nn.functional import cosine_similarity, normalize

from graphmi.metrics import alignment, interest_cosine, uniformity


def draw(seed=0, num_users=30, num_interests=4, dim=5):
    draws = torch.Generator().manual_seed(seed)
    interests = torch.randn(num_users, num_interests, dim, generator=draws)
    interests[0, 1] = 0.0  # an empty interest
    return interests, torch.rand(num_users, num_interests, generator=draws) < 0.5


def test_rounding_leads_out_of_no_range():
    interests = torch.randn(500, 1, 7, generator=torch.Generator().manual_seed(0)).expand(-1, 3, -1)
    assert interest_cosine(interests).max() <= 1
    assert interest_cosine(torch.stack([interests[:, 0], -interests[:, 0]], 1)).min() >= -1
    assert max(uniformity(equal).item() for equal in interests) <= 0


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_full(kind):
    interests, mask = (part.repeat(30, *[1] * (part.dim() - 1)) for part in draw())
    interests, edges = interests.to(kind), torch.tensor([[0, 0, 5], [1, 0, 2]])
    items = interests[0]  # one of them of length 0
    for metric, *others in ((interest_cosine, mask), (alignment, items, edges, mask), (uniformity,)):
        given = interests.flatten(0, 1) if metric is uniformity else interests
        exact = metric(given.float(), *(other.float() if other is items else other for other in others))
        torch.testing.assert_close(metric(given, *others), exact, equal_nan=True, atol=1e-2, rtol=1e-2)


def test_cosine_equals_a_loop():
    interests, mask = draw()
    found = interest_cosine(interests, mask)
    undefined = 0
    for user in range(len(interests)):
        chosen = interests[user][mask[user]]
        pairs = [cosine_similarity(chosen[a], chosen[b], dim=0).item() for a in range(len(chosen)) for b in range(a)]
        if not pairs:
            undefined += 1
            assert found[user].isnan()
        else:
            assert found[user].item() == pytest.approx(sum(pairs) / len(pairs), abs=1e-5)
    assert undefined
    everyone = interest_cosine(interests, torch.ones_like(mask))
    assert torch.allclose(interest_cosine(interests), everyone)
    assert torch.allclose(interest_cosine(interests[:, [2, 0, 3, 1]]), everyone, atol=1e-6)


def test_cosine_of_equal_opposite_and_single_interests():
    vector = torch.randn(6)
    assert interest_cosine(torch.stack([vector, 3 * vector]).unsqueeze(0)).item() == pytest.approx(1.0)
    assert interest_cosine(torch.stack([vector, -vector]).unsqueeze(0)).item() == pytest.approx(-1.0)
    assert interest_cosine(vector.view(1, 1, 6)).isnan()


@pytest.mark.parametrize("num_vectors", [1, 2])
def test_alignment_equals_a_loop(num_vectors, monkeypatch):
    interests, mask = draw()
    draws = torch.Generator().manual_seed(1)
    items = torch.randn(20, num_vectors * 5, generator=draws)
    label = torch.stack([torch.randint(1, 30, (50,), generator=draws), torch.randint(0, 20, (50,), generator=draws)])
    expected = {}
    for user, item in label.T.tolist():
        pairs = [
            (float(interest @ vector), float((normalize(interest, dim=0) - normalize(vector, dim=0)).square().sum()))
            for interest, active in zip(interests[user], mask[user], strict=True)
            if active
            for vector in items[item].view(num_vectors, 5)
        ]
        if pairs:
            expected.setdefault(user, []).append(max(pairs)[1])
    monkeypatch.setattr("graphmi.metrics.geometry._PAIRS", 7)  # a few at a time
    found = alignment(interests, items, label, mask)
    for user in range(len(interests)):
        if user in expected:
            assert found[user].item() == pytest.approx(sum(expected[user]) / len(expected[user]), abs=1e-5)
        else:
            assert found[user].isnan()
    assert found.isnan().any()


def test_alignment_by_hand_and_without_targets():
    interests = torch.tensor([[[2.0, 0.0], [0.0, 1.0]]])
    items = torch.tensor([[0.0, 5.0], [-1.0, 0.0]])
    label = torch.tensor([[0, 0], [0, 1]])
    # On the second item the second interest scores best, 0 against -2: at a right angle.
    assert alignment(interests, items, label).item() == pytest.approx((0 + 2) / 2)
    assert alignment(interests, items, torch.empty(2, 0, dtype=torch.int64)).isnan()


def test_uniformity_equals_a_loop():
    vectors = torch.randn(9, 4, generator=torch.Generator().manual_seed(0))
    vectors[4] = 0.0
    unit = normalize(vectors, dim=1)
    terms = [math.exp(-2 * float((unit[a] - unit[b]).square().sum())) for a in range(9) for b in range(9) if a != b]
    assert uniformity(vectors).item() == pytest.approx(math.log(sum(terms) / len(terms)), abs=1e-5)


def test_uniformity_at_its_ends():
    vector = torch.randn(3)
    assert uniformity(vector.expand(5, 3)).item() == pytest.approx(0.0, abs=1e-5)
    assert uniformity(torch.stack([vector, -vector])).item() == pytest.approx(-8.0, abs=1e-4)
    spread = torch.randn(1500, 256, generator=torch.Generator().manual_seed(0))
    assert uniformity(spread).item() == pytest.approx(-4.0, abs=0.05)
    assert uniformity(vector.view(1, 3)).isnan()
    assert uniformity(torch.empty(0, 3)).isnan()
