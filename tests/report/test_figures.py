import math
import re
from itertools import pairwise

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from graphmi.comparison import Model, models_of, named
from graphmi.report import (
    figures,
    interest_heat_map,
    interests_against_diversity,
    metric_by_group,
    routing_collapse,
    save_figures,
    training_curves,
    utility_against_spread,
)
from graphmi.report.groups import group_panels, spread_panels
from graphmi.report.interests import diversity_panels, heat_map_panels
from graphmi.report.panel import COLORS, MARKERS, Panel, color, dashes, draw, marker
from graphmi.report.svg import SHAPES, _shorter, _style, mark, to_svg
from graphmi.report.training import collapse_panels, training_panels
from graphmi.run import RunFolder

MEANS = {"one": [0.30, 0.26, 0.22], "four": [0.31, None, 0.25]}


@pytest.fixture
def runs(tmp_path):
    folders = []
    for name, mean in MEANS.items():
        group = {"mean": mean, "count": [5, 5, 5], "std": 0.02, "gap": 0.08, "cv": 0.1}
        group["intervals"] = {"0": [0.2, 0.4], "2": [0.26, 0.4], "std": [0.01, 0.04]}
        folder = RunFolder(tmp_path / name)
        folder.write_result(
            {
                "metrics": {"ndcg@20": 0.27},
                "groups": {f"{kind}/ndcg@20": group for kind in ("diversity", "diversity-controlled")},
            }
        )
        folder.write_tensors("per_user", {"ndcg@20": torch.tensor([0.17, 0.37])})
        folders.append(folder)
    # "four" was not trained: it has no metrics.csv
    folders[0].write_metrics([{"epoch": 1, "loss": 2.0, "ndcg@20": 0.1}, {"epoch": 2, "loss": 1.5}])
    return folders


def legend(figure):
    return [text.get_text() for one in figure.legends for text in one.get_texts()]


def test_curves_show_the_epochs_that_have_a_value(runs):
    figure = training_curves(runs)
    loss, metric = figure.axes
    (line,) = loss.lines
    assert line.get_xydata().tolist() == [[1, 2.0], [2, 1.5]]
    (line,) = metric.lines
    assert line.get_xydata().tolist() == [[1, 0.1]]
    assert all(tick.is_integer() for tick in loss.get_xticks())
    assert legend(figure) == ["one"]
    assert figure.get_size_inches().tolist() == [9.6, 3.6]
    assert (line.get_marker(), loss.lines[0].get_marker()) == (".", "")  # one point is no line
    panels = training_panels(models_of(named(runs)), "ndcg@20")
    assert panels[0].description == "Training loss over the epochs: one from 2 to 1.5."
    assert [panel.rows for panel in panels] == [(("1", 2.0), ("2", 1.5)), (("1", 0.1),)]
    assert [axes.get_title() for axes in draw(panels, titles=False).axes] == ["", ""]


def test_runs_of_other_epochs_have_gaps_in_the_table(runs):
    runs[1].write_metrics([{"epoch": 1, "loss": 0.5}, {"epoch": 64, "loss": 0.25}])
    panel, _ = training_panels(models_of(named(runs)), "ndcg@20")
    assert panel.header == ("epoch", "one", "four")
    assert panel.rows == (("1", 2.0, 0.5), ("2", 1.5, None), ("64", None, 0.25))


def test_groups_show_means_and_intervals(runs):
    figure = metric_by_group(runs)
    plain, controlled = figure.axes
    assert (plain.get_title(), controlled.get_title()) == (
        "By diversity of taste",
        "By diversity of taste, at equal activity",
    )
    for (points, _, (bars,)), (name, mean) in zip(plain.containers, MEANS.items(), strict=True):
        assert points.get_ydata().tolist() == [value for value in mean if value is not None], name
        first, *_, last = (segment[:, 1].tolist() for segment in bars.get_segments())
        assert (first, last) == (pytest.approx([0.2, 0.4]), pytest.approx([mean[2], 0.4]))  # the last misses its mean
    side_by_side = [points.get_xdata().tolist() for points, *_ in plain.containers]
    assert plain.get_xticks().tolist() == [1, 2, 3]
    assert side_by_side == [pytest.approx([0.94, 1.94, 2.94]), pytest.approx([1.06, 3.06])]
    assert legend(figure) == ["one", "four"]


def test_groups_without_users_are_said_to_have_none(runs):
    result = runs[0].read_result()
    result["groups"]["diversity/ndcg@20"]["mean"] = [None] * 3
    runs[0].write_result(result)
    plain, _ = group_panels(models_of(named(runs)), "ndcg@20")
    assert plain.description.endswith(": one has no group with users; four from 0.3100 to 0.2500.")
    assert [row[3:] for row in plain.rows[:3]] == [(None, None, None)] * 3


def test_a_model_has_groups_where_all_its_seeds_have_them(runs):
    both = Model("both", named(runs))
    assert len(group_panels([both], "ndcg@20")) == len(spread_panels([both], "ndcg@20")) == 2
    runs[1].write_result({"metrics": {}, "groups": {}})
    assert group_panels([Model("both", named(runs))], "ndcg@20") == []


def test_spread_shows_every_run_with_the_interval_of_its_mean(runs):
    controlled, plain = utility_against_spread(runs).axes
    assert controlled.get_title() == f"{plain.get_title()}, at equal activity"
    for axes in (controlled, plain):
        assert [line.get_xydata().tolist() for line in axes.lines] == [[[0.02, 0.27]]] * 2
        ends = np.concatenate([segment for bar in axes.collections for segment in bar.get_segments()])
        assert (ends[:, 1].min(), ends[:, 1].max()) == (pytest.approx(0.17), pytest.approx(0.37))
        assert (ends[:, 0].min(), ends[:, 0].max()) == (0.01, 0.04)
    for panel in spread_panels(models_of(named(runs)), "ndcg@20"):
        assert [row[:2] + row[4:] for row in panel.rows] == [(name, 0.27, 0.02, 0.01, 0.04) for name in MEANS]
        assert all(row[2] < 0.27 < row[3] for row in panel.rows)
        assert panel.description.endswith(": one 0.2700 at 0.0200; four 0.2700 at 0.0200.")


def test_heat_map_shows_the_share_of_each_rank(runs):
    share = [[0.7, 0.3], [0.6, 0.4], [1.0, 0.0], [0.0, 0.0]]  # no list has four items
    for run, shares in zip(runs, ([[1.0]] * 3, share), strict=True):  # the first has one interest
        run.write_result({**run.read_result(), "interest_share": shares})
    (axes,) = interest_heat_map(runs).axes
    assert axes.get_title() == "four"
    said = {tuple(text.get_position()): text.get_text() for text in axes.texts}
    assert said[(0.5, 0.5)] == "70"
    assert said[(1.5, 2.5)] == "0"
    assert len(said) == 8
    assert axes.yaxis_inverted()
    assert not any(line.get_visible() for line in axes.get_xgridlines())
    dark = axes.collections[0].get_array()[..., 3]
    assert dark[2, 0] > dark[0, 0] > dark[1, 0] > dark[1, 1] > dark[0, 1] > dark[2, 1] == dark[3, 0] > 0
    ticks = [[label.get_text() for label in labels] for labels in (axes.get_xticklabels(), axes.get_yticklabels())]
    assert ticks == [["1", "2"], ["1", "2", "3", "4"]]
    (panel,) = heat_map_panels(models_of(named(runs)))
    assert panel.header == ("rank", "interest 1", "interest 2")
    assert panel.rows == tuple((str(rank), *row) for rank, row in enumerate(share, start=1))
    assert "the busiest interest gives 77 %, an even share would be 50 %." in panel.description
    runs[1].write_result({**runs[1].read_result(), "interest_share": [[0.0, 0.0]]})  # no list has an item
    (panel,) = heat_map_panels(models_of(named(runs)))
    assert "the busiest interest gives 0 %" in panel.description


def test_interests_against_diversity_are_means_of_equal_parts(runs):
    # 400 users in 20 parts of 20, one without a diversity, and one without a list
    broad = torch.arange(400.0).flip(0)
    diversity, effective = (
        torch.cat([values, torch.tensor(more)])
        for values, more in ((broad, [math.nan, 7.0]), (1 + broad / 200, [9.0, math.nan]))
    )
    for run, values in zip(runs, (effective, torch.ones(402)), strict=True):  # the same for all has no correlation
        run.write_tensors("per_user", {"diversity": diversity, "interests/effective@10": values})
    (axes,) = interests_against_diversity(runs).axes
    ((points, *_),) = axes.containers
    assert points.get_xdata().tolist() == pytest.approx([20 * part + 9.5 for part in range(20)])
    assert points.get_ydata().tolist() == pytest.approx([1 + (20 * part + 9.5) / 200 for part in range(20)])
    (panel,) = diversity_panels(models_of(named(runs)))
    assert {row[0] for row in panel.rows} == {"one"}
    half = 1.96 * (20 * 21 / 12) ** 0.5 / 200 / 20**0.5  # numbers that follow each other have this variance
    assert [row[3] for row in panel.rows] == pytest.approx([half] * 20)


def test_interests_in_lists_of_different_lengths_have_panels_of_their_own(runs):
    for run, k, users in zip(runs, (5, 10), (40.0, 15.0), strict=True):
        numbers = torch.arange(users)
        tensors = {"diversity": numbers, f"interests/effective@{k}": numbers, "activity": 1 + numbers % 2}
        run.write_tensors("per_user", tensors)
    figure = interests_against_diversity(runs)
    assert [axes.get_title() for axes in figure.axes] == [
        f"By diversity of taste{at}, top {k}" for k in (5, 10) for at in ("", ", at equal activity")
    ]
    assert [len(axes.containers) for axes in figure.axes] == [1] * 4
    parts = [len(axes.containers[0][0].get_xdata()) for axes in figure.axes]
    assert parts == [2, 2, 1, 1]  # of 20 users at least, or of all


@pytest.mark.parametrize(("users", "parts"), [(39, 1), (40, 2), (419, 20), (1000, 20)])
def test_users_are_at_most_twenty_parts_of_twenty_at_least(runs, users, parts):
    numbers = torch.arange(float(users))
    runs[0].write_tensors("per_user", {"diversity": numbers, "interests/effective@5": numbers})
    (panel,) = diversity_panels(models_of(named(runs)))
    assert len(panel.rows) == parts


def test_a_user_counts_where_every_seed_has_a_number(runs):
    numbers = torch.arange(9.0)
    for run, gap in zip(runs, (8, 7), strict=True):
        tensors = {"diversity": numbers, "interests/effective@5": numbers.masked_fill(numbers == gap, torch.nan)}
        run.write_tensors("per_user", tensors)
    (panel,) = diversity_panels([Model("both", named(runs))])
    assert [row[:3] for row in panel.rows] == [("both", 3.0, 3.0)]
    runs[1].write_tensors("per_user", {"diversity": numbers})
    assert diversity_panels([Model("both", named(runs))]) == []


def test_interests_at_equal_activity_leave_out_what_activity_explains(runs):
    # Broad users have more interests in use only because they are active; within equal activity it is the other way.
    activity = torch.tensor([2, 8, 32, 128]).repeat_interleave(100)
    own = torch.linspace(-0.1, 0.1, 100).repeat(4)
    tensors = {"diversity": activity.log() + own, "interests/effective@10": activity.log() - own, "activity": activity}
    unknown = {"diversity": 3.0, "interests/effective@10": 90.0, "activity": 0.0}  # a user of whom nothing is known
    told = {name: torch.cat([value.double(), torch.tensor([unknown[name]])]) for name, value in tensors.items()}
    runs[0].write_tensors("per_user", told)
    assert diversity_panels(models_of(named(runs)))[1].description.endswith(": one -1.00.")
    plain, controlled = (axes.containers[0][0] for axes in interests_against_diversity(runs).axes)
    assert plain.get_ydata()[0] < plain.get_ydata()[-1] - 3
    assert controlled.get_ydata()[0] > controlled.get_ydata()[-1] + 0.15
    assert controlled.get_ydata().mean() == pytest.approx(float(tensors["interests/effective@10"].mean()))
    assert controlled.get_xdata().tolist() == pytest.approx(own.sort().values.view(20, 20).mean(1).tolist(), abs=1e-6)


def test_collapse_shows_what_was_recorded(runs):
    runs[0].write_metrics([{"epoch": 1, "interests/collapse": 0.5}, {"epoch": 2, "interests/collapse": 0.75}])
    (axes,) = routing_collapse(runs).axes
    assert axes.lines[0].get_xydata().tolist() == [[1, 0.5], [2, 0.75]]
    [panel] = collapse_panels(models_of(named(runs)))
    assert panel.title == "Share of interests that rest on one item"
    assert panel.description == f"{panel.title} over the epochs: one from 0.5 to 0.75."


def test_every_picture_names_its_axes_and_runs(runs):
    numbers, told = torch.arange(40.0), [{"loss": 2.0, "ndcg@20": 0.1, "interests/cosine": 0.5}] * 2
    for run, used in zip(runs, (numbers, -numbers), strict=True):
        tensors = {"ndcg@20": numbers, "diversity": numbers, "activity": 1 + numbers % 4, "interests/effective@9": used}
        run.write_tensors("per_user", tensors)
        run.write_metrics([{"epoch": epoch, **row} for epoch, row in enumerate(told, start=1)])
        run.write_result({**run.read_result(), "interest_share": [[0.75, 0.25]] * 3})
    runs = [RunFolder(run.path.rename(run.path.with_name(f"_{run.path.name}"))) for run in runs]
    effective = "effective number of interests"
    for picture, expected in (
        (training_curves, [("epoch", "training loss"), ("epoch", "validation ndcg@20")]),
        (metric_by_group, [("group, from narrow to broad taste", "test ndcg@20")] * 2),
        (utility_against_spread, [("standard deviation between groups", "test ndcg@20")] * 2),
        (interest_heat_map, [("interest of a user, the busiest first", "rank in the top 3")] * 2),
        (
            interests_against_diversity,
            [
                ("diversity of the user's taste", effective),
                ("diversity, over or under that of equally active users", effective),
            ],
        ),
        (routing_collapse, [("epoch", "cosine between interests of a user")]),
    ):
        figure = picture(runs)
        assert [(axes.get_xlabel(), axes.get_ylabel()) for axes in figure.axes] == expected
        for axes in figure.axes if picture is not interest_heat_map else ():
            handles, names = axes.get_legend_handles_labels()
            lines = [handle[0] if isinstance(handle, tuple) else handle for handle in handles]
            assert [line.get_color() for line in lines] == [color(0), color(1)]
            assert [line.get_marker() for line in lines] in (["", ""], [marker(0), marker(1)])
            assert [line.get_linestyle() for line in lines] in (["None", "None"], ["-", "--"])
            assert names == legend(figure) == [" _one", " _four"]
    panel, _ = diversity_panels(models_of(named(runs)))
    assert panel.description.endswith(": _one +1.00; _four -1.00.")


def test_a_figure_without_numbers_says_so(runs):
    for picture in (interest_heat_map, interests_against_diversity, routing_collapse):
        figure = picture(runs)
        assert not figure.axes
        assert "nothing to show" in figure.texts[0].get_text()
        assert figure.get_size_inches().tolist() == [4.8, 3.6]
        assert figure.texts[0].get_window_extent().x1 < figure.bbox.x1


@pytest.mark.parametrize(("count", "longest", "columns"), [(1, 24, 2), (2, 25, 1)])
def test_panels_stand_side_by_side_over_one_legend(count, longest, columns):
    names = ["n" * longest, "two", "three"]

    def lines(axes):
        axes.set(xticks=[0], yticks=[0])  # fewer to lay out
        for name in names:
            axes.plot([0, 1], label=name)

    figure = draw([Panel("title", "", (), (), lines)] * count)
    figure.draw_without_rendering()
    assert not figure.texts
    places = [axes.get_window_extent() for axes in figure.axes]
    assert all(left.x1 < right.x0 and left.y0 == right.y0 for left, right in pairwise(places))
    (shown,) = figure.legends
    assert shown.get_window_extent().y1 < min(axes.get_tightbbox().y0 for axes in figure.axes)
    assert not shown.get_frame_on()
    assert len({round(text.get_window_extent().x0) for text in shown.get_texts()}) == count * columns
    for axes in figure.axes:
        assert [name for name, spine in axes.spines.items() if spine.get_visible()] == ["left", "bottom"]
        assert all(line.get_visible() for line in (*axes.get_xgridlines(), *axes.get_ygridlines()))


def test_pictures_are_written_where_there_is_something_to_draw(runs, tmp_path):
    runs[0].write_result({"metrics": {}, "groups": {}})
    png, svg = save_figures(runs[:1], tmp_path / "figures", formats=("png", "svg"))
    assert (png.name, svg.name) == ("training_curves.png", "training_curves.svg")
    assert png.read_bytes().startswith(b"\x89PNG")
    assert png.read_bytes()[16:20] == (1440).to_bytes(4)  # pixels from left to right
    assert b">one</text>" in svg.read_bytes()  # text is text
    assert b"dc:date" not in svg.read_bytes()  # the same figure is the same file


def test_all_pictures_are_of_the_metric_asked_for(trained, tmp_path, monkeypatch):
    written, runs = {}, [trained["comirec-dr"]]
    monkeypatch.setattr(figures, "draw", lambda panels: " ".join(panel.description for panel in panels))
    monkeypatch.setattr(figures, "save", lambda words, path: written.update({path: words}))
    for _ in range(2):  # the folder may be there
        assert save_figures(runs, tmp_path / "a" / "b", "recall@20") == list(written)
    for picture, words in (
        (training_curves, "Validation recall@20 over the epochs"),
        (metric_by_group, "Test recall@20 from the group of the narrowest"),
        (utility_against_spread, "Test recall@20 against the standard deviation"),
        (interest_heat_map, "of 100 recommendations at each rank"),
        (interests_against_diversity, "Effective number of interests in the top 10"),
        (routing_collapse, "Share of interests that rest on one item"),
    ):
        metric = ["recall@20"] * ("recall" in words)
        told = written.pop(tmp_path / "a" / "b" / f"{picture.__name__}.png")
        assert words in told
        assert picture(runs, *metric) == told
    assert not written
    assert (tmp_path / "a" / "b").is_dir()


def test_names_are_taken_as_they_are(tmp_path):
    folder = RunFolder(tmp_path / "_$x^2$ <b> 猫\a")
    folder.write_metrics([{"epoch": 1, "loss": 2.0}, {"epoch": 2, "loss": 1.0}])
    figure = training_curves([folder])
    assert legend(figure) == [r" _$x^2$ <b> 猫\x07"]
    svg = to_svg(figure, "name", "title", "what it shows")
    assert r"_$x^2$ &lt;b&gt; 猫\x07" in svg
    assert "font-size: 9px" in svg


def test_an_svg_takes_its_colors_from_the_page_and_has_unique_ids():
    figure = Figure()
    axes = figure.add_subplot()
    axes.grid()
    for n in range(len(COLORS)):
        axes.plot([0, 1], color=color(n), marker="o")
    one, other = (to_svg(figure, name, "A <title>", "What & why") for name in ("one", "other"))
    start = one[: one.index(">")]
    assert 'role="img" aria-labelledby="one-title one-desc"' in start
    assert not re.search(r" (width|height|version)=", start)
    assert one.index("<title") < one.index("<desc") < one.index("<g")
    assert all(f"var(--{name})" in one for name in ("grid", *(f"series-{n}" for n in range(6))))
    assert "currentColor" in one
    assert "#" not in one.replace("url(#one-", "").replace('href="#one-', "")
    assert one.replace("one-", "other-") == other
    assert {*re.findall(r"url\(#([^)]*)\)", one)} <= {*re.findall(r' id="([^"]*)"', one)} != set()
    assert "\n" not in one
    assert not re.search(r' d="[^"]*\.\d{3}', one)
    assert "font-size: " in one
    assert "font-family" not in one
    assert '<title id="one-title">A &lt;title&gt;</title>' in one
    assert '<desc id="one-desc">What &amp; why</desc>' in one
    assert "http" not in one
    assert "<g id=" not in one  # nothing refers to groups


@pytest.mark.parametrize("font", ["font: 9px 'DejaVu Sans', sans-serif", "font-size: 9px; font-family: 'DejaVu Sans'"])
def test_the_font_of_a_text_is_that_of_the_page_whatever_matplotlib_writes(font):
    assert _style(f"{font}; fill: #0072b2").split("; ") == ["font-size: 9px", "fill: var(--series-0)"]


def test_a_path_of_an_svg_has_two_decimals():
    assert _shorter("M 10.126 -0.004\nL 3.25 100 z") == "M 10.13 -0.00 L 3.25 100 z"


@pytest.mark.parametrize(("index", "fill"), [(1, "var(--series-1)"), (6, "currentColor"), (8, "var(--series-1)")])
def test_a_mark_has_the_look_of_its_run(index, fill):
    shape = SHAPES[MARKERS.index(marker(index))]
    assert f'aria-hidden="true"><path style="fill: {fill}" d="{shape}"/>' in mark(index)


def test_forty_nine_runs_can_be_told_apart():
    assert len({(color(n), marker(n)) for n in range(49)}) == 49
    assert len({dashes(n) for n in range(4)}) == 4
    assert dashes(5) == dashes(1)
    assert len(SHAPES) == len(MARKERS)
