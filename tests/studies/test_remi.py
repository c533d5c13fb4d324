"""What the study of REMI measures and draws, against loops."""

import math

import pytest
import torch

from graphmi.config import experiment
from graphmi.data import Histories, LeaveOneOut, planted
from graphmi.typing import Batch

TESTED = {"difference": 0.25, "interval": [0.125, 0.5]}
CELLS = {
    "a": {"compared": None, "curves": {"x": [[(1, 0.5), (2, 0.75)], [(1, 0.25)]]}},
    "b": {"compared": TESTED, "curves": {"x": [[(1, 1.0)]]}},
}


def _weight(model, dataset, user, beta):
    """Return the share of the test item among the weights of all items but the validation item, by hand."""
    items, mask = Histories(dataset.train).read(torch.tensor([user]), model.max_length)
    with torch.no_grad():
        out = model.eval()(Batch(user=torch.tensor([user]), history=items, mask=mask))
    positive, false = (int(part.item[part.user == user]) for part in (dataset.valid, dataset.test))
    scores = (out.interests[0] @ out.items.T).tolist()
    chosen = max(scores, key=lambda interest: interest[positive])
    weights = [math.exp(beta * score) for item, score in enumerate(chosen) if item != positive]
    return math.exp(beta * chosen[false]) / sum(weights) * len(weights)


def test_the_weight_of_false_negatives():
    from remi import measure

    one = experiment(
        "remi",
        "planted",
        loss__weighting__beta=2.0,
        trainer__epochs=3,
        trainer__progress=False,
        trainer__validate_every=1,
    )
    dataset = LeaveOneOut()(planted(num_users=40, num_items=80, interactions_per_user=12))
    trained = one.train(dataset)
    found, users = measure(one, dataset, trained), dataset.test.user.tolist()
    for name, beta in {"false negatives": 2.0, "in the loss": 3.0}.items():
        values = [_weight(trained.model, dataset, user, beta) for user in users]
        assert found[name] == pytest.approx(sum(values) / len(values), rel=1e-4)
    assert found["false negatives"] != pytest.approx(1, abs=1e-4)
    valid = [row["ndcg@20"] for row in trained.history.rows]
    assert found["fall"] == pytest.approx(max(valid) - valid[2])
    assert found["interactions per item"] == len(dataset.train) / dataset.num_items


class TestFigures:
    def test_gains(self):
        import matplotlib.pyplot as plt
        from figures import gains

        figure, axes = plt.subplots()
        gains("x")(axes, CELLS)
        ends = axes.collections[0].get_segments()[0][:, 0].tolist()
        labels = [label.get_text() for label in axes.get_yticklabels()]
        plt.close(figure)
        assert ends == [0.125, 0.5]
        assert labels == ["b"]

    def test_curves(self):
        import matplotlib.pyplot as plt
        from figures import curves

        figure, axes = plt.subplots()
        curves("x")(axes, CELLS)
        drawn = [line.get_xydata().tolist() for line in axes.lines]
        labels = [text.get_text() for text in axes.get_legend().get_texts()]
        plt.close(figure)
        assert drawn == [[[1, 0.5], [2, 0.75]], [[1, 0.25]], [[1, 1.0]]]
        assert labels == ["a", "b"]
