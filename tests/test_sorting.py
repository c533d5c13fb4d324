import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from graphmi.sorting import num_distinct, rank, sort_rows

INT64 = st.integers(-(2**63), 2**63 - 1)
# Few values for ties; all there are, which do not fit into one number with their row; and the edge between the two.
KEYS = st.lists(st.integers(-3, 3)) | st.lists(INT64) | st.lists(st.sampled_from([0, 2**58, 2**59, 2**60, 2**61 - 1]))


@given(KEYS)
def test_rows_are_sorted_by_key_then_row(keys):
    ordered, rows = sort_rows(given_keys := torch.tensor(keys, dtype=torch.int64))
    expected = sorted(range(len(keys)), key=lambda row: (keys[row], row))
    assert rows.tolist() == expected
    assert ordered.tolist() == [keys[row] for row in expected]
    assert given_keys.tolist() == keys
    distinct, position = rank(given_keys)
    assert distinct.tolist() == sorted(set(keys))
    assert position.tolist() == [sorted(set(keys)).index(key) for key in keys]
    assert num_distinct(given_keys) == len(set(keys))
    assert given_keys.tolist() == keys


@pytest.mark.parametrize("size", [1, 2, 1023, 1024, 5000])
def test_more_rows_than_a_small_list(size):
    keys = torch.randint(-40, 40, (size,), generator=torch.Generator().manual_seed(size))
    assert all(torch.equal(*pair) for pair in zip(sort_rows(keys), torch.sort(keys, stable=True), strict=True))


def test_narrow_keys_have_room_for_their_rows():
    keys = torch.randint(2**31 - 1, (5000,), generator=torch.Generator().manual_seed(0))
    ordered, rows = sort_rows(keys.int())
    assert ordered.dtype == torch.int64
    assert all(torch.equal(*pair) for pair in zip((ordered, rows), torch.sort(keys, stable=True), strict=True))


@pytest.mark.gpu
def test_sorting_on_the_device():
    keys = torch.randint(9, (5000,))
    assert all(
        torch.equal(found.cpu(), wanted)
        for found, wanted in zip(sort_rows(keys.cuda()), torch.sort(keys, stable=True), strict=True)
    )
