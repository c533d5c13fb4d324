import pytest
import torch

from graphmi.comparison import mean_interval, named
from graphmi.run import RunFolder


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["a/one", "a/two"], ["one", "two"]),
        (["a/x/one", "b/x/one"], ["a/x/one", "b/x/one"]),
        (["x/one", "y/one", "y/two"], ["x/one", "y/one", "y/two"]),
        (["a/one", "a/one"], ["one", "one"]),  # twice the same
        (["a/one/.."], ["a"]),
    ],
)
def test_names_are_as_short_as_they_can_be(tmp_path, paths, names):
    assert [run.name for run in named([RunFolder(tmp_path / path) for path in paths])] == names


def test_epochs_leave_out_what_was_not_measured(tmp_path):
    folder = RunFolder(tmp_path / "run")
    assert named([folder])[0].epochs == []
    folder.write_metrics([{"epoch": 1, "loss": 2.5}, {"epoch": 2, "loss": 2.0, "ndcg@20": 0.1}])
    assert named([folder])[0].epochs == [{"epoch": 1, "loss": 2.5}, {"epoch": 2, "loss": 2.0, "ndcg@20": 0.1}]


def test_the_interval_of_a_mean_is_that_of_the_central_limit(tmp_path):
    values = torch.randn(400, generator=torch.Generator().manual_seed(0))
    folder = RunFolder(tmp_path / "run")
    folder.write_tensors("per_user", {"ndcg@20": values})
    interval = mean_interval(named([folder])[0], "ndcg@20")
    half = 1.96 * float(values.std()) / 20
    assert (interval.low, interval.high) == pytest.approx(
        (float(values.mean()) - half, float(values.mean()) + half), abs=0.15 * half
    )
