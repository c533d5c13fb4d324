import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from graphmi.retrieval import TopK, keys, rank, top_k, topk
from graphmi.retrieval.blocks import ItemBlock
from graphmi.retrieval.interest import best_interest


def full_sort(queries, items, k, excluded=None, mask=None):
    """Row by row: every score, a stable sort, the first k."""
    rows, _, dim = queries.shape
    scores = torch.einsum("bkd,njd->bknj", queries, items.view(len(items), -1, dim)).amax(dim=-1)
    if mask is not None:
        scores = scores.masked_fill(~mask.unsqueeze(-1), -math.inf)
    interest = scores.argmax(dim=1)
    scores = scores.amax(dim=1)
    for row in range(rows):
        if excluded is not None:
            scores[row, excluded[row]] = -math.inf
    values, ids = scores.sort(dim=1, descending=True, stable=True)
    values, ids = values[:, :k], ids[:, :k]
    interest = interest.gather(1, ids)
    missing = values == -math.inf
    return values, ids.masked_fill(missing, -1), interest.masked_fill(missing, -1)


def csr(excluded):
    rowptr = torch.tensor([0, *torch.tensor([len(e) for e in excluded]).cumsum(0).tolist()])
    return rowptr, torch.tensor([i for e in excluded for i in e], dtype=torch.int64)


def integers(*shape, high=2, seed=0):
    """Small whole numbers: sums are exact in any order of addition, and ties abound."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(-high, high + 1, shape, generator=generator).float()


@settings(max_examples=150, deadline=None)
@given(
    rows=st.integers(1, 7),
    num_items=st.integers(1, 60),
    num_interests=st.integers(1, 4),
    num_vectors=st.integers(1, 3),
    dim=st.sampled_from([3, 40]),  # few rows of wide vectors are ranked without groups
    k=st.integers(1, 70),
    high=st.sampled_from([0, 1, 300]),
    item_block=st.sampled_from([1, 7, 20, 16384]),
    block_size=st.sampled_from([1, 100, 2**20]),
    share=st.sampled_from([0.0, 0.3, 1.0]),
    seed=st.integers(0, 10**6),
)
def test_equals_full_stable_sort(
    rows, num_items, num_interests, num_vectors, dim, k, high, item_block, block_size, share, seed
):
    queries = integers(rows, num_interests, dim, high=high, seed=seed)
    items = integers(num_items, dim * num_vectors, high=high, seed=seed + 1)
    generator = torch.Generator().manual_seed(seed)
    drop = torch.rand(rows, num_items, generator=generator) < share
    excluded = [torch.nonzero(row).flatten().tolist() for row in drop]
    mask = torch.rand(rows, num_interests, generator=generator) < 0.7
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("graphmi.retrieval.topk._ITEMS", item_block)
        found = top_k(queries, items, k, exclude=csr(excluded), interest_mask=mask, block_size=block_size)
    values, ids, interest = full_sort(queries, items, k, excluded, mask)
    width = values.size(1)
    assert found.scores.shape == found.ids.shape == found.interest.shape == (rows, k)
    assert torch.equal(found.scores[:, :width], values)
    assert torch.equal(found.ids[:, :width], ids)
    assert torch.equal(found.interest[:, :width], interest)
    assert (found.ids[:, width:] == -1).all()
    assert (found.scores[:, width:] == -math.inf).all()


def test_real_scores_equal_full_sort():
    generator = torch.Generator().manual_seed(0)
    queries = torch.randn(50, 4, 16, generator=generator)
    items = torch.randn(5000, 16, generator=generator)
    values, ids, _ = full_sort(queries, items, 20)
    found = top_k(queries, items, 20)
    torch.testing.assert_close(found.scores, values)
    assert torch.equal(found.ids, ids)


def test_hand_computed_row():
    queries = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])
    items = torch.tensor([[0.5, 0.0], [0.0, 2.0], [0.5, 0.5], [-1.0, -1.0]])
    found = top_k(queries, items, 5, exclude=(torch.tensor([0, 1]), torch.tensor([3])))
    assert found.ids.tolist() == [[1, 0, 2, -1, -1]]
    assert found.scores.tolist() == [[2.0, 0.5, 0.5, -math.inf, -math.inf]]
    assert found.interest.tolist() == [[1, 0, 0, -1, -1]]


def test_zero_and_negative_zero_tie():
    queries = torch.tensor([[[-1.0]]])
    items = torch.tensor([[0.0], [-0.0], [1.0]])
    assert top_k(queries, items, 3).ids.tolist() == [[0, 1, 2]]


def test_unlimited_scores_keep_their_place():
    items = torch.tensor([[1.0], [math.inf], [-math.inf]])
    found = top_k(torch.ones(1, 1, 1), items, 3)
    assert found.ids.tolist() == [[1, 0, -1]]


@pytest.fixture
def threads():
    """Several threads, whatever the machine has."""
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield 3
    torch.set_num_threads(before)


def test_threads_do_not_change_the_result(threads):
    queries, items = integers(40, 3, 4, high=1000), integers(90, 4, high=1000, seed=1)
    exclude = csr([[row, 2 * row] for row in range(40)])
    found = top_k(queries, items, 10, exclude=exclude, block_size=200)
    assert torch.get_num_threads() == threads
    values, ids, interest = full_sort(queries, items, 10, [[row, 2 * row] for row in range(40)])
    assert torch.equal(found.scores, values)
    assert torch.equal(found.ids, ids)
    assert torch.equal(found.interest, interest)


def test_memory_is_bounded_by_the_block(monkeypatch, make_largest):
    monkeypatch.setattr("graphmi.retrieval.topk._ITEMS", 300)
    monkeypatch.setattr("graphmi.retrieval.interest._NUMBERS", 2000)
    rows, num_items, k = 300, 2000, 5
    queries, items = integers(rows, 2, 6), integers(num_items, 6)
    exclude = torch.arange(rows + 1), torch.arange(rows)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with make_largest() as largest:
            top_k(queries, items, k, exclude=exclude, block_size=4000)
    finally:
        torch.set_num_threads(before)
    assert largest.numel <= 4000 < rows * num_items / 100


@pytest.mark.parametrize(("rows", "copied"), [(10, False), (11, True)])
def test_vectors_are_copied_for_many_rows_only(monkeypatch, rows, copied):
    made = []
    monkeypatch.setattr(
        topk, "ItemBlock", lambda *args, **options: made.append(ItemBlock(*args, **options)) or made[-1]
    )
    items = integers(100, 64)
    rank(integers(rows, 2, 64), items, 10)
    assert [block.planes[0][0].data_ptr() != items.data_ptr() for block in made] == [copied]


@pytest.mark.parametrize(("order", "counted"), [("falling", 1), ("mixed", 1), ("rising", 5)])
def test_later_blocks_look_for_what_is_better_only(monkeypatch, order, counted):
    monkeypatch.setattr("graphmi.retrieval.topk._ITEMS", 100)
    calls, best = [], ItemBlock._best
    monkeypatch.setattr(ItemBlock, "_best", lambda *args: calls.append(1) or best(*args))
    items = integers(500, 1, high=2000)
    items = {"falling": items.sort(dim=0, descending=True), "mixed": [items], "rising": items.sort(dim=0)}[order][0]
    queries = torch.ones(20, 1, 1)
    scores, ids = rank(queries, items, 5)
    values, expected, _ = full_sort(queries, items, 5)
    assert torch.equal(scores, values)
    assert torch.equal(ids, expected)
    assert len(calls) == counted


def test_a_later_item_may_be_better_by_the_last_bit(monkeypatch):
    monkeypatch.setattr("graphmi.retrieval.topk._ITEMS", 50)
    items = torch.zeros(100, 1)
    items[3], items[70] = 1.0, 1.0 + torch.finfo(torch.float32).eps
    assert rank(torch.ones(20, 1, 1), items, 1)[1].flatten().tolist() == [70] * 20


def test_one_row_of_which_all_items_are_better(monkeypatch):
    """Then no table as wide as that row is made for all others."""
    monkeypatch.setattr("graphmi.retrieval.topk._ITEMS", 1000)
    widths, padded = [], keys.padded
    monkeypatch.setattr(keys, "padded", lambda *args: widths.append(padded(*args).size(1)) or padded(*args))
    queries, items = integers(20, 1, 4, high=9), integers(3000, 4, high=999)
    excluded = [range(1000), *([[0]] * 19)]
    found = top_k(queries, items, 5, exclude=csr(excluded))
    values, ids, _ = full_sort(queries, items, 5, excluded)
    assert torch.equal(found.scores, values)
    assert torch.equal(found.ids, ids)
    assert len(widths) == 1
    assert max(widths) <= 31


class Table:
    """Item vectors that are only there in pieces."""

    def __init__(self, weight):
        self.weight, self.largest = weight, 0

    def __len__(self):
        return len(self.weight)

    def __getitem__(self, index):
        out = self.weight[index]
        self.largest = max(self.largest, out.numel())
        return out


def test_item_table_is_read_in_pieces(monkeypatch):
    monkeypatch.setattr("graphmi.retrieval.topk._ITEMS", 10)
    monkeypatch.setattr("graphmi.retrieval.interest._NUMBERS", 30)
    queries, items = integers(6, 2, 3), integers(95, 3)
    table = Table(items)
    found = top_k(queries, table, 2, block_size=12)
    for left, right in zip(found, top_k(queries, items, 2), strict=True):
        assert torch.equal(left, right)
    assert table.largest <= 10 * 3


def test_types_and_gradients():
    queries = integers(3, 2, 4).bfloat16().requires_grad_()
    found = top_k(queries, integers(9, 4).double(), 2)
    assert isinstance(found, TopK)
    assert found.scores.dtype == torch.float32
    assert found.ids.dtype == found.interest.dtype == torch.int64
    assert not found.scores.requires_grad
    precise, items = torch.randn(30, 2, 4, dtype=torch.float64), torch.randn(500, 4)
    for one, other in zip(top_k(precise, items, 9), top_k(precise.float(), items, 9), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("num_items", [9, 2000])
def test_excluded_items_may_be_32_bits_wide(num_items):
    queries, items, (rowptr, col) = integers(3, 2, 4), integers(num_items, 4), csr([[0, 5, 2], [], [7]])
    found, expected = (
        top_k(queries, items, 4, exclude=(rowptr.to(kind), col.to(kind))) for kind in (torch.int32, torch.int64)
    )
    assert torch.equal(found.ids, expected.ids)


def test_of_no_items_no_interest_is_the_best():
    found = best_interest(torch.ones(3, 2, 4), torch.ones(5, 4), torch.zeros(3, 0, dtype=torch.int64))
    assert found.shape == (3, 0)


def test_arguments_stay_as_they_are():
    queries, items = integers(4, 2, 3), integers(11, 3)
    before = queries.clone(), items.clone()
    top_k(queries, items, 3, interest_mask=torch.tensor([[True, False]] * 4))
    assert torch.equal(queries, before[0])
    assert torch.equal(items, before[1])


def test_no_rows():
    found = top_k(torch.zeros(0, 2, 3), torch.zeros(4, 3), 2)
    assert found.ids.shape == (0, 2)
    found = top_k(
        torch.zeros(0, 2, 3), torch.zeros(4, 3), 2, exclude=(torch.tensor([0]), torch.tensor([], dtype=torch.int64))
    )
    assert found.ids.shape == (0, 2)


def test_no_items():
    found = top_k(torch.zeros(3, 2, 4), torch.zeros(0, 4), 2, interest_mask=torch.ones(3, 2, dtype=torch.bool))
    assert (found.scores == -math.inf).all()
    assert found.ids.tolist() == found.interest.tolist() == [[-1, -1]] * 3


@pytest.mark.parametrize("negative", [False, True])
def test_nan_is_an_error(negative):
    nan = -torch.tensor(math.nan) if negative else torch.tensor(math.nan)
    items = integers(100, 2)
    items[57, 1] = nan
    with pytest.raises(ValueError, match="NaN"):
        top_k(torch.ones(3, 2, 2), items, 2)
    with pytest.raises(ValueError, match="NaN"):
        top_k(torch.full((1, 1, 1), math.inf), torch.tensor([[0.0], [1.0]]), 1)


def test_inactive_interest_may_hold_anything():
    queries = torch.tensor([[[math.nan], [2.0]], [[math.nan], [math.nan]]])
    mask = torch.tensor([[False, True], [True, False]])
    with pytest.raises(ValueError, match="NaN"):
        top_k(queries, torch.ones(2, 1), 1, interest_mask=mask)
    assert top_k(queries[:1], torch.ones(2, 1), 1, interest_mask=mask[:1]).interest.tolist() == [[1]]


def test_row_without_active_interest_is_empty():
    queries = torch.tensor([[[math.nan]] * 2, [[1.0]] * 2])
    mask = torch.tensor([[False, False], [True, True]])
    assert top_k(queries, torch.ones(3, 1), 2, interest_mask=mask).ids.tolist() == [[-1, -1], [0, 1]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"k": 0}, "'k' must be at least 1"),
        ({"queries": torch.zeros(2, 3)}, "'queries' must be"),
        ({"queries": torch.zeros(2, 0, 3)}, "'queries' must be"),
        ({"queries": torch.zeros(2, 2, 0), "items": torch.zeros(5, 0)}, "'queries' must be"),
        ({"items": torch.zeros(5, 4)}, "'items' must be"),
        ({"items": torch.zeros(5, 3, 2)}, "'items' must be"),
        ({"exclude": (torch.tensor([0]), torch.tensor([1]))}, "'exclude' must have 3"),
        ({"exclude": csr([[1], [2], [3]])}, r"'exclude' must have 3 row pointers, .* \(got 4\)"),
        ({"exclude": csr([[4], [5]])}, r"'exclude' must name items in \[0, 5\) \(got 4 to 5\)"),
        ({"exclude": csr([[-1], [4]])}, r"'exclude' must name items in \[0, 5\) \(got -1 to 4\)"),
        ({"interest_mask": torch.ones(2, 5, dtype=torch.bool)}, "'interest_mask' must be"),
        ({"block_size": 0}, "'block_size' must be at least 1"),
    ],
)
def test_impossible_arguments(change, message):
    arguments = {"queries": torch.zeros(2, 2, 3), "items": torch.zeros(5, 3), "k": 1} | change
    with pytest.raises(ValueError, match=message):
        top_k(**arguments)
