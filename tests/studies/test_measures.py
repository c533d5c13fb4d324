"""What studies measure and draw themselves."""

import math

import pytest
import torch

from graphmi.config import experiment
from graphmi.data import Histories, LeaveOneOut, planted
from graphmi.typing import Batch

CELLS = {
    "a": {"values": {"x": [1.0, 3.0], "y": [0.5, 0.5]}},
    "b": {"values": {"x": [4.0], "y": [0.25]}},
}


@pytest.fixture
def run():
    """A sequence model, trained a little on histories of different length."""
    world = planted(num_users=60, num_items=80, interactions_per_user=12)
    kept = torch.rand(len(world), generator=torch.Generator().manual_seed(0)) < 0.7
    one = experiment("comirec-sa", "planted", trainer__epochs=1, trainer__progress=False, replicates=0)
    dataset = LeaveOneOut()(world.take(kept))
    return one, dataset, one.train(dataset)


def _ndcg(model, dataset, user, length):
    """Rank with the last items of a user only, by hand."""
    known = dataset.known("test")
    items, mask = Histories(known).read(torch.tensor([user]), length)
    with torch.no_grad():
        out = model.eval()(Batch(user=torch.tensor([user]), history=items, mask=mask))
    scores = (out.interests[0] @ out.items.T).amax(0)
    scores[known.item[known.user == user]] = -math.inf
    target = int(dataset.test.item[dataset.test.user == user])
    place = int((scores > scores[target]).sum()) + 1
    return 1 / math.log2(place + 1) if place <= 20 else 0.0


class TestCold:
    def test_short_histories(self, run):
        from measures import cold

        _, dataset, trained = run
        longest = trained.model.max_length
        found = cold(dataset, trained)
        assert trained.model.max_length == longest
        for length in (1, 2, 5):
            values = [_ndcg(trained.model, dataset, user, length) for user in trained.test.users.tolist()]
            assert found[f"last {length}"] == pytest.approx(sum(values) / len(values), abs=1e-6)
        assert found["last 1"] != found["last 5"]

    def test_quarters(self, run):
        from measures import cold

        _, dataset, trained = run
        found, train = cold(dataset, trained), dataset.train
        values = dict(zip(trained.test.users.tolist(), trained.test.per_user["ndcg@20"].tolist(), strict=True))
        targets = dict(zip(dataset.test.user.tolist(), dataset.test.item.tolist(), strict=True))
        activity = {user: train.user.tolist().count(user) for user in values}
        popularity = {user: train.item.tolist().count(targets[user]) for user in values}
        for (low, high), by in {
            ("shortest quarter", "longest quarter"): activity,
            ("rare targets", "common targets"): popularity,
        }.items():
            ordered = sorted(by.values())
            edge = (len(ordered) - 1) / 4
            first = ordered[int(edge)] + (edge % 1) * (ordered[int(edge) + 1] - ordered[int(edge)])
            last = ordered[int(3 * edge)] + (3 * edge % 1) * (ordered[int(3 * edge) + 1] - ordered[int(3 * edge)])
            below = [values[user] for user in values if by[user] <= first]
            above = [values[user] for user in values if by[user] >= last]
            assert found[low] == pytest.approx(sum(below) / len(below), abs=1e-6)
            assert found[high] == pytest.approx(sum(above) / len(above), abs=1e-6)
            assert 0 < len(below) < len(values)


def test_speed_is_of_whole_steps(run):
    from measures import speed

    one, dataset, _ = run
    found = speed(one, dataset, steps=3)
    size = len(one.loader(dataset.train).users)  # all of them are one batch
    assert found["targets per second"] == pytest.approx(1000 * size / found["step ms"], rel=1e-6)


class TestFigures:
    def test_stacked(self):
        import matplotlib.pyplot as plt
        from figures import stacked

        figure, axes = plt.subplots()
        stacked(("x", "y"))(axes, CELLS)
        bars = [(bar.get_x(), bar.get_width()) for bar in axes.patches]
        plt.close(figure)
        assert bars == [(0, 2.0), (0, 4.0), (2.0, 0.5), (4.0, 0.25)]

    def test_scatter(self):
        import matplotlib.pyplot as plt
        from figures import scatter

        figure, axes = plt.subplots()
        scatter("x", "y")(axes, CELLS)
        points = [points.get_offsets().tolist() for points in axes.collections]
        plt.close(figure)
        assert points == [[[1.0, 0.5], [3.0, 0.5]], [[4.0, 0.25]]]


def test_interests_kept_are_those_of_who_is_asked_as_in_the_test():
    """By histories where the model reads them."""
    from measures import kept

    one = experiment(
        "interest-gcn-softmax", "planted:num_users=60,num_items=80", split="LeaveOneOut", model__max_length=2,
        model__dynamic_interests=True, model__num_interests=8, model__temperature=0.02, model__embedding_dim=16,
        trainer__epochs=1, trainer__progress=False, replicates=0,
    )  # fmt: skip
    dataset = one.dataset()
    trained = one.train(dataset)
    items, mask = Histories(dataset.known("test")).read(torch.arange(60), 2)
    with torch.no_grad():
        out = trained.model.eval()(Batch(torch.arange(60), history=items, mask=mask))
    expected = float(out.interest_mask.sum(1).double().mean())
    assert kept(one, dataset, trained)["kept"] == pytest.approx(expected)
    assert 1 <= expected < 8
