from collections import Counter

import polars as pl
import pytest
import torch

from graphmi.data import Interactions, PrefixLoader, TargetLoader

WIDTH = 1000  # item u * WIDTH + p is the item of user u at position p


def train(lengths, seed=0):
    """Users with so many items each, whose ids say whose they are and where they stand; rows in random order."""
    rows = [(user, user * WIDTH + place, place) for user, length in enumerate(lengths) for place in range(length)]
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed)).tolist()
    frame = pl.DataFrame([rows[row] for row in order], schema=["user_id", "item_id", "time"], orient="row")
    return Interactions.from_frame(frame)


def loader(make, data, seed=0, **options):
    return make(data, generator=torch.Generator().manual_seed(seed), **options)


def place(data, item):
    """The position at which an item stands in the history of its user."""
    return data.items.ids[int(item)] % WIDTH


def owner(data, item):
    return data.items.ids[int(item)] // WIDTH


def users_of(data, batch):
    return [data.users.ids[int(user)] for user in batch.user]


def targets(data, batches):
    """Every target of some batches as (user, position)."""
    return [
        (user, place(data, item))
        for batch in batches
        for user, item in zip(users_of(data, batch), batch.positive, strict=True)
    ]


def same(batches, others):
    fields = ("user", "positive", "history", "mask", "prefix")
    pairs = list(zip(batches, others, strict=False))
    return len(batches) == len(others) and all(
        torch.equal(getattr(a, name), getattr(b, name))
        for a, b in pairs
        for name in fields
        if getattr(a, name) is not None
    )


LENGTHS = [1, 2, 3, 8, 5, 21, 1, 40, 4, 2]


# One target per user.


@pytest.mark.parametrize(("min_history", "max_length"), [(1, 5), (4, 3), (2, 100)])
def test_each_user_with_enough_items_has_one_target_with_the_items_before_it(min_history, max_length):
    data = train(LENGTHS)
    batches = list(made := loader(TargetLoader, data, batch_size=3, max_length=max_length, min_history=min_history))
    enough = [user for user, length in enumerate(LENGTHS) if length > min_history]
    assert len(batches) == len(made) == -(-len(enough) // 3)
    assert sorted(user for batch in batches for user in users_of(data, batch)) == enough
    for batch in batches:
        assert batch.prefix is None
        assert batch.row is None
        for row, user in enumerate(users_of(data, batch)):
            position = place(data, batch.positive[row])
            assert position >= min_history
            read = batch.history[row][batch.mask[row]]
            assert [owner(data, item) for item in [*read, batch.positive[row]]] == [user] * (len(read) + 1)
            assert [place(data, item) for item in read] == list(range(max(0, position - max_length), position))
        assert batch.history.shape[1] == batch.mask.sum(1).max()


def test_positions_of_targets_are_uniform():
    made = loader(TargetLoader, train([8] * 500 + [3]), batch_size=1000, max_length=5, min_history=3)
    counts = torch.cat([batch.positive for _ in range(4) for batch in made]).remainder(8).bincount()
    assert counts[:3].tolist() == [0, 0, 0]
    assert ((counts[3:] - 400) ** 2 / 400).sum() < 18.5  # 4 degrees of freedom, p = .001


def test_no_user_with_enough_items():
    with pytest.raises(ValueError, match=r"no user has more than 'min_history' training items \(7\)"):
        TargetLoader(train([7, 3]), min_history=7)
    with pytest.raises(ValueError, match="no user has two training items"):
        PrefixLoader(train([1, 1]))


def test_who_does_not_train_is_told():
    data = train(LENGTHS)
    none_of_some = data.take(data.user != data.user[data.item == 0][0])  # who has no training items was not left out
    few = "the others have no more than 'min_history' training items (4)"
    for make, given, options, told in (
        (TargetLoader, data, {"min_history": 4}, f"4 of 10 users train: {few}"),
        (TargetLoader, none_of_some, {"min_history": 4}, f"4 of 9 users train: {few}"),
        (PrefixLoader, data, {}, "8 of 10 users train: the others have one training item, with no history before it"),
        (PrefixLoader, train([2, 3]), {}, ""),
        (TargetLoader, train([2, 3]), {}, ""),
    ):
        assert make(given, **options).left_out == told


# All targets.


@pytest.mark.parametrize(
    "options", [{}, {"stride": 3}, {"stride": 1}, {"bucket": 1}, {"max_length": 1}, {"max_length": 100}]
)
def test_every_item_but_the_first_is_a_target_once(options):
    data = train(LENGTHS)
    made = loader(PrefixLoader, data, **{"batch_size": 12, "max_length": 7, **options})
    expected = [(user, place) for user, length in enumerate(LENGTHS) for place in range(1, length)]
    for _ in range(3):
        batches = list(made)
        assert sorted(targets(data, batches)) == expected
        assert len(batches) == len(made)


@pytest.mark.parametrize(("max_length", "stride"), [(7, None), (7, 3), (7, 1), (1, None), (100, 9)])
def test_every_target_reads_the_items_just_before_it(max_length, stride):
    data = train(LENGTHS)
    for batch in loader(PrefixLoader, data, batch_size=12, max_length=max_length, stride=stride):
        length, asked = batch.history.size(1), Counter()
        last = Counter()
        for user, item, prefix in zip(users_of(data, batch), batch.positive, batch.prefix.tolist(), strict=True):
            row, place_in_row = divmod(prefix, length)
            read = batch.history[row, : place_in_row + 1]
            assert batch.mask[row, : place_in_row + 1].all()
            assert {owner(data, other) for other in read} == {user} == {owner(data, item)}
            position = place(data, item)
            assert [place(data, other) for other in read] == list(range(position - place_in_row - 1, position))
            asked[row] += 1
            last[row] = max(last[row], position)
        # Each row is asked for at most a stride of targets, and reads all that fits before its last one.
        assert sorted(asked) == list(range(len(batch.history)))
        assert max(asked.values()) <= min(stride or max_length, max_length)
        assert batch.mask.sum(1).tolist() == [min(last[row], max_length) for row in range(len(batch.history))]
        assert length == batch.mask.sum(1).max()


def test_padding_follows_the_real_items_and_holds_item_0():
    batches = list(loader(PrefixLoader, train(LENGTHS), batch_size=100, max_length=50))
    assert any(not batch.mask.all() for batch in batches)
    for batch in batches:
        assert torch.equal(batch.mask, batch.mask.sort(dim=1, descending=True, stable=True).values)
        assert not batch.history[~batch.mask].any()


def test_windows_are_cut_at_random_places():
    # Position 12 of 30 is never in the last window, so its place in its window of 5 is uniform.
    made = loader(PrefixLoader, train([31] * 250), batch_size=1000, max_length=5)
    places = torch.cat([batch.prefix[batch.positive % 31 == 12] for _ in range(8) for batch in made]) % 5
    assert len(places) == 2000
    assert ((places.bincount(minlength=5) - 400) ** 2 / 400).sum() < 18.5  # 4 degrees of freedom, p = .001


def test_short_users_are_not_cut():
    for batch in loader(PrefixLoader, train([6] * 20), batch_size=20, max_length=5):
        assert batch.history.shape == (4, 5)
        assert len(batch.positive) == 20


def test_few_windows_of_active_users():
    lengths = [2, 6, 41, 200]
    data = train(lengths)
    made = loader(PrefixLoader, data, batch_size=1000, max_length=5, windows_per_user=2)
    seen = []
    for _ in range(20):
        (batch,) = made
        windows = {
            (user, prefix // 5) for user, prefix in zip(users_of(data, batch), batch.prefix.tolist(), strict=True)
        }
        assert Counter(user for user, _ in windows) == {0: 1, 1: 1, 2: 2, 3: 2}
        seen.append(sorted(targets(data, [batch])))
        assert len(set(seen[-1])) == len(seen[-1]) <= 26
    assert len({tuple(targets) for targets in seen}) > 15


def test_a_window_shorter_than_the_longest_is_a_batch_of_its_own():
    made = loader(PrefixLoader, train([10]), max_length=6, windows_per_user=1)
    sizes = {len(batch.positive) for _ in range(20) for batch in made}
    assert min(sizes) < max(sizes) == 6


def test_with_few_windows_all_targets_of_a_user_are_as_likely():
    made = loader(PrefixLoader, train([41] * 300), batch_size=1000, max_length=10, windows_per_user=1)
    counts = torch.cat([batch.positive for _ in range(10) for batch in made]).remainder(41).bincount()
    # A first window of 10 leaves 4 windows, any other 5: 3000 * (1/10 * 1/4 + 9/10 * 1/5) = 615 of each.
    assert counts[0] == 0
    assert len(counts) == 41
    assert (counts[1:] - 615).abs().max() < 5 * 615**0.5


@pytest.mark.parametrize("options", [{}, {"bucket": 1}, {"stride": 4}, {"windows_per_user": 1}])
def test_batches_have_about_as_many_targets(options):
    lengths = (torch.randint(2, 60, (300,), generator=torch.Generator().manual_seed(1))).tolist()
    made = loader(PrefixLoader, train(lengths), batch_size=200, max_length=10, **options)
    batches = list(made)
    sizes = [len(batch.positive) for batch in batches]
    mean = sum(sizes) / len(sizes)
    assert 180 < mean <= 200
    assert max(abs(size - mean) for size in sizes) <= 2 * 10  # a window more or less at both ends
    assert abs(len(made) - len(batches)) <= (1 if "windows_per_user" in options else 0)


@pytest.mark.parametrize("max_length", [8, 20])
def test_a_batch_smaller_than_a_window_is_one_window(max_length):
    made = loader(PrefixLoader, train([9] * 4), batch_size=1, max_length=max_length)
    assert [len(batch.positive) for batch in made] == [8] * 4
    assert len(made) == 4


def test_windows_of_similar_length_lie_together():
    # Half of the users have two to four items, some have many, as in shop data.
    draw = torch.Generator().manual_seed(0)
    lengths = (2 + torch.empty(4000).exponential_(1 / 6, generator=draw)).long().clamp(max=WIDTH).tolist()
    data = train(lengths)

    def share(**options):
        masks = [batch.mask for batch in loader(PrefixLoader, data, batch_size=512, max_length=50, **options)]
        return sum(mask.sum().item() for mask in masks) / sum(mask.numel() for mask in masks)

    assert share() > 0.9
    assert share(bucket=1) < 0.4
    # Still, the batches come in random order, and not by length.
    one_bucket = loader(PrefixLoader, data, batch_size=512, max_length=50, bucket=1000)
    widths = [batch.history.size(1) for batch in one_bucket]
    assert widths not in (sorted(widths), sorted(widths, reverse=True))


@pytest.mark.parametrize("bucket", [1, 1000])
def test_others_are_in_a_batch_in_every_epoch(bucket):
    made = loader(PrefixLoader, train([3] * 60), batch_size=10, max_length=5, bucket=bucket)
    first, second = ({frozenset(batch.user.tolist()) for batch in made} for _ in range(2))
    assert {len(users) for users in first} == {5}
    assert not first & second


def test_no_long_window_of_one_bucket_is_in_a_batch_of_the_next():
    data = train([3] * 600 + [61] * 60)
    for seed in range(3):
        for batch in loader(PrefixLoader, data, seed, batch_size=100, max_length=20, bucket=4):
            lengths = batch.mask.sum(1)  # ascending in a bucket; a row from the bucket before would come first
            assert torch.equal(lengths, lengths.sort().values)


# Both.


@pytest.fixture(params=[TargetLoader, PrefixLoader])
def make(request):
    return request.param


def test_the_generator_decides_all(make):
    data = train(LENGTHS)
    options = {"batch_size": 4, "max_length": 5, **({"windows_per_user": 2} if make is PrefixLoader else {})}
    made = loader(make, data, seed=3, **options)
    before = torch.random.get_rng_state()
    first, state = list(made), made.generator.get_state()
    second = list(made)
    assert torch.equal(before, torch.random.get_rng_state())
    assert not same(first, second)
    assert same(first, list(loader(make, data, seed=3, **options)))
    resumed = loader(make, data, seed=4, **options)
    resumed.generator.set_state(state)
    assert len(resumed)  # asking for the length draws nothing
    assert same(second, list(resumed))


def test_the_order_of_the_rows_of_the_file_does_not_matter(make):
    assert same(*(list(loader(make, train(LENGTHS, seed), batch_size=4, max_length=5)) for seed in (0, 1)))


def test_the_length_of_the_model_has_to_be_set(make):
    made = loader(make, train(LENGTHS), batch_size=4)
    assert made.max_length is None
    with pytest.raises(ValueError, match="the loader needs a 'max_length'"):
        next(iter(made))
    made.max_length = 6
    assert same(list(made), list(loader(make, train(LENGTHS), batch_size=4, max_length=6)))


def test_nothing_waits_for_the_device(make):
    # A tensor of the meta device has a shape and no values: who asks for one gets an error.
    data = train(LENGTHS)
    there, here = (list(loader(make, data, batch_size=4, max_length=5, device=device)) for device in ("meta", "cpu"))
    for one, other in zip(there, here, strict=True):
        for name in ("user", "positive", "history", "mask"):
            assert getattr(one, name).device.type == "meta"
            assert getattr(one, name).shape == getattr(other, name).shape


@pytest.mark.parametrize(
    ("make", "name"),
    [
        *((TargetLoader, name) for name in ("batch_size", "max_length", "min_history")),
        *((PrefixLoader, name) for name in ("batch_size", "max_length", "stride", "windows_per_user", "bucket")),
    ],
)
def test_arguments_below_one(make, name):
    with pytest.raises(ValueError, match=rf"'{name}' must be at least 1 \(got 0\)"):
        make(train(LENGTHS), **{name: 0})


@pytest.mark.gpu
def test_batches_on_the_device(make):
    data = train(LENGTHS)
    there, here = (list(loader(make, data, batch_size=4, max_length=5, device=device)) for device in ("cuda", "cpu"))
    assert all(batch.user.is_cuda and batch.history.is_cuda and batch.mask.is_cuda for batch in there)
    for one, other in zip(there, here, strict=True):
        for name in ("user", "positive", "history", "mask"):
            assert torch.equal(getattr(one, name).cpu(), getattr(other, name))
