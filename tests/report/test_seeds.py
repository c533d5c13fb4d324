"""The report of models with several seeds."""

import numpy as np
import pytest
import torch
from scipy import stats

from graphmi import cli
from graphmi.comparison import Model, models_of, named
from graphmi.metrics import rank_correlation
from graphmi.report import build, build_report
from graphmi.report.interests import diversity_panels, heat_map_panels
from graphmi.report.panel import draw
from graphmi.report.summary import Summary
from graphmi.report.training import training_panels
from graphmi.report.words import findings, lead
from graphmi.run import RunFolder

from .conftest import SMALL, WORLD
from .pages import Page

MODEL = "interest-gcn-softmax"


@pytest.fixture(scope="module")
def seeds(trained, tmp_path_factory):
    """Return two runs that differ in nothing but the seed."""
    folder = tmp_path_factory.mktemp("seeds") / f"{MODEL}-seed1"
    words = ["--data", WORLD, "--split", "LeaveOneOut", "--model.embedding_dim", "16", "--seed", "1"]
    assert cli.main(["train", MODEL, *words, "--out", str(folder), *SMALL]) == 0
    return [trained[MODEL], RunFolder(folder)]


@pytest.fixture(scope="module")
def summary(trained, seeds):
    return Summary(models_of(named([trained["popularity"], *seeds]), seeds=True), "ndcg@20")


@pytest.fixture(scope="module")
def report(trained, seeds, tmp_path_factory):
    """Return the page that the command writes."""
    path = tmp_path_factory.mktemp("page") / "report.html"
    runs = [str(folder.path) for folder in (trained["popularity"], *seeds)]
    assert cli.main(["report", *runs, "--seeds", "--num_users", "5", "--out", str(path)]) == 0
    return Page(path.read_text())


def over(values):
    """Return the mean and the half-width of the 95 % t interval."""
    return np.mean(values), stats.t.ppf(0.975, len(values) - 1) * stats.sem(values)


def test_a_model_is_one_row_with_mean_and_interval_over_its_seeds(summary, seeds):
    assert [model.name for model in summary.models] == ["popularity", MODEL]
    first, *names = summary.header()
    assert first == "model"
    alone, several = (dict(zip(names, row, strict=True)) for row in summary.rows())
    results = [folder.read_result() for folder in seeds]
    for name in ("ndcg@20", "recall@20"):
        center, half = over([result["metrics"][name] for result in results])
        assert (several[name].text, several[name].note) == (f"{center:.4f}", f"± {half:.4f}")
        assert (alone[name].note, several[name].best) == ("", True)
    spread = several["spread between groups"]
    center, half = over([result["groups"]["diversity-controlled/ndcg@20"]["std"] for result in results])
    assert (spread.text, spread.note) == (f"{center:.4f}", f"± {half:.4f}")
    used = np.mean([result["interests"]["effective@10"] for result in results])
    assert several["interests in use"].text == f"{used:.2f}"
    assert len(summary.lists) == 5
    for cell, name in zip(summary.list_rows()[1], summary.lists, strict=True):
        center, half = over([result["lists"][name] for result in results])
        assert (cell.text, cell.note) == (f"{center:.4f}", f"± {half:.4f}")


def test_differences_are_of_the_means_of_users(summary, trained, seeds):
    users = [folder.read_tensors("per_user")["ndcg@20"].double() for folder in (trained["popularity"], *seeds)]
    difference = (users[1] + users[2]) / 2 - users[0]
    [(model, test)] = summary.differences
    assert (model.name, test.difference) == (MODEL, pytest.approx(float(difference.mean()), abs=1e-6))
    assert test.wilcoxon_holm == pytest.approx(stats.wilcoxon(difference.numpy().round(6)).pvalue)


def test_groups_are_shown_with_means_and_intervals_over_the_seeds(report, seeds):
    rows = report.text("tr")
    for kind in ("diversity", "diversity-controlled"):
        groups = [folder.read_result()["groups"][f"{kind}/ndcg@20"] for folder in seeds]
        for number in range(5):
            center, half = over([group["mean"][number] for group in groups])
            count = groups[0]["count"][number]
            ends = f"{center - half:.4f} {center + half:.4f}"
            assert f"{MODEL} {number + 1} {count} {center:.4f} {ends}" in rows
    alone = [row for row in rows if row.startswith("popularity 1 20 ")]
    assert len(alone) == 2
    assert all(row.endswith(" - -") for row in alone)


def test_words_speak_of_models_and_seeds(summary, seeds):
    told = lead(summary)
    assert told.startswith("This page shows 2 models side by side (1 to 2 seeds each) on planted")
    center, half = over([folder.read_result()["metrics"]["ndcg@20"] for folder in seeds])
    assert f"{MODEL} has the highest test ndcg@20: {center:.4f} (95 % interval over 2 seeds: ± {half:.4f})" in told
    sentences = list(findings(summary))
    assert sentences[-1].startswith("Numbers are means over seeds")
    assert any(sentence.startswith(f"{MODEL} reaches ") for sentence in sentences)
    # Intervals over the seeds say nothing of who is in a group.
    assert not any("serves users of broad taste" in one or "the intervals overlap" in one for one in sentences)
    [alone] = models_of(named(seeds), seeds=True)
    assert ["p-values" in list(findings(one))[-1] for one in (summary, Summary([alone], "ndcg@20"))] == [True, False]
    assert lead(Summary([alone], "ndcg@20")).startswith(f"This page shows the model {MODEL} (2 seeds) on planted")


def test_every_caption_says_how_many_seeds(report):
    for name, told in (
        ("spread", "of each model alone, over its seeds; models"),
        ("spread", "Means over seeds (1 to 2 seeds each)."),
        ("groups", "Bars are 95 % intervals over the seeds. Means over seeds (1 to 2 seeds each)."),
        ("training", "Each seed has a line in the color of its model (1 to 2 seeds each)."),
        ("interests", "Means over seeds (1 to 2 seeds each)."),
        ("breadth", "and over seeds (1 to 2 seeds each); bars are 95 % intervals over the users."),
        ("routing", "Each seed has a line"),
        ("items", "Of several seeds of a model the first is shown."),
        ("users", "Of several seeds of a model the first is shown."),
    ):
        assert told in report.text("section", id=name)[0], name
    note = report.text("p", id="runs-note")[0]
    assert note.startswith("Test metrics, means over seeds ± 95 % t intervals (1 to 2 seeds each). p: ")
    assert "for the number of models; " in note
    assert "less is more even. Best is" in note


def test_the_first_seed_answers_for_a_model(report, seeds):
    alone = build._explorer([Model("alone", named(seeds[:1]))], 5, False)["data"]
    assert [run["name"] for run in alone["runs"]] == ["alone"]
    names = [run["name"] for run in report.data["runs"]]
    assert names == ["popularity", MODEL]
    lists = [[[data["items"][entry[0]][0] for entry in told["list"]] for told in data["runs"][n]["told"]]
             for data, n in ((report.data, 1), (alone, 0))]  # fmt: skip
    assert lists[0] == lists[1]


def test_all_runs_and_the_option_are_told_with_how_the_page_was_made(report, seeds):
    text = report.text("section", id="made")[0]
    assert all(f"{folder.path}; seed {seed}; " in text for seed, folder in enumerate(seeds))
    assert f"{MODEL}, seed 0 (its 2 seeds differ in nothing else)" in text
    assert "--num_users 5 --seeds" in text
    names = report.text("span", **{"class": "name"})
    assert [name.split()[-2:] for name in names] == [["1", "seed"], ["2", "seeds"]]


def test_each_seed_has_a_line_in_the_color_of_its_model(summary, seeds):
    figure = draw(training_panels(summary.models, "ndcg@20"))
    for axes, column in zip(figure.axes, ("loss", "ndcg@20"), strict=True):
        expected = [[row[column] for row in folder.read_metrics()] for folder in seeds]
        assert [line.get_ydata().tolist() for line in axes.lines] == expected
        assert len({line.get_color() for line in axes.lines}) == 1
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [MODEL]
    [loss, _] = training_panels(summary.models, "ndcg@20")
    assert loss.header == ("epoch", f"{MODEL}, seed 0", f"{MODEL}, seed 1")
    [loss_backwards, _] = training_panels([Model(MODEL, summary.models[1].runs[::-1])], "ndcg@20")
    assert loss_backwards.header == ("epoch", f"{MODEL}, seed 1", f"{MODEL}, seed 0")
    assert loss.rows[1][1:] == tuple(folder.read_metrics()[1]["loss"] for folder in seeds)


def test_interests_are_means_over_the_seeds(summary, seeds):
    [heat] = heat_map_panels(summary.models)
    shares = torch.tensor([folder.read_result()["interest_share"] for folder in seeds], dtype=torch.float64)
    assert [list(row[1:]) for row in heat.rows] == [pytest.approx(row) for row in shares.mean(0).tolist()]
    plain, _ = diversity_panels(summary.models)
    users = [folder.read_tensors("per_user") for folder in seeds]
    values = [one["interests/effective@10"].double() for one in users]
    rho = np.mean([rank_correlation(one, users[0]["diversity"].double()) for one in values])
    assert plain.description.endswith(f": {MODEL} {rho:+.2f}.")
    assert np.mean([row[2] for row in plain.rows]) == pytest.approx(float(sum(values).mean()) / 2)


def test_without_seeds_of_one_model_the_option_changes_nothing(trained, tmp_path):
    runs = [trained["popularity"], trained["lightgcn-softmax"]]
    texts = [
        build_report(runs, tmp_path / "r.html", num_users=0, seeds=seeds).read_text().replace(" --seeds", "")
        for seeds in (False, True)
    ]
    assert texts[0] == texts[1]


def test_a_run_that_is_there_twice_is_refused(trained, seeds, tmp_path):
    twin = RunFolder(tmp_path / "twin")
    for name in ("config.yaml", "result.json", "per_user.safetensors"):
        twin.path.mkdir(exist_ok=True)
        (twin.path / name).write_bytes((seeds[1].path / name).read_bytes())
    with pytest.raises(ValueError, match="are one model with one seed, 1: leave one of them out"):
        build_report([*seeds, twin], tmp_path / "r.html", seeds=True)
