import json
import math
import re
import shutil

import polars as pl
import pytest
import torch
from scipy import stats

from graphmi import cli
from graphmi.commands.comparing import Row, side_by_side
from graphmi.commands.paper_table import without_shared_end
from graphmi.comparison import (
    Model,
    by_seed,
    check_comparable,
    choose_metric,
    models_of,
    named,
    shared_interests,
    shared_lists,
    shared_metrics,
)
from graphmi.estimates import mean_interval, paired, paired_spreads, seed_interval
from graphmi.metrics import Interval, PairedResult, holm, paired_spread, paired_tests
from graphmi.report.summary import Summary
from graphmi.run import RunFolder
from graphmi.usage import UsageError

WORLD = "planted:num_users=60,num_items=40,num_clusters=4"


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["a/one", "a/two"], ["one", "two"]),
        (["a/x/one", "b/x/one"], ["a/x/one", "b/x/one"]),
        (["x/one", "y/one", "y/two"], ["x/one", "y/one", "y/two"]),
        (["a/one", "a/one"], ["one", "one"]),  # twice the same
        (["a/one/.."], ["a"]),
        (["a/\x01\n\x7f\x9f\udc80\ufffe\uffff <猫>\\x"], [r"\x01\n\x7f\x9f\udc80\ufffe\uffff <猫>\x"]),  # not for XML
    ],
)
def test_names_are_as_short_as_they_can_be(tmp_path, paths, names):
    assert [run.name for run in named([RunFolder(tmp_path / path) for path in paths])] == names


def test_epochs_leave_out_what_was_not_measured(tmp_path):
    folder = RunFolder(tmp_path / "run")
    assert named([folder])[0].epochs == []
    folder.write_metrics([{"epoch": 1, "loss": 2.5}, {"epoch": 2, "loss": 2.0, "ndcg@20": 0.1}])
    assert named([folder])[0].epochs == [{"epoch": 1, "loss": 2.5}, {"epoch": 2, "loss": 2.0, "ndcg@20": 0.1}]


def test_the_interval_of_a_mean_is_that_of_the_central_limit():
    values = torch.randn(400, generator=torch.Generator().manual_seed(0))
    interval = mean_interval(values)
    half = 1.96 * float(values.std()) / 20
    assert (interval.low, interval.high) == pytest.approx(
        (float(values.mean()) - half, float(values.mean()) + half), abs=0.15 * half
    )


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Return run folders of two models with two seeds each, and of one without training."""
    place = tmp_path_factory.mktemp("runs")

    def train(name, preset, *words):
        small = ["--data", WORLD, "--trainer.epochs", "1", "--trainer.accelerator", "cpu", "--replicates", "20"]
        small += ["--model.embedding_dim", "8"] * (preset != "popularity")
        assert cli.main(["train", preset, *small, "--out", str(place / name), *words]) == 0
        return place / name

    trained = {
        f"k{k}/seeds/{seed}": train(f"k{k}/seeds/{seed}", "interest-gcn", "--model.num_interests", k, "--seed", seed)
        for k in ("1", "2")
        for seed in ("0", "11")
    }
    return {**trained, "popular": train("popular", "popularity")}


@pytest.fixture
def compare(runs, capsys):
    """Compare runs by their names; return status, output and errors."""

    def run(*words):
        status = cli.main(["compare", *(str(runs.get(word, word)) for word in words)])
        return status, *capsys.readouterr()

    return run


def users(folder, metric="ndcg@20"):
    return RunFolder(folder).read_tensors("per_user")[metric]


def rows(path):
    """Return the rows of a file by part, row and run."""
    return {(row["part"] or "", row["row"], row["run"]): row for row in pl.read_csv(path).to_dicts()}


def test_seeds_of_a_configuration_are_a_model_in_whatever_folders(runs):
    folders = [RunFolder(path) for path in runs.values()]
    models = by_seed(named([folders[n] for n in (3, 0, 2, 1)]))
    assert [(model.name, len(model.runs)) for model in models] == [("k2/seeds", 2), ("k1/seeds", 2)]
    expected = (users(runs["k1/seeds/0"]) + users(runs["k1/seeds/11"])) / 2
    assert torch.allclose(models[1].of_users("ndcg@20"), expected)
    with pytest.raises(ValueError, match="are one model with one seed, 0: leave one of them out"):
        by_seed(named([folders[0], folders[0]]))


def test_runs_from_before_an_option_was_there_are_seeds_of_the_same_model(runs, tmp_path):
    older = RunFolder(shutil.copytree(runs["k1/seeds/0"], tmp_path / "older"))
    result = older.read_result()
    config = {name: value for name, value in result["config"].items() if name not in ("repeat", "valid_users")}
    older.write_result({**result, "config": config})
    [model] = by_seed(named([older, RunFolder(runs["k1/seeds/11"])]))
    assert len(model.runs) == 2
    older.write_result({**result, "config": {**config, "model": {"class_path": "gone.Model"}}})
    assert len(by_seed(named([older, RunFolder(runs["k1/seeds/11"])]))) == 2


def test_what_is_said_of_a_configuration_makes_no_other_model_but_epochs_do(runs, tmp_path):
    other = RunFolder(shutil.copytree(runs["k1/seeds/0"], tmp_path / "other"))
    result = other.read_result()
    other.write_result({**result, "config": {**result["config"], "description": "Mine.", "paper": "None yet."}})
    [model] = by_seed(named([other, RunFolder(runs["k1/seeds/11"])]))
    assert len(model.runs) == 2
    longer = {**result["config"], "trainer": {**result["config"]["trainer"], "epochs": 9}}
    other.write_result({**result, "config": longer})
    assert len(by_seed(named([other, RunFolder(runs["k1/seeds/11"])]))) == 2


def test_several_models_of_one_folder_have_names_of_their_own(runs, tmp_path, monkeypatch):
    for name, source in (("0", "k1/seeds/0"), ("11", "k2/seeds/11")):
        shutil.copytree(runs[source], tmp_path / name)
    monkeypatch.chdir(tmp_path / "0")
    for folder in (tmp_path / "0", "."):
        models = by_seed(named([RunFolder(folder), RunFolder(tmp_path / "11")]))
        assert [model.name for model in models] == ["0", "11"]


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        *[("one-seed0", "one"), ("one__Seed_0", "one"), ("one 0", "one"), ("one10", "one10"), ("one-v1.0", "one-v1.0")],
        ("mine/trial-13-seed0", "mine"),  # the best of a search
        ("mine/trial-1b-seed0", "trial-1b"),
        ("one-seed0-refit", "one"),
        ("mine/0", "mine"),
        ("mine/seed-0", "mine"),
    ],
)
def test_a_model_is_named_after_a_folder_without_its_seed(tmp_path, folder, name):
    run = RunFolder(tmp_path / folder)
    run.write_result({"seed": 0, "config": {}})
    assert [model.name for model in by_seed(named([run]))] == [name]


def test_runs_share_what_all_of_them_know(tmp_path):
    one, other = RunFolder(tmp_path / "one"), RunFolder(tmp_path / "other")
    for folder, metrics, lists, interests in (
        (one, ["ndcg@5", "mrr@5"], ["novelty@5", "gini@15", "gini@5"], ["cosine", "dead"]),
        (other, ["mrr@5", "mrr@9"], ["gini@5", "gini@15", "entropy@5"], ["dead"]),
    ):
        parts = {"metrics": metrics, "lists": lists, "interests": interests}
        folder.write_result({part: dict.fromkeys(names, 0.5) for part, names in parts.items()})
    runs = named([one, other])
    assert (shared_metrics(runs), shared_lists(runs, "mrr@5"), shared_interests(runs)) == (
        ["mrr@5"],
        ["gini@5"],
        ["dead"],
    )


def test_runs_that_do_not_mean_the_same_are_refused(runs, tmp_path):
    one, other = RunFolder(runs["popular"]), RunFolder(shutil.copytree(runs["popular"], tmp_path / "other"))
    result, tensors = other.read_result(), other.read_tensors("per_user")
    other.write_result({**result, "protocol": {**result["protocol"], "candidates": "100 drawn", "draws": "by seed"}})
    for pair, told in (((one, other), "all items and 100 drawn"), ((other, one), "100 drawn and all items")):
        with pytest.raises(ValueError, match=rf"their protocols differ in 'candidates' \({told}\)"):
            check_comparable(named(pair))
    for pair, told in (((one, other), "unset and by seed"), ((other, one), "by seed and unset")):
        other.write_result({**result, "protocol": {**result["protocol"], "draws": "by seed"}})
        with pytest.raises(ValueError, match=rf"their protocols differ in 'draws' \({told}\)"):
            check_comparable(named(pair))
    other.write_result(result)
    check_comparable(named((one, other)))
    other.write_tensors("per_user", {**tensors, "user": tensors["user"] + 1})
    for compared in ((one, other), (one, one, other)):
        with pytest.raises(ValueError, match="they evaluated different users"):
            check_comparable(named(compared))


def test_the_first_run_says_by_which_metric_all_are_compared(runs, tmp_path):
    one, other = RunFolder(runs["popular"]), RunFolder(shutil.copytree(runs["popular"], tmp_path / "other"))
    result = other.read_result()
    result["config"]["trainer"]["monitor"] = "mrr@10"
    other.write_result(result)
    for pair, metric in (((one, other), "ndcg@20"), ((other, one), "mrr@10")):
        assert choose_metric(named(pair)) == metric
        assert side_by_side(models_of(named(pair))).rows[-1].part == f"{metric} by diversity-controlled"


def test_intervals_are_the_same_whatever_was_drawn_before():
    values, group = torch.rand(2, 40), torch.arange(40) % 2

    def intervals(seed):
        torch.manual_seed(seed)
        return paired(values)[0]["all"].interval, paired_spreads(values, group)[0]["std"].interval

    assert intervals(1) == intervals(2)


def test_a_row_says_what_is_known_after_correction():
    def tested(p):
        return PairedResult(9, 0.1, Interval(-0.25, 10.5), t=0.5, wilcoxon=0.0, t_holm=0.5, wilcoxon_holm=p)

    row = Row("", "ndcg@20", [[0.5]] * 4, [tested(0.001), tested(0.0002), tested(math.nan)])  # the last of one user
    told = "+.1000 [-.2500,+10.5000]"
    assert row.cells() == ["ndcg@20", *["0.5000"] * 4, told, "0.001", told, "<0.001", told, "-"]
    assert [numbers["p"] for numbers in row.numbers()] == [None, 0.001, 0.0002, None]


def test_the_interval_over_seeds_is_that_of_scipy():
    values = [0.31, 0.35, 0.3, 0.38, 0.33]
    center, half = seed_interval(values)
    low, high = stats.t.interval(0.95, 4, loc=center, scale=stats.sem(values))
    assert (center - half, center + half) == pytest.approx((low, high))
    assert seed_interval([0.5]) == (0.5, None)
    assert seed_interval([None, None]) == (None, None)


def side(runs, *names, seeds=False, **options):
    return side_by_side(models_of(named([RunFolder(runs[name]) for name in names]), seeds=seeds), **options)


def test_metrics_come_first_then_lists_interests_and_groups(runs):
    compared = side(runs, "k2/seeds/0", "k2/seeds/11", metric="hit@20", also=["mrr@10"])
    expected = {
        "": [*(f"{name}@{length}" for name in ("ndcg", "recall") for length in (10, 20, 50)), "hit@20", "mrr@10"],
        "beyond accuracy": [f"{name}@20" for name in ("coverage", "gini", "novelty", "entropy", "calibration")],
        "interests": list(RunFolder(runs["k2/seeds/0"]).read_result()["interests"]),
    }
    for kind in ("diversity", "diversity-controlled"):
        expected[f"hit@20 by {kind}"] = [*(f"group {number}" for number in range(1, 6)), "std", "gap", "cv"]
    assert [(part, [cells[0] for cells in grid]) for part, grid in compared.grid()] == [
        (part, [(name, 2) for name in names]) for part, names in expected.items()
    ]
    assert compared.title == f"{WORLD}, test"
    with pytest.raises(UsageError, match="no metric of all runs is named 'mrr@11'"):
        side(runs, "k2/seeds/0", "k2/seeds/11", also=["mrr@11"])


def test_narrow_tables_hold_the_same_numbers(runs):
    whole = side(runs, "popular", "k1/seeds/0", "k2/seeds/11")
    first, *others = whole.models
    heads = ", ".join(name for _, name in whole.columns())
    assert heads == f", {first}, 0, 11, 0 less {first}, p, 11 less {first}, p"
    assert {len(cells) for _, grid in whole.grid() for cells in grid} == {len(whole.columns())}
    for name, part in zip(others, whole.narrow(), strict=True):
        assert (part.models, part.compared_to) == ([first, name], first)
        assert part.records() == [record for record in whole.records() if record["run"] in part.models]


@pytest.mark.parametrize(
    ("names", "seeds", "corrected"),
    [
        ("popular k1/seeds/0", False, "within groups after Holm's correction"),
        (
            "popular k1/seeds/0 k2/seeds/0",
            False,
            "after Holm's correction over the runs, within groups over the groups",
        ),
        ("k1/seeds/0 k1/seeds/11 popular", True, "within groups after Holm's correction"),
        ("k1/seeds/0 popular k2/seeds/0 k2/seeds/11", True, "after Holm's correction over the models, within groups"),
    ],
)
def test_a_caption_tells_of_seeds_and_what_was_corrected(runs, names, seeds, corrected):
    compared = side(runs, *names.split(), seeds=seeds)
    above, first, text = compared.caption.partition(f"Differences from {compared.models[0]} with 95 % bootstrap inter")
    assert (bool(first), above.startswith("Means over seeds ± 95 % t intervals;"), bool(above)) == (True, seeds, seeds)
    assert "vals; for those of std, gap and cv the users of each group are drawn anew, the same for both. p: " in text
    assert f"p: Wilcoxon signed-rank test on the same users, {corrected}" in text


def test_spreads_are_compared_by_the_paired_bootstrap(runs, compare, tmp_path):
    first, other = runs["popular"], runs["k1/seeds/0"]
    status, out, err = compare(first, other, "--out", tmp_path / "t.csv")
    assert (status, err) == (0, "")
    group = users(first, "group/diversity")
    draws = torch.Generator().manual_seed(0)
    found = paired_spread(users(other), users(first), group, generator=draws)
    shown = rows(tmp_path / "t.csv")
    results = [RunFolder(folder).read_result()["groups"]["diversity/ndcg@20"] for folder in (other, first)]
    means = [shown["ndcg@20 by diversity", "group 2", run]["value"] for run in ("0", "popular")]
    assert means == [result["mean"][1] for result in results]
    for name in ("std", "gap", "cv"):
        row, told = shown["ndcg@20 by diversity", name, "0"], [result[name] for result in results]
        assert [row["value"], shown["ndcg@20 by diversity", name, "popular"]["value"]] == told
        assert row["difference"] == pytest.approx(told[0] - told[1], abs=1e-6)
        assert (row["low"], row["high"]) == (found[name].interval.low, found[name].interval.high)
        assert row["p"] is None
        assert f"{row['difference']:+.4f}".replace("0.", ".", 1) in next(li for li in out.splitlines() if name in li)


def test_p_values_are_corrected_over_the_runs_and_groups_as_in_the_report(runs, compare, tmp_path):
    names = ("popular", "k1/seeds/0", "k2/seeds/0")
    assert "Holm's correction over the runs" in " ".join(compare(*names, "--out", tmp_path / "t.csv")[1].split())
    found = rows(tmp_path / "t.csv")
    others = [run for _, row, run in found if row == "ndcg@20"][1:]
    differences = [(users(runs[name]) - users(runs["popular"])).double() for name in names[1:]]
    group = users(runs["popular"], "group/diversity")
    tests = [paired_tests(difference, torch.zeros_like(difference), group) for difference in differences]
    for part, name, taken in (("", "ndcg@20", group >= 0), ("ndcg@20 by diversity", "group 1", group == 0)):
        means = [float(difference[taken].mean()) for difference in differences]
        assert [found[part, name, run]["difference"] for run in others] == pytest.approx(means, abs=1e-6)
    alone = [test["all"].wilcoxon for test in tests]
    assert [found["", "ndcg@20", run]["p"] for run in others] == pytest.approx(holm(alone))
    report = Summary(models_of(named([RunFolder(runs[name]) for name in names])), "ndcg@20")
    assert [test.wilcoxon_holm for _, test in report.differences] == [found["", "ndcg@20", run]["p"] for run in others]
    inside = [test[str(number)].wilcoxon for test in tests for number in range(5)]
    shown = [found["ndcg@20 by diversity", f"group {number + 1}", run]["p"] for run in others for number in range(5)]
    assert shown == pytest.approx(holm(inside), rel=1e-3)


def test_lists_beyond_accuracy_are_shown_as_long_as_the_metric(runs, compare, tmp_path):
    status, out, err = compare("popular", "k1/seeds/0", "k1/seeds/11", "--seeds", "--metric", "mrr@10",
                               "--out", tmp_path / "t.csv")  # fmt: skip
    assert (status, err) == (0, "")
    found = {key[1:]: row for key, row in rows(tmp_path / "t.csv").items() if key[0] == "beyond accuracy"}
    results = [RunFolder(runs[name]).read_result()["lists"] for name in ("popular", "k1/seeds/0", "k1/seeds/11")]
    names = [f"{name}@10" for name in ("coverage", "gini", "novelty", "entropy", "calibration")]
    assert list(found) == [(name, model) for name in names for model in ("popular", "seeds")]
    for name in names:
        alone, *several = (lists[name] for lists in results)
        assert found[name, "popular"]["value"] == alone
        row = found[name, "seeds"]
        assert (row["value"], row["half_width"]) == pytest.approx(seed_interval(several))
        assert (row["difference"], row["p"]) == (None, None)
        assert re.search(rf"{name} +│ +{alone:.4f} │ +{row['value']:.4f} ± {row['half_width']:.4f} │ +│ +│", out)


def test_lists_beyond_accuracy_are_no_metric_of_tests_and_tables(runs, compare):
    for words in (["--table", "ndcg@20", "coverage@20"], ["--metric", "coverage@20"], ["--metric", "cosine"]):
        status, _, err = compare("popular", "k2/seeds/0", *words)
        assert (status, err.count("\n")) == (2, 1)
        assert f"'{words[-1]}' is beyond accuracy, which tests and tables of papers leave out: name a metric" in err


def test_lists_that_a_run_knows_nothing_of_are_left_out(runs, compare, tmp_path):
    older = RunFolder(shutil.copytree(runs["popular"], tmp_path / "older"))
    older.write_result({name: value for name, value in older.read_result().items() if name != "lists"})
    status, out, err = compare("popular", older.path)
    assert (status, err, "beyond accuracy" in out) == (0, "", False)
    assert "'coverage@20' is beyond accuracy" in compare("popular", older.path, "--metric", "coverage@20")[2]


def test_what_a_run_does_not_have_is_left_out_and_a_group_without_users_has_no_number(runs, tmp_path):
    folders = [RunFolder(shutil.copytree(runs["popular"], tmp_path / name)) for name in ("run", "older")]
    for folder in folders:
        result, tensors = folder.read_result(), folder.read_tensors("per_user")
        result["groups"]["diversity/ndcg@20"]["mean"][1] = None
        tensors["group/diversity"][tensors["group/diversity"] == 1] = 2
        if folder is folders[1]:
            del result["metrics"]["ndcg@50"], tensors["group/diversity-controlled"]
        folder.write_result(result)
        folder.write_tensors("per_user", tensors)
    run, older = named(folders)
    parts = dict(side_by_side([Model("one", [run]), Model("two", [run, older])]).grid())
    assert list(parts) == ["", "beyond accuracy", "ndcg@20 by diversity"]
    rows = {row[0][0]: [text for text, _ in row[1:]] for part in parts.values() for row in part}
    assert rows.pop("group 2") == ["-", "-", "", ""]
    assert [rows[name][-1] for name in ("group 1", "std")] == ["1.000", ""]  # of spreads there is no test
    assert [name for name, texts in rows.items() if "+.0000 [+.0000,+.0000]" in texts] == [
        *("ndcg@10", "ndcg@20", "recall@10", "recall@20", "recall@50"),
        *("group 1", "group 3", "group 4", "group 5", "std", "gap", "cv"),
    ]


def test_interests_are_shown_where_all_models_have_several(runs, compare, tmp_path):
    for names in (("k1/seeds/0", "k2/seeds/0"), ("k2/seeds/0", "k1/seeds/0", "k2/seeds/11")):
        assert "interests" not in compare(*names)[1]
    status, out, err = compare("k2/seeds/0", "k2/seeds/11", "--out", tmp_path / "t.csv")
    assert (status, err) == (0, "")
    found = {
        (name, str(run)): row["value"]
        for (part, name, run), row in rows(tmp_path / "t.csv").items()
        if part == "interests"
    }
    told = {seed: RunFolder(runs[f"k2/seeds/{seed}"]).read_result()["interests"] for seed in ("0", "11")}
    assert found == {(name, seed): told[seed][name] for name in told["0"] for seed in told}
    assert {"cosine", "effective@10", "effective-diversity correlation"} < told["0"].keys()
    assert re.search(rf"cosine +│ +{told['0']['cosine']:.4f} │ +{told['11']['cosine']:.4f} │ +│ +│", out)
    assert re.search(r"effective-diversity +│.*\n.*correlation, +│.*\n.*controlled +│", out)  # keeps the table narrow


def test_models_of_several_seeds_are_compared_by_the_means_of_users(runs, compare, tmp_path):
    status, out, err = compare("--seeds", *[name for name in runs if name != "popular"], "--out", tmp_path / "t.csv")
    assert (status, err) == (0, "")
    found = rows(tmp_path / "t.csv")
    assert {run for *_, run in found} == {"k1/seeds", "k2/seeds"}
    metrics = [RunFolder(runs[f"k2/seeds/{seed}"]).read_result()["metrics"]["ndcg@20"] for seed in ("0", "11")]
    row = found["", "ndcg@20", "k2/seeds"]
    assert (row["value"], row["half_width"]) == pytest.approx(seed_interval(metrics))
    assert f"{row['value']:.4f} ± {row['half_width']:.4f}" in out
    one, two = ((users(runs[f"k{k}/seeds/0"]) + users(runs[f"k{k}/seeds/11"])) / 2 for k in (1, 2))
    assert row["difference"] == pytest.approx(float((two - one).mean()), abs=1e-6)
    means = [RunFolder(runs[f"k2/seeds/{seed}"]).read_result()["groups"]["diversity/ndcg@20"] for seed in ("0", "11")]
    row = found["ndcg@20 by diversity", "group 3", "k2/seeds"]
    assert (row["value"], row["half_width"]) == pytest.approx(seed_interval([one["mean"][2] for one in means]))
    spread = [found["ndcg@20 by diversity", "std", model] for model in ("k1/seeds", "k2/seeds")]
    assert spread[1]["difference"] == pytest.approx(spread[1]["value"] - spread[0]["value"], abs=1e-6)
    status, _, err = compare("--seeds", "k1/seeds/0", "k1/seeds/11")
    assert (status, "all 2 runs differ in nothing but the seed" in err) == (2, True)


def test_no_number_is_cut_in_a_pipe_nor_on_a_narrow_terminal(compare, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    names = ("popular", "k1/seeds/0", "k2/seeds/0")
    piped = compare(*names)[1]
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes it for a terminal
    narrow = re.sub(r"\x1b\[[\d;]*m", "", compare(*names)[1])
    assert max(map(len, narrow.splitlines())) <= 80 < max(map(len, piped.splitlines()))
    numbers = r"[+-]?\d?\.\d{4}|<0\.001"
    assert "..." not in piped + narrow
    assert "…" not in piped + narrow
    assert set(re.findall(numbers, narrow)) == set(re.findall(numbers, piped))


def test_tables_in_files_hold_what_is_shown(runs, compare, tmp_path):
    folders = [shutil.copytree(runs["popular"], tmp_path / "a_b|c&50%"), runs["k1/seeds/0"]]
    for ending in ("md", "tex", "json", "csv"):
        assert compare(*folders, "--out", tmp_path / "new" / f"t.{ending}")[0] == 0
    texts = {ending: (tmp_path / "new" / f"t.{ending}").read_text() for ending in ("md", "tex")}
    records = json.loads((tmp_path / "new" / "t.json").read_text())["rows"]
    assert " ".join(records[0]) == "part row run value half_width difference low high p"
    assert [tuple(row.values()) for row in records] == [
        tuple("" if name == "part" and cell is None else cell for name, cell in row.items())
        for row in pl.read_csv(tmp_path / "new" / "t.csv", infer_schema_length=None).to_dicts()
    ]
    head = next(line for line in texts["md"].splitlines() if " less " in line)
    first = r"a\_b\|c&50%"
    assert re.split(r" *(?<!\\)\| *", head)[1:-1] == ["", first, "0", f"0 less {first}", "p"]
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in texts["md"].splitlines() if line[:1] == "|"}) == 1
    assert r"a\_b\textbar{}c\&50\%" in texts["tex"]
    assert all(rf"\{rule}rule" in texts["tex"] for rule in ("top", "mid", "bottom"))
    body = [line for line in texts["tex"].splitlines() if line.endswith(r"\\") and "multicolumn" not in line]
    assert {len(re.findall(r"(?<!\\)&", line)) for line in body} == {4}
    for row in records:
        assert f"{row['value']:.4f}" in texts["md"]
        assert f"{row['value']:.4f}" in texts["tex"]


def test_a_latex_table_of_seeds_has_signs_in_formulas(runs, compare, tmp_path):
    status, out, _ = compare(*["popular", "k1/seeds/0", "k1/seeds/11"], "--seeds", "--metric", "mrr@10",
                             "--out", tmp_path / "t.tex")  # fmt: skip
    assert (status, "Means over seeds" in out) == (0, True)
    lines = [line for line in (tmp_path / "t.tex").read_text().splitlines() if line.endswith(r"\\")]
    row = next(line for line in lines if line.startswith("mrr@10"))
    formula = r"\$[-+]\d?\.\d{4}\$"
    assert re.search(rf"& \d\.\d{{4}} \$\\pm\$ \d\.\d{{4}} & {formula} \[{formula},{formula}\] & ", row)
    assert "±" not in "".join(lines)


@pytest.mark.parametrize(
    ("out", "told"),
    [("t.xlsx", "'--out' must end with .csv, .md, .tex or .json (got t.xlsx)"), ("d.md", "and 'd.md' is a folder")],
)
def test_files_that_cannot_be_are_refused_in_a_sentence(compare, tmp_path, monkeypatch, out, told):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "d.md").mkdir()
    status, shown, err = compare("popular", "k1/seeds/0", "--out", out)
    assert (status, shown, told in err) == (2, "", True)


LAST, RANDOM = f"{WORLD}, leave-one-out", f"{WORLD}, random"


@pytest.fixture(scope="module")
def splits(runs, tmp_path_factory):
    """Return the run folders of two splits: of three models, two of them with two seeds, and of two models."""
    place = tmp_path_factory.mktemp("splits")
    for name, preset in (("popular", "popularity"), ("knn", "item-knn")):
        words = ["--data", WORLD, "--split", "RandomSplit", "--replicates", "20", "--out", str(place / "random" / name)]
        assert cli.main(["train", preset, *words]) == 0
    copies = [shutil.copytree(runs[name], place / "last" / name.replace("/seeds", "")) for name in runs]
    return [copies.pop(), *copies, place / "random" / "popular", place / "random" / "knn"]


@pytest.fixture
def table(splits, compare, tmp_path):
    """Return what a file with the table of both splits has, and what was printed."""

    def run(ending):
        path = tmp_path / f"t.{ending}"
        status, out, err = compare(*splits, "--seeds", "--table", "mrr@10", "ndcg@20", "--out", path)
        assert (status, err) == (0, "")
        return path.read_text(), out

    return run


def test_tests_of_several_data_sets_are_corrected_over_all(splits, table, tmp_path):
    table("csv")
    found = {
        (row["data"], row["part"] or "", row["row"], row["run"]): row
        for row in pl.read_csv(tmp_path / "t.csv").to_dicts()
    }
    popular, *seeds, popular_at_random, knn = (users(folder, "mrr@10").double() for folder in splits)
    differences = [sum(seeds[:2]) / 2 - popular, sum(seeds[2:]) / 2 - popular, knn - popular_at_random]
    expected = holm([stats.wilcoxon(one.numpy().round(6)).pvalue for one in differences])
    models = ((LAST, "k1"), (LAST, "k2"), (RANDOM, "knn"))
    assert [found[data, "", "mrr@10", run]["p"] for data, run in models] == pytest.approx(expected)
    part = "ndcg@20 by diversity"
    pairs = [(users(splits[-1]) - users(splits[-2]), users(splits[-1], "group/diversity"))]
    pairs += [
        (sum(map(users, splits[i : i + 2])) / 2 - users(splits[0]), users(splits[0], "group/diversity")) for i in (1, 3)
    ]
    inside = [
        stats.wilcoxon(one[group == n].double().numpy().round(6)).pvalue for one, group in pairs for n in range(5)
    ]
    shown = [found[data, part, f"group {n + 1}", run]["p"] for data, run in (models[2], *models[:2]) for n in range(5)]
    assert shown == pytest.approx(holm(inside), rel=1e-3)


def test_the_caption_speaks_of_seeds_where_there_are_some(splits, compare, table):
    assert "±: 95 % t intervals over seeds" in table("md")[0]
    status, out, _ = compare(*splits[-2:], "--table", "ndcg@20")
    assert status == 0
    assert "seeds" not in out


def test_best_and_second_of_a_column_stand_out_and_models_that_were_not_run_have_a_dash(splits, table):
    text = table("md")[0]
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if re.match(r"\| [pk]", line)]
    assert [row[0] for row in rows] == ["popular", "k1", "k2", "knn"]
    for column, metric in enumerate(("mrr@10", "ndcg@20"), 1):
        popular, *seeds, popular_at_random, knn = (RunFolder(one).read_result()["metrics"][metric] for one in splits)
        means = [popular, sum(seeds[:2]) / 2, sum(seeds[2:]) / 2]
        for value, row in zip(means, rows, strict=False):
            around = ("**", "<u>", "")[sorted(means, reverse=True).index(value)]
            assert row[column].startswith(f"{around}{value:.4f}")
            assert ("†" in row[column], row[column + 2]) == (False, "\N{EN DASH}") or row is rows[0]
        assert rows[0][column + 2] == f"<u>{popular_at_random:.4f}</u>"
        assert (rows[3][column], rows[3][column + 2]) == ("\N{EN DASH}", f"**{knn:.4f}†**")
    assert "better than popular (p < 0.05" in text


def test_the_table_in_latex_and_on_the_terminal_is_that_in_markdown(table):
    (markdown, out), (latex, _) = table("md"), table("tex")
    rows = markdown.splitlines()[4:8]
    for told, sign in (("†", r"$^{\dagger}$"), ("±", r"$\pm$"), (" | ", " & "), ("\N{EN DASH}", "--")):
        rows = [row.replace(told, sign) for row in rows]
    for told, sign in (
        (r"\*\*(.*?)\*\*", r"\\textbf{\1}"),
        ("<u>(.*?)</u>", r"\\underline{\1}"),
        (r"\| (.*) \|", r"\1 \\\\"),
    ):
        rows = [re.sub(told, sign, row) for row in rows]
    assert [line for line in latex.splitlines() if re.match("[pk].* &", line)] == rows
    above = r"leave-one-out} & \multicolumn{2}{c}{planted:num\_users=60,num\_items=40,num\_clusters=4, random} \\"
    assert f"{above}\n" + r"\cmidrule(lr){2-3}\cmidrule(lr){4-5}" + "\n & mrr@10 & ndcg@20 & mrr@10" in latex
    numbers = r"\d\.\d{4}[^*<|]*"
    assert all(number.strip() in out for number in re.findall(numbers, markdown.split("Bold")[0]))


@pytest.mark.parametrize(
    "paths", [("ml-1m/mf", "ml-1m/ease"), ("mf/ml-1m", "ease/ml-1m"), ("mf/ml-1m/0", "ease/ml-1m/0")]
)
def test_models_are_named_by_the_part_of_the_path_that_differs(tmp_path, paths):
    runs = named([RunFolder(tmp_path / path) for path in paths])
    assert [model.name for model in without_shared_end([Model(run.name, [run]) for run in runs])] == ["mf", "ease"]


def test_tables_refuse_runs_of_one_data_set_that_differ_in_protocol_and_runs_alone(splits, compare, tmp_path):
    status, _, err = compare(*splits[:-1], "--table", "mrr@10")
    assert (status, f"two run folders of each data set (got '{splits[-2]}' alone)" in err) == (2, True)
    words = ["--data", WORLD, "--replicates", "20", "--repeat", "true", "--out", str(tmp_path / "run")]
    assert cli.main(["train", "popularity", *words]) == 0
    status, _, err = compare(splits[0], tmp_path / "run", "--table", "mrr@10")
    assert (status, "their protocols differ in 'seen items'" in err) == (1, True)
    status, _, err = compare(*splits, "--table", "mmr@10")
    assert (status, "did you mean mrr@10" in err) == (2, True)
