import pytest
import torch

from graphmi.retrieval import ExactIndex, nominate, top_k


def world(seed=0, whole=False):
    generator = torch.Generator().manual_seed(seed)
    queries, items = torch.randn(7, 3, 4, generator=generator), torch.randn(30, 4, generator=generator)
    return (queries.round(), items.round()) if whole else (queries, items)  # whole numbers: many ties


@pytest.mark.parametrize("whole", [False, True], ids=["distinct", "ties"])
def test_without_a_limit_it_is_the_ranking(whole):
    queries, items = world(whole=whole)
    for found, expected in zip(nominate(queries, ExactIndex(items), 10, 10), top_k(queries, items, 10), strict=True):
        assert torch.equal(found, expected)


@pytest.mark.parametrize("quota", [1, 2, 4])
def test_interests_take_the_best_that_is_left_while_they_may(quota):
    queries, items = world(1)
    rowptr, col = torch.arange(0, 15, 2), torch.randint(30, (14,), generator=torch.Generator().manual_seed(2))
    mask = torch.ones(7, 3, dtype=torch.bool)
    mask[0, 1] = mask[3, 0] = mask[3, 2] = False
    queries[~mask] = torch.nan  # what is inactive may hold anything
    found = nominate(queries, ExactIndex(items), 5, quota, exclude=(rowptr, col), interest_mask=mask)
    for row in range(7):
        known = set(col[rowptr[row] : rowptr[row + 1]].tolist())
        scores = (queries[row] @ items.T).masked_fill(~mask[row].unsqueeze(1), -torch.inf)
        used, chosen = [0, 0, 0], list[tuple[int, int]]()
        while len(chosen) < 5:
            pairs = [
                (float(scores[interest, item]), item, interest)
                for interest in range(3)
                for item in range(30)
                if mask[row, interest] and used[interest] < quota and item not in known
                if item not in [one for one, _ in chosen]
            ]
            if not pairs:
                break
            _, item, interest = max(pairs)
            used[interest] += 1
            chosen.append((item, interest))
        missing = [-1] * (5 - len(chosen))
        assert found.ids[row].tolist() == [item for item, _ in chosen] + missing
        assert found.interest[row].tolist() == [interest for _, interest in chosen] + missing
        expected = torch.tensor(
            [float(scores[interest, item]) for item, interest in chosen] + [-torch.inf] * len(missing)
        )
        torch.testing.assert_close(found.scores[row], expected)


def test_copies_of_one_interest_fill_the_list_together():
    queries, items = world(3)
    queries = queries[:, :1].expand(-1, 3, -1)
    found = nominate(queries, ExactIndex(items), 6, 2)
    assert torch.equal(found.ids, top_k(queries, items, 6).ids)
    assert all((row == interest).sum() == 2 for row in found.interest for interest in range(3))


def test_the_quota_is_at_least_one():
    queries, items = world()
    with pytest.raises(ValueError, match="'quota' must be at least 1"):
        nominate(queries, ExactIndex(items), 5, 0)
