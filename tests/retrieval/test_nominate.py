import pytest
import torch

from graphmi.retrieval import nominate, top_k


def world(seed=0, whole=False):
    generator = torch.Generator().manual_seed(seed)
    queries, items = torch.randn(7, 3, 4, generator=generator), torch.randn(30, 4, generator=generator)
    return (queries.round(), items.round()) if whole else (queries, items)  # whole numbers: many ties


@pytest.mark.parametrize("whole", [False, True], ids=["distinct", "ties"])
def test_without_a_limit_it_is_the_ranking(whole):
    queries, items = world(whole=whole)
    for found, expected in zip(nominate(queries, items, 10, 10), top_k(queries, items, 10), strict=True):
        assert torch.equal(found, expected)


@pytest.mark.parametrize("quota", [1, 2, 4])
def test_it_is_a_search_for_each_interest_merged(quota):
    queries, items = world(1)
    rowptr, col = torch.arange(0, 15, 2), torch.randint(30, (14,), generator=torch.Generator().manual_seed(2))
    mask = torch.ones(7, 3, dtype=torch.bool)
    mask[0, 1] = mask[3, 0] = mask[3, 2] = False
    found = nominate(queries, items, 5, quota, exclude=(rowptr, col), interest_mask=mask)
    for row in range(7):
        known, best = set(col[rowptr[row] : rowptr[row + 1]].tolist()), {}
        for interest in range(3):
            scores = items @ queries[row, interest]
            order = [item for item in scores.argsort(descending=True).tolist() if item not in known]
            for item in order[:quota] if mask[row, interest] else []:
                if item not in best or scores[item] > best[item][0]:
                    best[item] = (float(scores[item]), interest)
        ranked = sorted(best, key=lambda item: -best[item][0])[:5]
        missing = 5 - len(ranked)
        assert found.ids[row].tolist() == ranked + [-1] * missing
        assert found.interest[row].tolist() == [best[item][1] for item in ranked] + [-1] * missing
        torch.testing.assert_close(
            found.scores[row], torch.tensor([best[item][0] for item in ranked] + [-torch.inf] * missing)
        )


def test_no_interest_has_more_than_its_quota():
    queries, items = world(3)
    queries[:, 0] *= 100  # would have all places
    found = nominate(queries, items, 6, 2)
    assert all((row == interest).sum() <= 2 for row in found.interest for interest in range(3))


def test_the_quota_is_at_least_one():
    with pytest.raises(ValueError, match="'quota' must be at least 1"):
        nominate(*world(), 5, 0)
