"""The planted world is what its arguments say."""

import pytest
import torch

from graphmi.data.planted import planted, planted_world


def test_sizes_and_distinct_items():
    data, interests = planted_world(num_users=300, num_items=101, num_clusters=4, interests_per_user=2, seed=1)
    assert (data.num_users, data.num_items, len(data)) == (300, 101, 6000)
    assert torch.equal(data.user.bincount(), torch.full((300,), 20))
    assert len(set(zip(data.user.tolist(), data.item.tolist(), strict=True))) == 6000
    assert interests.shape == (300, 2)
    assert (interests[:, 0] < interests[:, 1]).all()


def test_clusters_are_even_and_one_per_item():
    categories = planted(num_items=101, num_clusters=4).categories
    matrix = categories.matrix(101)
    assert torch.equal(matrix.sum(1), torch.ones(101))
    assert sorted(matrix.sum(0).tolist()) == [25, 25, 25, 26]
    assert categories.names == ("cluster 0", "cluster 1", "cluster 2", "cluster 3")
    assert (categories.category[:20] != torch.arange(20) % 4).any()


def test_without_noise_all_items_are_of_the_interests():
    data, interests = planted_world(noise=0.0, interests_per_user=3, seed=2)
    cluster = data.categories.category[data.item]
    assert (interests[data.user] == cluster[:, None]).any(dim=1).all()
    users = [set(cluster[data.user == user].tolist()) for user in range(20)]
    assert users == [set(row) for row in interests[:20].tolist()]


def test_noise_is_the_share_of_interactions_elsewhere():
    data, interests = planted_world(num_users=5000, noise=0.4, seed=3)
    inside = (interests[data.user] == data.categories.category[data.item][:, None]).any(dim=1)
    # An item from anywhere is of the two interests with probability 2/8.
    assert abs((~inside).float().mean() - 0.4 * 6 / 8) < 0.02


def test_interests_and_items_are_evenly_used():
    data, interests = planted_world(num_users=8000, seed=4)
    counts = interests.flatten().bincount().double()
    assert (counts / counts.mean() - 1).abs().max() < 0.1
    degree = data.item.bincount(minlength=500).double()
    assert 0.8 < degree.min() / degree.mean() <= degree.max() / degree.mean() < 1.2


def test_times_rise_with_the_row_of_a_user():
    data = planted()
    same_user = data.user[1:] == data.user[:-1]
    assert (data.time[1:] >= data.time[:-1])[same_user].all()


def test_the_seed_is_the_world():
    assert planted(seed=5).fingerprint() == planted(seed=5).fingerprint()
    assert planted(seed=5).fingerprint() != planted(seed=6).fingerprint()
    state = torch.get_rng_state()
    planted()
    assert torch.equal(state, torch.get_rng_state())


def test_users_who_know_their_whole_clusters():
    data, _ = planted_world(num_users=200, num_items=40, num_clusters=4, interactions_per_user=20, noise=0.0)
    degree = data.user.bincount()
    assert degree.max() <= 20
    assert (degree == 20).float().mean() > 0.9
    assert len(data.pairs().unique()) == len(data)


def test_a_large_world_has_its_size():
    assert len(planted(num_users=100_000, num_items=20_000, num_clusters=50)) == 2_000_000


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_users": 0}, "'num_users' must be at least 1 .got 0"),
        ({"num_users": 2**63}, r"'num_users' must be below 2\*\*63 .got 9223372036854775808"),
        ({"seed": 2**63}, r"'seed' must be below 2\*\*63"),
        ({"num_clusters": 0}, "'num_clusters' must be at least 1"),
        ({"num_items": 5}, "'num_items' must be at least 8 .got 5"),
        ({"interests_per_user": 9}, "'interests_per_user' must be from 1 to 8 .got 9"),
        ({"interactions_per_user": 200}, "'interactions_per_user' must be from 1 to 124 .got 200"),
        ({"noise": 1.5}, "'noise' must be from 0 to 1 .got 1.5"),
    ],
)
def test_arguments_outside_their_range(arguments, message):
    with pytest.raises(ValueError, match=message):
        planted(**arguments)
