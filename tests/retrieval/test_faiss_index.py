import pytest
import torch

from graphmi.retrieval import ExactIndex, FaissIndex

pytest.importorskip("faiss")


def world(num_items=300, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(20, 3, 8, generator=generator), torch.randn(num_items, 8, generator=generator)


def known():
    generator = torch.Generator().manual_seed(1)
    return torch.arange(0, 101, 5), torch.randint(300, (100,), generator=generator)


@pytest.mark.parametrize("excluded", [False, True])
@pytest.mark.parametrize("masked", [False, True])
def test_an_exact_index_gives_the_exact_result(excluded, masked):
    queries, items = world()
    mask = torch.ones(20, 3, dtype=torch.bool)
    mask[3, 1] = mask[4, :2] = mask[5] = False  # the last one has no interest at all
    best = torch.arange(0, 101, 5), ExactIndex(items).search(queries, 5).ids.flatten()
    options = {"exclude": best if excluded else None, "interest_mask": mask if masked else None}
    found = FaissIndex(items, "Flat", depth=1).search(queries, 12, **options)
    expected = ExactIndex(items).search(queries, 12, **options)
    torch.testing.assert_close(found.scores, expected.scores)
    assert torch.equal(found.ids, expected.ids)
    assert torch.equal(found.interest, expected.interest)


def test_what_a_cell_does_not_have_is_not_in_the_list():
    items = torch.tensor([[9.0, 0.0]] * 40 + [[0.0, 9.0]] * 45) + 0.1 * torch.rand(85, 2)
    [ids] = FaissIndex(items, "IVF2,Flat").search(torch.tensor([[[0.0, 1.0]]]), 50).ids.tolist()
    assert sorted(ids) == [-1] * 5 + list(range(40, 85))


def test_what_an_approximate_index_finds_is_ranked_exactly():
    queries, items = world(2000, seed=2)
    rowptr, col = known()
    found = FaissIndex(items, "HNSW16").search(queries, 10, exclude=(rowptr, col))
    expected = ExactIndex(items).search(queries, 10, exclude=(rowptr, col))
    hits = sum(len(set(a) & set(b)) for a, b in zip(found.ids.tolist(), expected.ids.tolist(), strict=True))
    assert hits > 0.9 * expected.ids.numel()
    scores = torch.einsum("bkd,nd->bkn", queries, items)
    torch.testing.assert_close(found.scores, scores.amax(1).gather(1, found.ids))
    assert torch.equal(found.interest, scores.argmax(1).gather(1, found.ids))
    for row, ids in enumerate(found.ids.tolist()):
        assert not set(ids) & set(col[rowptr[row] : rowptr[row + 1]].tolist())
        assert len(set(ids)) == 10


def test_a_list_ends_where_nothing_is_left():
    queries, items = world(4)
    found = FaissIndex(items[:4], "Flat").search(
        queries[:2], 6, exclude=(torch.tensor([0, 3, 3]), torch.tensor([0, 1, 2]))
    )
    assert found.ids[0].tolist() == [3, -1, -1, -1, -1, -1]
    assert sorted(found.ids[1].tolist()) == [-1, -1, 0, 1, 2, 3]
    assert (found.scores[found.ids < 0] == -torch.inf).all()


def test_out_of_range():
    queries, items = world()
    with pytest.raises(ValueError, match="'depth' must be at least 1"):
        FaissIndex(items, depth=0)
    with pytest.raises(ValueError, match="'items' must be"):
        FaissIndex(items[0])
    with pytest.raises(ValueError, match="'k' must be at least 1"):
        FaissIndex(items, "Flat").search(queries, 0)
    with pytest.raises(ValueError, match=r"got 4 and 8\): items with several vectors need an ExactIndex"):
        FaissIndex(items, "Flat").search(queries[..., :4], 3)
    with pytest.raises(ValueError, match=r"'queries' must be \[batch, num_interests, dim\]"):
        FaissIndex(items, "Flat").search(queries[:, 0], 3)
    with pytest.raises(ValueError, match="'queries' has a NaN"):
        FaissIndex(items, "Flat").search(queries / 0 * 0, 3)
    beyond = torch.arange(len(queries) + 1), torch.full((len(queries),), len(items))  # the first item of the next row
    with pytest.raises(ValueError, match=r"'exclude' must name items in \[0, \d+\)"):
        FaissIndex(items, "Flat").search(queries, 3, exclude=beyond)


def test_nobody_gets_no_list():
    queries, items = world()
    found = FaissIndex(items, "Flat").search(
        queries[:0], 4, exclude=(torch.zeros(1, dtype=torch.int64), known()[1][:0])
    )
    expected = ExactIndex(items).search(queries[:0], 4)
    assert [part.shape for part in found] == [part.shape for part in expected]
