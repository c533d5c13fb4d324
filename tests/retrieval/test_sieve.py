import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from graphmi.retrieval import keys, rank, sieve, topk
from graphmi.retrieval.blocks import Buffers, ItemBlock
from graphmi.retrieval.sieve import Sieve


@pytest.fixture(autouse=True)
def amx(monkeypatch):
    """Sieve whatever the machine has, and however few rows: products of bfloat16 have the same results on all."""
    monkeypatch.setattr(sieve, "_has_amx", lambda: True)
    monkeypatch.setattr(sieve, "_PRODUCTS", 1)


@pytest.fixture
def told(monkeypatch):
    """What each sieving found: how many places it looks at again, or None where all is done in float32."""
    told = []
    candidates = Sieve._candidates

    def note(self, *args):
        index = candidates(self, *args)
        told.append(None if index is None else index.numel())
        return index

    monkeypatch.setattr(Sieve, "_candidates", note)
    return told


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
    return torch.nn.functional.pad(rowptr, (1, 0)), torch.cat([torch.as_tensor(taken) for taken in excluded])


@settings(max_examples=100, deadline=None)
@given(
    rows=st.integers(4, 9),
    num_items=st.integers(300, 900),
    num_interests=st.integers(2, 4),
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
    assert told
    assert all(told)
    assert 200 * 20 < sum(told) < 200 * 80


def test_later_blocks_look_only_for_what_is_better(monkeypatch, told):
    monkeypatch.setattr(topk, "_ITEMS", 500)
    generator = torch.Generator().manual_seed(0)
    queries = torch.rand(100, 2, 32, generator=generator)
    items = torch.rand(2000, 32, generator=generator)
    items.view(2, 2, -1)[:, 1] *= 0.3  # blocks of high scores, low ones, high ones, low ones
    torch.testing.assert_close(rank(queries, items, 5)[0], full_sort(queries, items, 5)[0].float())
    assert told[1] == told[3] == 0 < told[2]


def test_a_late_block_that_has_the_first_items(told):
    generator = torch.Generator().manual_seed(0)
    queries, items = torch.rand(20, 2, 8, generator=generator), torch.rand(1000, 8, generator=generator)
    late = Sieve(items, 10**9, 10, 2, 8, 2**20, Buffers())
    best, _ = late.merge(torch.full((20, 10), keys.EMPTY), queries, None)
    _, ids = keys.decode(keys.largest_sorted(best, 10))
    assert torch.equal(ids - 10**9, rank(queries, items, 10)[1])
    assert len(told) == 2
    assert all(told)


def test_rounding_that_all_goes_one_way(told):
    """Of every two items the better one loses by rounding, and the other one gains."""
    step = 2.0**-8
    down, up = 1 + step * 0.999, 1 + step * 1.001  # become 1 and 1 + 2 * step
    better = torch.tensor([down, -up]).repeat(32)
    worse = torch.tensor([up, -down]).repeat(32)
    items = torch.stack([worse, better]).repeat(200, 1)
    items = torch.cat([items, torch.tensor([4.0, 4 + 8 * step]).repeat(200)[:, None]], dim=1)
    items[20:] *= 0.5
    queries = torch.ones(12, 2, 65)
    queries[:, 1] *= 0.125
    values, expected = full_sort(queries, items, 4)
    scores, ids = rank(queries, items, 4)
    assert expected[0].tolist() == [1, 3, 5, 7]
    rough = (items.bfloat16() @ torch.ones(65).bfloat16()).float()
    assert rough[expected[0]].max() + 0.4 < rough[:20].max()  # what is best seems not to be
    assert torch.equal(ids, expected)
    torch.testing.assert_close(scores, values.float())
    assert told
    assert all(told)


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
    assert told == [None]
    values, _ = full_sort(queries, items, 3)
    torch.testing.assert_close(scores.double() / values, torch.ones_like(values), rtol=1e-5, atol=0)
    chosen = torch.einsum("bkd,bnd->bkn", queries.double(), items[ids].double()).amax(dim=1)
    torch.testing.assert_close(chosen / values, torch.ones_like(values), rtol=1e-6, atol=0)


def test_scores_that_are_not_numbers():
    queries, items = torch.ones(8, 2, 4), torch.ones(500, 4)
    items[7, 0] = math.nan
    with pytest.raises(ValueError, match="NaN"):
        rank(queries, items, 2)
    items[7, 0] = math.inf
    assert rank(queries, items, 2)[1][0].tolist() == [7, 0]


@pytest.mark.parametrize(
    ("num_interests", "num_items", "rows", "sieved"),
    [(2, 1000, 200, True), (1, 1000, 400, False), (2, 999, 200, False), (2, 1000, 199, False)],
)
def test_sieves_where_it_pays(monkeypatch, num_interests, num_items, rows, sieved):
    monkeypatch.setattr(sieve, "_PRODUCTS", 400)
    made = []
    monkeypatch.setattr(topk, "Sieve", _noting(made, Sieve))
    monkeypatch.setattr(topk, "ItemBlock", _noting(made, ItemBlock))
    rank(torch.rand(rows, num_interests, 8), torch.rand(num_items, 8), 10)
    assert made == [Sieve if sieved else ItemBlock]


def test_other_processors_do_not_sieve(monkeypatch):
    monkeypatch.undo()
    assert sieve._has_amx() == bool(torch.cpu.get_capabilities().get("amx_bf16"))
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict)
    assert not Sieve.pays(torch.rand(1000, 8), 1, torch.rand(400, 4, 8))


def _noting(made, kind):
    class Noting(kind):
        def __init__(self, *args, **options):
            made.append(kind)
            super().__init__(*args, **options)

    return Noting
