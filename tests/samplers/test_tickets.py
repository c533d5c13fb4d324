from unittest.mock import Mock, call

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from graphmi.samplers.tickets import Tickets


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def probabilities(tickets):
    """Return what each item is drawn with, times ``num_items * 2**96``, from the tables."""
    tables = range(tickets.num_items), tickets.height.tolist(), tickets.other.tolist()
    columns = [0] * tickets.num_items
    for item, height, other in zip(*tables, strict=True):
        if height == height:  # where nothing is drawn again there are no heights
            columns[item] += int(height * 2**80)
            columns[other] += 2**80 - int(height * 2**80)
    count = torch.from_numpy(tickets.owner.astype("int64")).bincount(minlength=tickets.num_items + 1).tolist()
    pairs = zip(count[:-1], columns, strict=True)
    return [tickets.num_items * own * 2**80 + count[-1] * column for own, column in pairs]


def assert_every_item_has_its_share(width):
    tickets, total = Tickets(torch.tensor(width)), sum(width)
    assert tickets.pays
    for found, each in zip(probabilities(tickets), width, strict=True):
        share = len(width) * each * 2**96
        assert abs(found * total - share) * 2**30 <= share


@pytest.mark.parametrize(
    "width",
    [
        [0, 5],
        [3, 0, 1, 12],
        [2**39, 1, 2**20 + 1, 7],
        [1_000_000, 1_000_001, 1_000_002],  # as many whole tickets each
        (1e11 / torch.arange(1, 15_001).double()).long().tolist(),
        [2**16 - 1, 1] * 4_000,
    ],
)
def test_every_item_has_its_share(width):
    assert_every_item_has_its_share(width)


@given(st.lists(st.integers(0, 2**30), min_size=2, max_size=30).filter(lambda width: len({*width}) > 1))
def test_every_item_has_its_share_whatever_the_weights(width):
    assert_every_item_has_its_share(width)


@pytest.mark.parametrize("num_items", [2, 7, 2**15, 2**16 - 1])
def test_equal_items_are_equally_likely(num_items):
    draw, every = Tickets(torch.full((num_items,), 3)).draws(generator()), np.arange(2**16, dtype=np.uint16)
    source = Mock(bit_generator=Mock(random_raw=lambda num: every.view(np.uint64)), integers=Mock(return_value=1))
    count = np.bincount(draw.func(source, 2**16))
    left = 2**16 % num_items
    assert (np.delete(count, 1) == 2**16 // num_items).all()
    assert source.integers.call_args == call(num_items, size=left)
    assert count[1] == 2**16 // num_items + left


def test_unequal_items_share_what_no_whole_ticket_gives():
    draw, every = Tickets(torch.tensor([1, 4, 2])).draws(generator()), np.arange(2**16, dtype=np.uint16)
    source = Mock(bit_generator=Mock(random_raw=lambda num: every.view(np.uint64)))
    source.random = lambda num: (np.arange(num) + 0.5) / num  # places 0.75 and 2.25 in three columns
    assert np.bincount(draw.func(source, 2**16)).tolist() == [9362, 4 * 9362 + 1, 2 * 9362 + 1]


def test_draws_follow_the_weights_and_the_generator():
    tickets = Tickets(torch.tensor([7, 0, 1, 30_000, 70_000]))
    draw = tickets.draws(generator())
    drawn = torch.from_numpy(draw(199_999))
    assert (drawn.dtype, drawn.shape) == (torch.int64, (199_999,))
    count = drawn.bincount(minlength=5)
    assert count[1] == 0
    assert chisquare(count[3:], torch.tensor([3, 7]).double() * count[3:].sum() / 10).pvalue > 0.001
    assert 1 <= count[0] <= 40  # 14 on average, none of them by a whole ticket
    assert not (draw(5_000) == drawn[:5_000].numpy()).all()  # the next draw is another
    assert (tickets.draws(generator())(199_999) == drawn.numpy()).all()
    assert not (tickets.draws(generator(1))(199_999) == drawn.numpy()).all()
    assert len(draw(0)) == 0


@pytest.mark.parametrize(
    ("width", "pays"),
    [
        ([1], False),
        ([1] * 2**15, True),
        ([1] * 20_000, True),
        ([1] * 57_343, False),
        ([1] * 57_344, True),
        ([1] * (2**16 - 1), True),
        ([1] * 2**16, False),
        ([2, 3] * 10_000, False),
    ],
)
def test_where_many_would_draw_again_or_numbers_are_too_small_it_does_not_pay(width, pays):
    assert Tickets(torch.tensor(width)).pays == pays
