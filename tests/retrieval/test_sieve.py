import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import pad

from graphmi.retrieval import keys, rank, sieve, topk
from graphmi.retrieval.blocks import Buffers, ItemBlock
from graphmi.retrieval.sieve import Sieve


@pytest.fixture(autouse=True)
def amx(monkeypatch):
    """Sieve whatever the machine has, and however few rows: products of bfloat16 have the same results on all."""
    monkeypatch.setattr(sieve, "_has_amx", lambda: True)
    for name in ("_PRODUCTS", "_SCORES", "_CHOICE"):
        monkeypatch.setattr(sieve, name, 1)


@pytest.fixture
def told(monkeypatch):
    """What each sieving found: how many places it looks at again, and which rows are done in float32."""
    told = []
    candidates = Sieve._candidates

    def note(self, *args):
        index, clear = candidates(self, *args)
        told.append((index.numel(), (~clear).nonzero().flatten().tolist()))
        return index, clear

    monkeypatch.setattr(Sieve, "_candidates", note)
    return told


@pytest.fixture
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def full_sort(queries, items, k, excluded=()):
    """Every score in float64, and a stable sort."""
    items = items.double().view(len(items), -1, queries.size(2))
    scores = torch.einsum("bkd,njd->bknj", queries.double(), items).amax(dim=(1, 3))
    for row, taken in enumerate(excluded):
        scores[row, taken] = -math.inf
    values, ids = scores.sort(dim=1, descending=True, stable=True)
    return values[:, :k], ids[:, :k]


def csr(excluded):
    rowptr = torch.tensor([len(taken) for taken in excluded]).cumsum(0)
    return pad(rowptr, (1, 0)), torch.cat([torch.as_tensor(taken) for taken in excluded])


@settings(max_examples=100, deadline=None)
@given(
    rows=st.integers(4, 9),
    num_items=st.integers(300, 900),
    num_interests=st.integers(1, 4),
    num_vectors=st.integers(1, 2),
    dim=st.sampled_from([3, 8]),
    k=st.integers(1, 3),
    high=st.sampled_from([0, 1, 30, 1000]),  # 1000 is not exact in bfloat16, and all sums are in float32
    shift=st.sampled_from([-1, 0, 1]),
    item_block=st.sampled_from([300, 450, 16384]),
    block_size=st.sampled_from([1, 3000, 2**20]),
    share=st.sampled_from([0.0, 0.3, 1.0]),
    seed=st.integers(0, 10**6),
)
def test_equals_full_stable_sort(
    rows, num_items, num_interests, num_vectors, dim, k, high, shift, item_block, block_size, share, seed
):
    generator = torch.Generator().manual_seed(seed)
    queries = torch.randint(-high, high + 1, (rows, num_interests, dim), generator=generator).float()
    items = torch.randint(-high, high + 1, (num_items, dim * num_vectors), generator=generator).float()
    items += shift * high  # most scores are positive, or none
    queries = queries.abs() if shift else queries
    excluded = [(torch.rand(num_items, generator=generator) < share).nonzero().flatten() for _ in range(rows)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(topk, "_ITEMS", item_block)
        scores, ids = rank(queries, items, k, exclude=csr(excluded), block_size=block_size)
    values, expected = full_sort(queries, items, k, excluded)
    assert torch.equal(ids, expected.masked_fill(values == -math.inf, -1))
    assert torch.equal(scores.double(), values)


def test_real_scores(told):
    generator = torch.Generator().manual_seed(0)
    queries, items = torch.randn(200, 4, 64, generator=generator), torch.randn(3000, 64, generator=generator)
    scores, ids = rank(queries, items, 20)
    values, expected = full_sort(queries, items, 20)
    torch.testing.assert_close(scores, values.float())
    assert (ids == expected).float().mean() > 0.999  # scores that float32 cannot tell apart may change places
    assert [rows for _, rows in told] == [[]] * len(told)
    assert 200 * 20 < sum(places for places, _ in told) < 200 * 80


def test_later_blocks_look_only_for_what_is_better(monkeypatch, told):
    monkeypatch.setattr(topk, "_ITEMS", 500)
    generator = torch.Generator().manual_seed(0)
    queries = torch.rand(100, 2, 32, generator=generator)
    items = torch.rand(2000, 32, generator=generator)
    items.view(2, 2, -1)[:, 1] *= 0.3  # blocks of high scores, low ones, high ones, low ones
    torch.testing.assert_close(rank(queries, items, 5)[0], full_sort(queries, items, 5)[0].float())
    assert told[1] == told[3] == (0, [])
    assert told[2][0] > 0


def test_a_late_block_that_has_the_first_items(told):
    generator = torch.Generator().manual_seed(0)
    queries, items = torch.rand(20, 2, 8, generator=generator), torch.rand(1000, 8, generator=generator) ** 4
    late = Sieve(items, 10**9, 10, 2, 8, 2**20, Buffers())
    best, _ = late.merge(torch.full((20, 10), keys.EMPTY), queries, None)
    _, ids = keys.decode(keys.largest_sorted(best, 10))
    assert torch.equal(ids - 10**9, rank(queries, items, 10)[1])
    assert len(told) == 2
    assert all(len(rows) < 10 for _, rows in told)


def one_way(low, high):
    """Two vectors that agree but for the last number: the one that is rounded up, and the one that is rounded down."""
    return torch.tensor([high, -low]).repeat(32), torch.tensor([low, -high]).repeat(32)


def twenty_of(worse, better):
    """Both in turn, 400 times, of which every 40th time at full length."""
    items = torch.stack([worse, better]).repeat(400, 1)
    items[torch.arange(800) % 80 > 1] *= 0.5
    return items


@pytest.mark.parametrize("scale", [1, 2.0**-68])  # the squares of what rounding takes are 0 in float32
def test_rounding_of_items_that_all_goes_one_way(told, scale):
    """Of every two items the better one loses by rounding, and the other one gains."""
    step = 2.0**-8
    worse, better = one_way(1 + step * 0.999, 1 + step * 1.001)  # these become 1 and 1 + 2 * step
    items = twenty_of(pad(worse, (0, 1), value=4.0), pad(better, (0, 1), value=4 + 8 * step))
    queries = torch.ones(12, 2, 65)
    queries[:, 1] *= 0.125
    values, expected = full_sort(queries, items, 4)
    scores, ids = rank(queries / math.sqrt(scale), items * scale, 4)
    assert expected[0].tolist() == [1, 81, 161, 241]
    rough = (items.bfloat16() @ torch.ones(65).bfloat16()).float()
    assert rough[expected[0]].max() + 0.4 < rough[0]  # what is best seems not to be
    assert torch.equal(ids, expected)
    torch.testing.assert_close(scores / math.sqrt(scale), values.float())
    assert [rows for _, rows in told] == [[] if scale == 1 else list(range(12))]


def test_rounding_of_short_interests_that_all_goes_one_way(told):
    step = 2.0**-7
    query, _ = one_way(1 + step * 0.499, 1 + step * 0.501)  # rounded up where positive and where negative
    queries = torch.cat([query, torch.ones(1)]).repeat(20, 2, 1)
    queries[1::2] *= 2.0**-70
    worse, better = torch.ones(65), -torch.ones(65)
    worse[64], better[64] = 4, 4.0625
    items = twenty_of(worse, better)
    rough = (items[:2].bfloat16() @ queries[0, 0].bfloat16()).float()
    assert rough[1] + 0.4 < rough[0]  # what is best seems not to be
    scores, ids = rank(queries, items, 4)
    values, expected = full_sort(queries, items, 4)
    assert expected[:2].tolist() == [[1, 81, 161, 241]] * 2
    assert torch.equal(ids, expected)
    torch.testing.assert_close(scores.double() / values, torch.ones_like(values), rtol=1e-5, atol=0)
    assert [rows for _, rows in told] == [list(range(1, 20, 2))]


@pytest.mark.parametrize(
    "change",
    [
        lambda queries, items: (queries, -items),  # no score is positive
        lambda queries, items: (queries * 1e-12, items * 1e-12),  # much smaller products are cut off at 0
        lambda queries, items: (queries * 1e16, items * 1e16),
        lambda queries, items: (queries, items * 1e-5 + 1),  # nothing can be told apart
    ],
)
def test_float32_where_rough_scores_do_not_tell(told, change):
    generator = torch.Generator().manual_seed(0)
    queries, items = change(torch.rand(20, 2, 8, generator=generator), torch.rand(900, 8, generator=generator))
    scores, ids = rank(queries, items, 3)
    assert [rows for _, rows in told] == [list(range(20))]
    values, _ = full_sort(queries, items, 3)
    torch.testing.assert_close(scores.double() / values, torch.ones_like(values), rtol=1e-5, atol=0)
    chosen = torch.einsum("bkd,bnd->bkn", queries.double(), items[ids].double()).amax(dim=1)
    torch.testing.assert_close(chosen / values, torch.ones_like(values), rtol=1e-6, atol=0)


def test_items_may_be_a_part_of_a_tensor():
    generator = torch.Generator().manual_seed(0)
    queries, items = torch.rand(8, 2, 4, generator=generator), torch.rand(500, 20, generator=generator)[:, :8]
    scores, ids = rank(queries, items, 2)
    values, expected = full_sort(queries, items, 2)
    torch.testing.assert_close(scores, values.float())
    assert torch.equal(ids, expected)


def test_scores_that_are_not_numbers():
    queries, items = torch.ones(8, 2, 4), torch.ones(500, 4)
    items[7, 0] = math.nan
    with pytest.raises(ValueError, match="NaN"):
        rank(queries, items, 2)
    items[7, 0] = math.inf
    assert rank(queries, items, 2)[1][0].tolist() == [7, 0]


def test_odd_rows_alone_are_done_in_float32(told):
    generator = torch.Generator().manual_seed(0)
    queries, items = torch.rand(40, 2, 8, generator=generator), torch.rand(2000, 8, generator=generator) ** 4
    items[:, 0] = 1
    queries[3] = 0
    queries[5] *= -1
    queries[8] = torch.eye(8)[0]  # all items alike
    queries[13] *= 1e20
    excluded = [[row, 2 * row] for row in range(40)]
    excluded[21] = range(2000)
    scores, ids = rank(queries, items, 3, exclude=csr(excluded))
    values, expected = full_sort(queries, items, 3, excluded)
    torch.testing.assert_close(scores, values.float())
    assert torch.equal(ids, expected.masked_fill(values == -math.inf, -1))
    assert [rows for _, rows in told] == [[3, 5, 8, 13, 21]]
    queries[13] = math.nan
    with pytest.raises(ValueError, match="NaN"):
        rank(queries, items, 3)


@pytest.mark.parametrize(("negative", "times"), [(3, 20), (5, 1)])
def test_stops_where_most_rows_are_odd(monkeypatch, one_thread, told, negative, times):
    monkeypatch.setattr(topk, "_ITEMS", 1000)
    generator = torch.Generator().manual_seed(0)
    queries, items = torch.rand(40, 2, 8, generator=generator), torch.rand(4000, 8, generator=generator) ** 4
    queries[:negative] *= -1
    found = rank(queries, items, 3, block_size=12_000)[0]  # 8 rows at once
    torch.testing.assert_close(found, full_sort(queries, items, 3)[0].float())
    assert len(told) == times


def test_queries_with_gradients_in_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        queries = torch.rand(40, 2, 8, requires_grad=True)
        assert not rank(queries, torch.rand(900, 8, requires_grad=True), 3, block_size=12_000)[0].requires_grad
    finally:
        torch.set_num_threads(before)


def test_memory_where_all_items_of_one_row_are_alike(one_thread, told, make_largest):
    generator = torch.Generator().manual_seed(0)
    queries, items = torch.randn(200, 2, 64, generator=generator), torch.randn(2000, 64, generator=generator)
    items[:, 0], queries[:, :, 0], queries[9] = 10, 0, torch.eye(64)[0]
    items[:50, 1:], items[:50, 1], queries[:, 0, 1] = 0, 40, 1  # 50 candidates of each row, 50 * 64 numbers
    queries[9, 0, 1] = 0
    with make_largest() as largest:
        rank(queries, items, 1, block_size=2**18)
    assert largest.numel <= 2**18 < 200 * 2000 * 64 / 90
    assert sum(len(rows) for _, rows in told) == 1


@pytest.mark.parametrize(
    ("num_interests", "num_items", "rows", "k", "sieved"),
    [
        (2, 1000, 200, 10, True),
        (1, 2000, 400, 10, True),
        (1, 1999, 401, 10, False),
        (2, 1001, 199, 10, False),
        (2, 994, 201, 5, False),
        (2, 1000, 200, 11, False),
    ],
)
def test_sieves_where_it_pays(monkeypatch, num_interests, num_items, rows, k, sieved):
    monkeypatch.setattr(sieve, "_PRODUCTS", 400)
    monkeypatch.setattr(sieve, "_SCORES", 400 * 1000)
    monkeypatch.setattr(sieve, "_CHOICE", 200)
    made = []
    monkeypatch.setattr(topk, "Sieve", _noting(made, Sieve))
    monkeypatch.setattr(topk, "ItemBlock", _noting(made, ItemBlock))
    rank(torch.rand(rows, num_interests, 8), torch.rand(num_items, 8), k)
    assert made == [Sieve if sieved else ItemBlock]


@pytest.mark.parametrize("known", [{"amx_bf16": True}, {"amx_bf16": False}, {}, None])
def test_other_processors_do_not_sieve(monkeypatch, known):
    monkeypatch.undo()
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: known, raising=False)
    if known is None:  # an older torch
        monkeypatch.delattr(torch.cpu, "get_capabilities")
    few, many = torch.rand(100, 8), torch.rand(4000, 8)
    assert Sieve.pays(many, 1, torch.rand(400, 4, 8)) == bool(known and known.get("amx_bf16"))
    assert not Sieve.pays(few, 1, torch.rand(400, 4, 8))


def _noting(made, kind):
    class Noting(kind):
        def __init__(self, *args, **options):
            made.append(kind)
            super().__init__(*args, **options)

    return Noting
