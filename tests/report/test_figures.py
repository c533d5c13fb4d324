import pytest

from graphmi.report import metric_by_group, save_figures, training_curves, utility_against_spread
from graphmi.run import RunFolder

MEANS = {"one": [0.30, 0.26, 0.22], "four": [0.31, None, 0.25]}


@pytest.fixture
def runs(tmp_path):
    folders = []
    for name, mean in MEANS.items():
        group = {"mean": mean, "count": [5, 5, 5], "std": 0.02, "gap": 0.08, "cv": 0.1, "intervals": {"0": [0.2, 0.4]}}
        folder = RunFolder(tmp_path / name)
        folder.write_result(
            {
                "metrics": {"ndcg@20": 0.27},
                "groups": {f"{kind}/ndcg@20": group for kind in ("diversity", "diversity-controlled")},
            }
        )
        folders.append(folder)
    # "four" was not trained: it has no metrics.csv
    folders[0].write_metrics([{"epoch": 1, "loss": 2.0, "ndcg@20": 0.1}, {"epoch": 2, "loss": 1.5}])
    return folders


def test_curves_show_the_epochs_that_have_a_value(runs):
    loss, metric = training_curves(runs).axes
    (line,) = loss.lines
    assert line.get_xydata().tolist() == [[1, 2.0], [2, 1.5]]
    (line,) = metric.lines
    assert line.get_xydata().tolist() == [[1, 0.1]]
    assert [text.get_text() for text in metric.get_legend().get_texts()] == ["one"]


def test_groups_show_means_and_intervals(runs):
    plain, controlled = metric_by_group(runs).axes
    assert (plain.get_title(), controlled.get_title()) == ("diversity", "diversity, controlled")
    for (points, _, (bars,)), (name, mean) in zip(plain.containers, MEANS.items(), strict=True):
        assert points.get_ydata().tolist() == [value for value in mean if value is not None], name
        assert bars.get_segments()[0][:, 1].tolist() == pytest.approx([0.2, 0.4])
    assert "one (std 0.0200)" in [text.get_text() for text in plain.get_legend().get_texts()]


def test_spread_shows_every_run(runs):
    (axes,) = utility_against_spread(runs).axes
    assert [c.get_offsets().tolist() for c in axes.collections] == [[[0.02, 0.27]]] * 2
    assert [text.get_text() for text in axes.texts] == ["one", "four"]


def test_pictures_are_written(runs, tmp_path):
    paths = save_figures(runs, tmp_path / "figures")
    assert len(paths) == 3
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths)
