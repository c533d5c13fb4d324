import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from graphmi.data import DataError, Vocabulary
from graphmi.data import vocabulary as vocabulary_module

INT64 = st.integers(-(2**63), 2**63 - 1)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)


@given(st.lists(INT64, min_size=1) | st.lists(TEXT, min_size=1))
def test_round_trip_and_order(values):
    vocabulary = Vocabulary.of(values)
    index = vocabulary.encode(values)
    assert vocabulary.decode(index) == values
    key = (lambda value: value.encode()) if isinstance(values[0], str) else None  # strings by their bytes
    assert vocabulary.ids.to_list() == sorted(set(values), key=key)
    assert index.dtype == torch.int64
    at_once, same = Vocabulary.index(values)
    assert at_once == vocabulary
    assert torch.equal(same, index)
    assert index.tolist() == [vocabulary.ids.to_list().index(value) for value in values]


@pytest.mark.parametrize("few", [0, 10**9], ids=["bisection", "join"])
@given(
    ids=st.sets(INT64 | st.integers(-9, 9), min_size=1) | st.sets(TEXT | st.integers(-9, 9).map(str), min_size=1),
    values=st.lists(INT64 | st.integers(-9, 9))
    | st.lists(TEXT | st.sampled_from(["007", " 7", "+7", "7", "7.0", "-0"])),
)
def test_values_of_any_kind_are_found_where_they_are(few, ids, values):
    vocabulary = Vocabulary.of(ids)
    place = {id_: index for index, id_ in enumerate(vocabulary.ids)}
    values = [*list(ids)[::3], *values] if type(next(iter(ids))) is type((values or [None])[0]) else values
    numbers = pl.Series(values).cast(vocabulary.ids.dtype, strict=False)  # what cannot be an id is none
    expected = [place.get(value) for value in numbers]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vocabulary_module, "_FEW", few)
        assert vocabulary.contains(values).tolist() == [index is not None for index in expected]
        found = [value for value, index in zip(values, expected, strict=True) if index is not None]
        assert vocabulary.encode(found).tolist() == [index for index in expected if index is not None]


def test_few_values_do_not_cost_what_all_ids_do(monkeypatch):
    monkeypatch.delattr(pl.DataFrame, "join")
    assert (
        Vocabulary.of(list(range(0, 200, 2))).contains([0, 7, 198, 199, -1]).tolist()
        == [True, False, True] + [False] * 2
    )


def test_lists_are_encoded_each_for_itself():
    vocabulary = Vocabulary.of([10, 20, 30])
    lists = [[20, 10], [], ["30"], pl.Series([10], dtype=pl.UInt8), pd.Series([30, 30])]
    assert [index.tolist() for index in vocabulary.encode_each(lists)] == [[1, 0], [], [2], [0], [2, 2]]
    assert vocabulary.encode_each([]) == []
    with pytest.raises(DataError, match=r"1 of 2 ids are not in the vocabulary: 'x'"):
        vocabulary.encode_each([[20], (each for each in ("10", "x")), [7]])


def test_large_integers_stay_exact():
    # neighbours that float32 and float64 cannot tell apart
    ids = [2**24, 2**24 + 1, 2**53, 2**53 + 1, 2**62, 2**62 + 1]
    assert Vocabulary.of(ids).encode(ids).tolist() == [0, 1, 2, 3, 4, 5]


def test_the_order_of_values_and_chunks_does_not_matter():
    chunked = pl.concat([pl.Series(["c", "a"]), pl.Series(["b", "a"])], rechunk=False)
    assert Vocabulary.of(chunked) == Vocabulary.of(["a", "b", "c"])
    assert Vocabulary.of(["a"]) != Vocabulary.of(["b"])
    assert Vocabulary.of([1]) != Vocabulary.of(["1"])


@given(st.lists(TEXT, min_size=1), st.lists(TEXT, min_size=1))
def test_categories_are_the_texts_that_they_stand_for(others, values):
    # The codes of polars' categories are shared by all columns, so those of a column have gaps.
    _alive = pl.Series(others, dtype=pl.Categorical)
    categories = pl.Series(values, dtype=pl.Categorical)
    vocabulary, index = Vocabulary.index(categories)
    assert vocabulary == Vocabulary.of(values) == Vocabulary.of(categories)
    assert vocabulary.decode(index) == values
    assert torch.equal(vocabulary.encode(categories), index)


def test_nothing_to_index():
    for dtype in (pl.Int64, pl.String, pl.Categorical):
        vocabulary, index = Vocabulary.index(pl.Series([], dtype=dtype))
        assert (len(vocabulary), index.shape, index.dtype) == (0, (0,), torch.int64)


def test_unknown_ids_are_named():
    vocabulary = Vocabulary.of([10, 20])
    with pytest.raises(DataError, match=r"2 of 3 ids are not in the vocabulary: 7, 8"):
        vocabulary.encode([10, 7, 8])
    assert vocabulary.contains([10, 7, 20]).tolist() == [True, False, True]


@pytest.mark.parametrize("kind", ["str", "string", "category", object])
def test_text_of_pandas_is_text(kind):
    series = pd.Series(["b", "a", "b"]).astype(kind)
    vocabulary = Vocabulary.of(series)
    assert vocabulary == Vocabulary.of(["a", "b"])
    for values in (series, pd.Index(series), series.array):
        assert vocabulary.encode(values).tolist() == [1, 0, 1]
    assert vocabulary.encode(series.unique()).tolist() == [1, 0]


def test_sets_and_generators_are_lists():
    vocabulary = Vocabulary.of({"b", "a"})
    assert vocabulary.ids.to_list() == ["a", "b"]
    assert sorted(vocabulary.encode(frozenset("ab")).tolist()) == [0, 1]
    with pytest.raises(DataError, match="1 of 2 ids are not in the vocabulary: 'c'"):
        vocabulary.encode(each for each in "ac")


def test_text_finds_integer_ids_and_back():
    assert Vocabulary.of([10, 20]).encode(["20"]).tolist() == [1]
    assert Vocabulary.of(["10", "9"]).encode([9]).tolist() == [1]
    assert not Vocabulary.of([1]).contains(["one"]).any()


@pytest.mark.parametrize("dtype", [pl.Int8, pl.UInt32, pl.UInt64])
def test_any_integer_width_becomes_int64(dtype):
    assert Vocabulary.of(pl.Series([2, 1], dtype=dtype)).ids.dtype == pl.Int64


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1.5, 2.0], "floating-point ids such as 1.5"),
        ([2**63], "beyond 64-bit integers, 9223372036854775808"),
        ([2**80], "beyond 64-bit integers, 1208925819614629174706176"),
        (["a", None], "got none in row 2"),
        ([1, "a"], "mix types"),
        ([True], "must be strings or integers"),
        ("u7", r"the ids must be a list, such as \['u7'\] \(got 'u7'\)"),
        (b"u7", "must be a list"),
        (7, r"must be a list, such as \[7\]"),
        (None, "must be a list"),
        ({"a": 1}, "must be a list"),
        (pd.Series(["a", None]), "got none in row 2"),
        (pd.Series(["a", 1]), "mix types"),
    ],
)
def test_ids_that_cannot_be_used(values, message):
    with pytest.raises(DataError, match=message):
        Vocabulary.of(values)


@pytest.mark.parametrize("ids", [[2, 1], [1, 1], [1, None]])
def test_ids_of_a_vocabulary_are_distinct_and_ordered(ids):
    with pytest.raises(DataError, match="distinct and in increasing order"):
        Vocabulary(pl.Series(ids, dtype=pl.Int64))


def test_decode_rejects_indices_outside():
    with pytest.raises(DataError, match=r"must be in \[0, 2\)"):
        Vocabulary.of(["a", "b"]).decode(torch.tensor([-1]))


@pytest.mark.parametrize("empty", [[], (), set(), np.array([]), torch.tensor([]), pd.Series([], dtype=float)])
def test_empty_lists_of_any_kind_are_no_ids(empty):
    assert Vocabulary.of(["a", "b"]).encode(empty).tolist() == []
    assert Vocabulary.of([1, 2]).encode(empty).tolist() == []
