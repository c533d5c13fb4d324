import pytest
import torch

from graphmi.retrieval import diversified

SCORES = torch.tensor([[5.0, 4.9, 4.0, 3.9]])  # a, b, c, d of METHODS.md: a and b of one category
ONE_EACH = torch.tensor([[[0], [0], [1], [2]]])


@pytest.mark.parametrize(("weight", "expected"), [(0.0, "abc"), (0.5, "abc"), (0.95, "acb"), (2.0, "acd")])
def test_the_published_rule(weight, expected):
    assert "".join("abcd"[place] for place in diversified(SCORES, ONE_EACH, 3, weight)[0]) == expected


@pytest.mark.parametrize("k", [8, 20])
@pytest.mark.parametrize("weight", [0.0, 0.3, 3.0, 1e300])
def test_it_is_the_greedy_loop(weight, k):
    """Of several categories or none, and of fewer candidates than the list is long."""
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(5, 12, generator=generator)
    scores[0, 3] = scores[1, 2:] = scores[2] = -torch.inf
    belongs = torch.rand(5, 12, 4, generator=generator) < 0.4
    categories = torch.where(belongs, torch.arange(4), -1)
    found = diversified(scores, categories, k, weight)
    assert found.shape == (5, min(k, 12))
    for row in range(5):
        left, counts, expected = scores[row].isfinite().nonzero().flatten().tolist(), [0.0] * 4, []
        while left and len(expected) < k:

            def value(item, row=row, counts=counts):
                own = belongs[row, item].nonzero().flatten().tolist()
                return float(scores[row, item]) - weight * (sum(counts[c] for c in own) / len(own) if own else 0)

            best = max(left, key=value)
            left.remove(best)
            expected.append(best)
            for category in belongs[row, best].nonzero().flatten().tolist():
                counts[category] += 1
        assert found[row].tolist() == expected + [-1] * (found.size(1) - len(expected))


@pytest.mark.parametrize("most", [0, 2])
def test_no_weight_or_no_category_is_the_order_of_the_scores(most):
    scores = torch.randn(3, 6, generator=torch.Generator().manual_seed(1))
    none = torch.full((3, 6, most), -1)
    for categories, weight in ((none, 2.0), (none + 1, 0.0)):
        found = diversified(scores, categories, 10, weight)
        assert torch.equal(found, scores.argsort(dim=1, descending=True))


@pytest.mark.parametrize("shape", [(2, 0), (0, 3), (0, 0)])
def test_without_candidates_or_rows_nothing_is_picked(shape):
    found = diversified(torch.zeros(shape), torch.zeros(*shape, 1, dtype=torch.int64), 4, 1.0)
    assert found.shape == shape
    assert found.dtype == torch.int64


@pytest.mark.parametrize(
    "arguments",
    [{"k": 0, "weight": 1.0}, {"k": 1, "weight": -1.0}, {"k": 1, "weight": torch.nan}, {"k": 1, "weight": torch.inf}],
)
def test_out_of_range(arguments):
    with pytest.raises(ValueError, match="must be at least"):
        diversified(SCORES, ONE_EACH, **arguments)
