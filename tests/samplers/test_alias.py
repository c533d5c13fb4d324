import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from graphmi.samplers import alias
from graphmi.samplers.alias import alias_table, at_places


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


@pytest.mark.parametrize("here", [True, False])  # on the CPU, and as a device does it
def test_places_fall_on_items_by_their_share(monkeypatch, here):
    monkeypatch.setattr(alias, "on_cpu", lambda tensor: here)
    width = torch.tensor([3, 0, 1, 12])
    height, other = alias_table(width)
    place = (torch.arange(64) / 16).double().view(8, 8)  # the foot of each sixteenth of each column
    item = at_places(place.clone(), height / 16, other)
    assert item.shape == place.shape
    assert item.flatten().bincount(minlength=4).tolist() == (4 * width).tolist()
    assert at_places(place[5].clone(), height / 16, other).equal(item[5])
