import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from graphmi.samplers.alias import alias_table


def shares(width):
    """Return how much of all columns belongs to each item."""
    height, other = alias_table(torch.tensor(width))
    assert ((height >= 0) & (height <= sum(width))).all()
    total = torch.zeros(len(width), dtype=torch.int64).index_add_(0, other, sum(width) - height)
    return (total + height).tolist()


@given(st.lists(st.integers(0, 50), min_size=1, max_size=30).filter(any))
def test_every_item_has_its_share_exactly(width):
    assert shares(width) == [each * len(width) for each in width]


@pytest.mark.parametrize(
    "width", [[1], [3, 3, 3], [0, 0, 7, 0], [5, 0, 0, 0, 1, 9], [2**40 - 3, 1, 1, 1], [3, 1, 2], [1] * 1000 + [10**9]]
)
def test_equal_single_and_extreme_widths(width):
    assert shares(width) == [each * len(width) for each in width]


def test_many_widths_of_a_steep_law():
    width = (1e9 / torch.arange(1, 20_001).double()).long()
    assert shares(width.tolist()) == (width * 20_000).tolist()
