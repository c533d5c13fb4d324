import pytest
import torch

from graphmi.retrieval import diversified

SCORES = torch.tensor([[5.0, 4.9, 4.0, 3.9]])  # a, b, c, d of METHODS.md: a and b of one category
ONE_EACH = torch.tensor([[[1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]]).bool()


@pytest.mark.parametrize(("weight", "expected"), [(0.0, "abc"), (0.5, "abc"), (0.95, "acb"), (2.0, "acd")])
def test_the_published_rule(weight, expected):
    assert "".join("abcd"[place] for place in diversified(SCORES, ONE_EACH, 3, weight)[0]) == expected


@pytest.mark.parametrize("weight", [0.0, 0.3, 3.0])
def test_it_is_the_greedy_loop(weight):
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(5, 12, generator=generator)
    scores[0, 3] = -torch.inf
    categories = torch.rand(5, 12, 4, generator=generator) < 0.4  # several categories, and none
    found = diversified(scores, categories, 8, weight)
    for row in range(5):
        left, counts, expected = list(range(12)), [0.0] * 4, []
        for _ in range(8):

            def value(item, row=row, counts=counts):
                own = categories[row, item].nonzero().flatten().tolist()
                return float(scores[row, item]) - weight * (sum(counts[c] for c in own) / len(own) if own else 0)

            best = max(left, key=value)
            left.remove(best)
            expected.append(best)
            for category in categories[row, best].nonzero().flatten().tolist():
                counts[category] += 1
        assert found[row].tolist() == expected


def test_no_weight_is_the_order_of_the_scores_and_a_list_ends_with_the_candidates():
    scores = torch.randn(3, 6, generator=torch.Generator().manual_seed(1))
    found = diversified(scores, torch.zeros(3, 6, 2).bool(), 10, 0.0)
    assert torch.equal(found, scores.argsort(dim=1, descending=True))


@pytest.mark.parametrize(
    "arguments", [{"k": 0, "weight": 1.0}, {"k": 1, "weight": -1.0}, {"k": 1, "weight": torch.nan}]
)
def test_out_of_range(arguments):
    with pytest.raises(ValueError, match="must be at least"):
        diversified(SCORES, ONE_EACH, **arguments)
