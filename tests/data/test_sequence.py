import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from graphmi.data import Histories, Interactions, LeaveOneOut


def interactions(rows, *, times=True):
    """Rows of (user, item, time); ids are indices, because every index up to the largest comes first as a row."""
    frame = pl.DataFrame(rows, schema=["user_id", "item_id", "time"], orient="row")
    return Interactions.from_frame(frame if times else frame.drop("time"))


def naive(data):
    """The items of each user by time, ties by row."""
    times = [0] * len(data) if data.time is None else data.time.tolist()
    rows = sorted(range(len(data)), key=lambda row: (times[row], row))
    return [[int(data.item[row]) for row in rows if data.user[row] == user] for user in range(data.num_users)]


def random_rows(seed, num_users=9, num_items=12, num_rows=80, num_times=10):
    draw = torch.Generator().manual_seed(seed)
    columns = [torch.randint(bound, (num_rows,), generator=draw) for bound in (num_users, num_items, num_times)]
    return torch.stack(columns, 1).tolist()


def lists(history, mask):
    """What is real of each row, checked to be on the left and followed by item 0."""
    for row, real in zip(history.tolist(), mask.tolist(), strict=True):
        assert real == sorted(real, reverse=True)
        assert set(row[sum(real) :]) <= {0}
    return [row[: sum(real)] for row, real in zip(history.tolist(), mask.tolist(), strict=True)]


@pytest.mark.parametrize("times", [True, False])
def test_items_lie_user_by_user_in_time_order(times):
    data = interactions(random_rows(0), times=times)
    assert (data.time is not None) == times
    histories, expected = Histories(data), naive(data)
    assert histories.item.tolist() == [item for items in expected for item in items]
    assert histories.length.tolist() == [len(items) for items in expected]
    assert [histories.rowptr[0], histories.rowptr[-1]] == [0, len(data)]


def test_ties_in_time_follow_the_row():
    data = interactions([("a", 5, 7), ("a", 1, 7), ("a", 3, 2), ("a", 4, 7)])
    history, mask = Histories(data).read(torch.tensor([0]), 10)
    assert data.items.decode(history[0]) == [3, 5, 1, 4]
    assert mask.all()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 20), st.lists(st.integers(0, 8), min_size=1, max_size=6), st.booleans())
def test_reading_equals_slices(seed, max_length, users, with_end):
    data = interactions([*((user, 0, 0) for user in range(9)), *random_rows(seed)])
    expected, draw = naive(data), torch.Generator().manual_seed(seed)
    end = [int(torch.randint(len(expected[user]) + 1, (), generator=draw)) for user in users]
    user = torch.tensor(users)
    history, mask = Histories(data).read(user, max_length, torch.tensor(end) if with_end else None)
    wanted = [expected[u][: e if with_end else None][-max_length:] for u, e in zip(users, end, strict=True)]
    assert lists(history, mask) == wanted
    assert history.shape == mask.shape == (len(users), max(1, *map(len, wanted)))
    assert history.dtype == torch.int64
    assert mask.dtype == torch.bool


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.lists(st.integers(0, 8), max_size=6), st.sampled_from([1, 80]))
def test_rows_are_all_items_of_each_user(seed, users, num_rows):
    data = interactions([*((user, 0, 0) for user in range(9)), *random_rows(seed)]).take(torch.arange(num_rows))
    rowptr, item = Histories(data).rows(torch.tensor(users, dtype=torch.int64))
    expected = naive(data)
    assert rowptr.tolist() == [sum(len(expected[user]) for user in users[:n]) for n in range(len(users) + 1)]
    assert item.tolist() == [item for user in users for item in expected[user]]
    assert (rowptr.dtype, item.dtype) == (torch.int64, torch.int64)


def test_users_without_items_are_padding_only():
    data = interactions([(0, 0, 0), (1, 2, 0), (1, 1, 1), (2, 2, 0)]).take(torch.tensor([1, 2]))
    histories = Histories(data)
    history, mask = histories.read(torch.tensor([0, 1, 2]), 4)
    assert mask.tolist() == [[False, False], [True, True], [False, False]]
    assert history.tolist() == [[0, 0], [2, 1], [0, 0]]
    history, mask = histories.read(torch.tensor([2]), 4)  # nobody of the batch has any
    assert history.tolist() == [[0]]
    assert mask.tolist() == [[False]]
    assert histories.read(torch.empty(0, dtype=torch.int64), 4)[0].shape == (0, 1)


def test_no_interactions_at_all():
    nothing = interactions([(0, 0, 0), (1, 1, 0)]).take(torch.empty(0, dtype=torch.int64))
    history, mask = Histories(nothing).read(torch.tensor([0, 1]), 3)
    assert history.tolist() == [[0], [0]]
    assert not mask.any()


def test_the_history_of_the_test_is_that_of_training_and_validation():
    dataset = LeaveOneOut()(
        interactions(sorted({(user, item): (user, item, time) for user, item, time in random_rows(1)}.values()))
    )
    train, valid = naive(dataset.train), naive(dataset.valid)
    users = dataset.test.user.unique()
    read = {part: lists(*Histories(dataset.known(part)).read(users, 99)) for part in ("valid", "test")}
    assert read["valid"] == [train[user] for user in users]
    assert read["test"] == [train[user] + valid[user] for user in users]
    assert any(valid)


def test_arguments_out_of_range():
    histories = Histories(interactions([(0, 0, 0), (0, 1, 1), (1, 1, 0)]))
    with pytest.raises(ValueError, match=r"'max_length' must be at least 1 \(got 0\)"):
        histories.read(torch.tensor([0]), 0)
    for end in (-1, 3):  # 3 would be an item of the next user
        with pytest.raises(ValueError, match="'end' must be from 0 to the number of items"):
            histories.read(torch.tensor([0]), 5, torch.tensor([end]))


def test_moving_leaves_the_original_where_it_is():
    histories = Histories(interactions(random_rows(0)))
    moved = histories.to("meta")
    assert (histories.item.device.type, moved.item.device.type, moved.rowptr.device.type) == ("cpu", "meta", "cpu")
    # The meta device cannot answer: reading asks it for nothing.
    history, mask = moved.read(torch.arange(9), 5)
    assert history.shape == mask.shape == (9, 5)
    assert history.device.type == mask.device.type == "meta"
    rowptr, item = moved.rows(torch.arange(9))
    assert (rowptr.shape, item.shape, rowptr.device, item.device) == ((10,), (80,), item.device, history.device)


@pytest.mark.gpu
def test_histories_on_the_device():
    histories = Histories(interactions(random_rows(0)))
    expected = histories.read(torch.arange(9), 5)
    for user in (torch.arange(9), torch.arange(9, device="cuda")):
        found = histories.to("cuda").read(user, 5)
        assert all(part.is_cuda for part in found)
        assert all(torch.equal(part.cpu(), other) for part, other in zip(found, expected, strict=True))
