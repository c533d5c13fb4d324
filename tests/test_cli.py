"""The command from outside: words in, status, text and files out."""

import csv
import io
import json
import logging
import math
import os
import re
import shlex
import shutil
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import polars as pl
import pytest
import torch
import yaml
from jsonargparse import Namespace
from safetensors.torch import load_file
from scipy import stats

from graphmi import __version__, cli, losses
from graphmi import experiment as graphmi_experiment
from graphmi.commands import train
from graphmi.commands.beside import restore_runs
from graphmi.commands.ids import read_ids
from graphmi.data import Vocabulary
from graphmi.experiment import Experiment
from graphmi.losses import MultiInterestLoss
from graphmi.models import Popularity
from graphmi.processes import make_fabric
from graphmi.restore import restore
from graphmi.result import is_whole
from graphmi.run import RunFolder

WORLD = "planted:num_users=60,num_items=80,num_clusters=4,interactions_per_user=10"
QUICK = ["--data", WORLD, "--trainer.epochs", "4", "--trainer.accelerator", "cpu", "--replicates", "50"]


@pytest.fixture
def graphmi(capsys):
    """Run words; return status, output and errors."""

    def run(*words):
        status = cli.main([str(word) for word in words])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


@pytest.fixture
def trained(graphmi, tmp_path):
    """Train into a folder of this name, and return it."""

    def train(name="run", preset="mf", *words):
        status, out, err = graphmi("train", preset, *QUICK, "--out", tmp_path / name, *words)
        assert (status, err) == (0, "")
        assert "ndcg" in out
        return tmp_path / name

    return train


def result(folder, name="result.json"):
    return json.loads((folder / name).read_text())


def rows(folder):
    """Return metrics.csv without what a clock measured."""
    with (folder / "metrics.csv").open(newline="") as file:
        return [
            {k: v for k, v in row.items() if k not in ("seconds", "pairs_per_second")} for row in csv.DictReader(file)
        ]


def assert_same_run(one, other):
    assert rows(one) == rows(other)
    assert result(one)["metrics"] == result(other)["metrics"]
    assert result(one)["groups"] == result(other)["groups"]
    for name in ("model", "per_user"):
        first, second = (load_file(folder / f"{name}.safetensors") for folder in (one, other))
        assert first.keys() == second.keys()
        assert all(torch.equal(first[key], second[key]) for key in first)


# --- help and names


def test_help_and_version(graphmi):
    for words in ([], ["--help"], ["-h"]):
        status, out, err = graphmi(*words)
        assert (status, err) == (0, "")
        assert all(word in out for word in ("train", "evaluate", "compare", "presets", "data list"))
    assert graphmi("--version") == (0, f"graphmi {__version__}\n", "")


@pytest.mark.parametrize("command", ["train", "refit", "evaluate", "compare", "report", "presets", "data stats"])
def test_every_command_has_help(graphmi, command):
    status, out, _ = graphmi(*command.split(), "--help")
    assert status == 0
    assert f"usage: graphmi {command}" in out


def test_help_of_train_lists_our_classes_and_not_all_of_torch(graphmi):
    _, out, _ = graphmi("train", "--help")
    assert graphmi("train", "mf", "-h")[1] == out
    assert "InterestGCN" in out
    assert "--trainer.learning_rate" in out
    assert "torch.nn.Linear" not in out
    words = " ".join(out.split())
    assert "default: LeaveOneOut)" in words
    assert "null; AllItemsSampler, InBatchSampler, " in words
    assert "MultiInterestConv" not in words[words.index("--model MODEL") : words.index("--sampler.help")]
    assert "Popularity or another class)" in words
    assert "; or another class)" not in words
    assert len(out.splitlines()) < 250


def test_help_and_presets_do_not_load_torch():
    code = (
        "import sys; from graphmi.cli import main; main(['--help']); main(['presets']); main(['--version']);"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60).returncode == 0


def test_parts_are_listed_by_the_option_that_takes_them(graphmi):
    status, out, _ = graphmi("parts")
    assert status == 0
    after = out[out.index("--loss.objective") :]
    objectives = after[: after.index("--loss.weighting")]
    assert all(name in objectives for name in ("BPRLoss", "GBCELoss", "TripletLoss"))
    assert "Objective " not in objectives  # nobody can choose an interface
    assert graphmi("train", "bam", "--loss.objective.help")[1] in out
    assert "InterestRepulsion" in graphmi("train", "bam", "--loss.regularizers.help")[1]


@pytest.mark.parametrize(
    "words",
    [
        ["parts", "RandomSplit"],
        ["train", "bam", "--split.help", "RandomSplit"],
        ["train", "--split.help=graphmi.data.RandomSplit"],
    ],
)
def test_options_of_a_part(graphmi, words):
    status, out, _ = graphmi(*words)
    assert status == 0
    assert "--split.ratios" in out
    assert "--split.seed" in out
    assert "--model" not in out


def test_options_leave_out_what_the_experiment_gives_and_read_as_text(graphmi):
    out = graphmi("parts", "EASE")[1]
    assert "--model.graph" not in out
    assert "lambda, positive" in out
    out = graphmi("train", "--trainer.optimizer.help", "torch.optim.SGD")[1]
    assert "--trainer.optimizer.momentum" in out
    assert not any(f"--trainer.optimizer.{given}" in out for given in ("params", "lr", "weight_decay"))
    assert graphmi("train", "--trainer.optimizer.help", "SGD")[1] == out


def test_a_folder_that_is_gone_is_no_error(graphmi, tmp_path, monkeypatch):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert graphmi("--version")[0] == 0


def test_parts_of_ones_own_in_the_current_folder(graphmi, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "own_parts_of_mine.py").write_text(
        "from graphmi.models import InterestGCN\n"
        "class Mine(InterestGCN):\n"
        "    def __init__(self, graph, depth: int = 1):\n"
        "        super().__init__(graph, 2, 4, depth)\n"
    )
    out = graphmi("parts", "own_parts_of_mine.Mine")[1]
    assert "--model own_parts_of_mine.Mine" in out
    assert "--model.depth" in out
    status, _, err = graphmi("train", "lightgcn", *QUICK, "--model", "own_parts_of_mine.Mine", "--model.depth", 0)
    assert (status, err) == (0, "")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["parts", "BPRLos"], "no class is named 'BPRLos' (did you mean BPRLoss"),
        (["parts", "xyz"], "no class is named 'xyz' (see 'graphmi parts')"),
        (["parts", "Interests"], "no option is known to take 'Interests'"),  # what an extractor returns
        (["parts", "Extractor"], "no option is known to take 'Extractor'"),
        (["train", "lightgcn", "--data", WORLD, "--model", "SideBySide"], "'models' must be a list of trained models"),
        (["train", "bam", "--loss.nothing.help"], "'--loss.nothing.help' needs a class: see 'graphmi parts'"),
    ],
)
def test_parts_that_are_not_there(graphmi, words, sentence):
    status, _, err = graphmi(*words)
    assert status in (1, 2)
    assert err.startswith(f"graphmi: {sentence}")
    assert err.count("\n") == 1


def test_presets_are_listed(graphmi):
    status, out, _ = graphmi("presets")
    assert status == 0
    assert "interest-gcn" in out
    assert "arxiv.org/abs/2402.13495" in out


def test_data_commands_are_wired(graphmi):
    assert "ml-100k" in graphmi("data", "list")[1]
    assert "60 users, 80 items" in graphmi("data", "fetch", WORLD)[1]
    assert "interactions per user" in graphmi("data", "stats", WORLD)[1]
    assert graphmi("data")[0] == 0


def sizes(out):
    return [int(re.search(rf"│ {what} +│ (\d+)", out)[1]) for what in ("users", "items", "interactions")]


def test_stats_are_of_what_the_filter_keeps(graphmi, tmp_path):
    path = tmp_path / "clicks.csv"
    path.write_text("user_id,item_id,rating\na,x,5\na,x,5\na,y,4\nb,x,5\nb,y,1\nc,z,5\n")
    for words, expected in (
        ([], [3, 3, 6]),
        (["--filter.k_core", 1], [3, 3, 6]),
        (["--filter.k_core", 2], [2, 2, 4]),
        (["--filter.min_weight", 4], [3, 3, 4]),
        (["--filter.min_weight", 4, "--filter.k_core", 2, "--filter.iterate", "false"], [1, 1, 1]),
    ):
        status, out, err = graphmi("data", "stats", path, "--weight", "rating", *words)
        assert (status, err, sizes(out)) == (0, "", expected)
        assert (", filtered" in " ".join(out.split())) == (expected[2] < 6)


def test_columns_of_a_file_are_named_to_stats_as_to_train(graphmi, tmp_path):
    path, bare = tmp_path / "clicks.csv", tmp_path / "bare.csv"
    path.write_text("customer,7,user_id\na,1,x\nb,2,x\nb,1,x\n")
    bare.write_text("a,1\nb,2\nb,1\n")
    for words in (
        (path, "--columns.user", "customer", "--columns.item", "7"),
        (path, "--user", "customer", "--columns.item", "7"),
        (path, "--user", "customer", "--item", "7"),
        (bare, "--columns.columns", "user_id,item_id"),
        (bare, "--columns", "user_id,item_id"),
    ):
        status, out, err = graphmi("data", "stats", *words)
        assert (status, err) == (0, "")
        assert sizes(out) == [2, 2, 3]
    status, _, err = graphmi("data", "stats", path, "--columns.usr", "customer")
    assert (status, "has no option 'usr' (its options: user, item," in err) == (1, True)


# --- training


def test_run_folder_holds_what_a_reader_needs(trained):
    folder = trained("run", "lightgcn", "--seed", "7", "--trainer.epochs", "3", "--k", "5", "20")
    assert {path.name for path in folder.iterdir()} == {
        "config.yaml",
        "data.json",
        "metrics.csv",
        "model.safetensors",
        "per_user.safetensors",
        "result.json",
        "resume.pt",
        "tensorboard",
    }
    told = result(folder)
    assert told["seed"] == 7
    assert told["protocol"]["split"] == "leave-one-out"
    assert told["protocol"]["k"] == [5, 20]
    assert {"candidates", "seen items", "ndcg"} <= told["protocol"].keys()
    assert set(told["metrics"]) == set(told["valid_metrics"]) >= {"ndcg@5", "ndcg@20", "recall@20"}
    assert len(told["data"]["fingerprint"]) == 64
    assert told["data"]["train"] == 60 * 8
    assert told["num_parameters"] == (60 + 80) * 64 + 3 * 64  # centers, and one interest vector per layer
    assert told["versions"]["graphmi"] == __version__
    assert told["epochs"] == 3 == len(rows(folder))
    assert told["timings"]["train_seconds"] > 0
    assert told["config"] == yaml.safe_load((folder / "config.yaml").read_text())
    best = max(rows(folder), key=lambda row: float(row["ndcg@20"]))
    assert told["best_epoch"] == int(best["epoch"])
    assert told["valid_metrics"]["ndcg@20"] == float(best["ndcg@20"])


def test_groups_are_told_with_spread_and_intervals(trained):
    folder = trained()
    told, users = result(folder)["groups"], load_file(folder / "per_user.safetensors")
    for kind in ("diversity", "diversity-controlled"):
        group = told[f"{kind}/ndcg@20"]
        means = [users["ndcg@20"][users[f"group/{kind}"] == index].double().mean().item() for index in range(5)]
        assert group["mean"] == pytest.approx(means)
        assert group["gap"] == pytest.approx(max(means) - min(means))
        assert group["std"] == pytest.approx(math.sqrt(sum((m - sum(means) / 5) ** 2 for m in means) / 5))
        low, high = group["intervals"]["gap"]
        assert low <= high


def test_groups_are_chosen_by_option_and_told_in_the_protocol(trained, graphmi):
    assert result(trained())["protocol"]["groups"] == "5 by entropy of categories"
    options = ["--groups.num_groups", "3", "--groups.measure", "simpson", "--groups.by", "communities"]
    folder = trained("three", "mf", *options)
    assert result(folder)["protocol"]["groups"] == "3 by simpson of communities (seed 0)"
    users = load_file(folder / "per_user.safetensors")
    highest = [users["diversity"][users["group/diversity"] == group].max().item() for group in range(3)]
    assert highest == sorted(highest)
    assert len(result(folder)["groups"]["diversity/ndcg@20"]["mean"]) == 3
    assert graphmi("evaluate", folder)[::2] == (0, "")
    assert result(folder, "evaluation-test.json")["groups"] == result(folder)["groups"]
    assert "their protocols differ in 'groups'" in graphmi("compare", folder.with_name("run"), folder)[2]
    none = trained("none", "mf", "--groups.by", "none")
    assert result(none)["groups"] == {}
    assert result(none)["protocol"]["groups"] == "none"
    assert not {"diversity", "group/diversity"} & load_file(none / "per_user.safetensors").keys()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--groups.num_groups", "1"], "'num_groups' must be at least 2 (got 1)"),
        (["--groups.measure", "gini"], "'--groups.measure' must be one of"),
        (["--groups.num_group", "3"], "there is no option '--groups.num_group' (did you mean --groups.num_groups"),
    ],
)
def test_mistaken_options_of_groups_are_explained(graphmi, tmp_path, words, told):
    status, _, err = graphmi("train", "mf", *QUICK, "--out", tmp_path / "run", *words)
    assert status != 0
    assert told in err


def test_a_run_that_validates_for_a_sample_of_users_says_so(trained):
    sampled, everyone = (result(trained(n, "mf", "--valid_users", n)) for n in ("20", "2000"))
    assert sampled["valid_protocol"] == "mean over 20 of the 60 users with a target, drawn at random"
    assert everyone["valid_protocol"] == "mean over the users with a target"
    assert sampled["num_users"] == everyone["num_users"] == 60


def test_mean_over_users_is_the_metric(trained):
    folder = trained()
    users = load_file(folder / "per_user.safetensors")
    assert result(folder)["metrics"]["recall@20"] == pytest.approx(users["recall@20"].double().mean().item())


def test_users_who_do_not_train_are_counted_once(graphmi, tmp_path):
    rows = [f"{user},{(user + place) % 40}" for user in range(30) for place in range(4 if user < 10 else 9)]
    (tmp_path / "clicks.csv").write_text("\n".join(["user_id,item_id", *rows]))
    words = ["train", "comirec-sa", *QUICK, "--data", tmp_path / "clicks.csv", "--trainer.epochs", 1]
    told = "graphmi: 20 of 30 users train: the others have no more than 'min_history' training items (4)\n"
    assert graphmi(*words, "--out", tmp_path / "some")[::2] == (0, told)
    assert graphmi(*words, "--out", tmp_path / "other", "--seed", 1)[::2] == (0, "")
    assert graphmi(*words, "--out", tmp_path / "all", "--loader.min_history", 1)[::2] == (0, "")


def test_popularity_is_evaluated_only(graphmi, tmp_path):
    for name, text in {"one": f"data: {WORLD}\nseed: 3\ndescription: Mine.", "two": "seed: 4\nreplicates: 9"}.items():
        (tmp_path / f"{name}.yaml").write_text(text)
    files = ["--config", tmp_path / "one.yaml", "--config", tmp_path / "two.yaml"]  # each over what stands before it
    status, out, _ = graphmi("train", "popularity", *files, "--replicates", 0, "--out", tmp_path / "run")
    assert status == 0
    assert "Nothing to train" in out
    found = result(tmp_path / "run")
    assert found["num_parameters"] == 0
    assert [found["config"][name] for name in ("seed", "replicates", "description")] == [4, 0, "Mine."]


@pytest.mark.parametrize("preset", ["interest-gcn", "interest-gcn-softmax"])
def test_a_run_folder_alone_repeats_the_run(graphmi, trained, tmp_path, preset):
    first = trained("first", preset, "--seed", "5", "--split", "RandomSplit", "--split.seed", "2")
    status, _, _ = graphmi("train", "--config", first / "config.yaml", "--out", tmp_path / "second")
    assert status == 0
    assert_same_run(first, tmp_path / "second")
    assert (first / "config.yaml").read_text() == (tmp_path / "second" / "config.yaml").read_text()


def test_files_are_found_from_any_folder(graphmi, tmp_path, monkeypatch):
    pairs = [(user, (user * 3 + step * 7) % 20) for user in range(30) for step in range(6)]
    for name, steps in {"all": range(6), "train": range(4), "valid": [4], "test": [5]}.items():
        lines = [f"{user}\t{item}" for index, (user, item) in enumerate(pairs) if index % 6 in steps]
        (tmp_path / f"{name}.tsv").write_text("\n".join(["user_id\titem_id", *lines, ""]))
    monkeypatch.chdir(tmp_path)
    words = [
        "--split",
        "GivenSplit",
        "--split.train",
        "train.tsv",
        "--split.valid",
        "valid.tsv",
        "--split.test",
        "test.tsv",
    ]
    first = graphmi("train", "mf", "--data", "all.tsv", *words, "--trainer.epochs", 1, "--out", "first")
    assert first[::2] == (0, "")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert graphmi("train", "--config", "../first/config.yaml", "--out", "../second")[::2] == (0, "")
    assert_same_run(tmp_path / "first", tmp_path / "second")
    assert result(tmp_path / "first")["protocol"]["groups"] == "5 by entropy of communities (seed 0)"  # no categories


def test_columns_of_a_file_can_be_named(graphmi, tmp_path):
    lines = [f"u{user};{(user + step) % 9};{step}" for user in range(8) for step in range(4)]
    (tmp_path / "data.csv").write_text("\n".join(["who;what;when", *lines, ""]))
    columns = ["--columns.user", "who", "--columns.item", "what", "--columns.time", "when"]
    words = ["train", "popularity", "--data", tmp_path / "data.csv", *columns, "--out", tmp_path / "run"]
    assert graphmi(*words)[::2] == (0, "")
    assert result(tmp_path / "run")["protocol"]["order"] == "time"


def test_a_class_of_the_user_can_be_named(graphmi, tmp_path, monkeypatch):
    (tmp_path / "own_model.py").write_text(
        "from graphmi.models import InterestGCN\n"
        "class Own(InterestGCN):\n"
        "    def __init__(self, graph, width: int = 3):\n"
        "        super().__init__(graph, 1, width, 0)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    words = ["--model", "own_model.Own", "--model.width", "5", "--out", tmp_path / "run"]
    assert graphmi("train", "mf", *QUICK, *words)[::2] == (0, "")
    assert result(tmp_path / "run")["num_parameters"] == (60 + 80) * 5
    status, _, err = graphmi(
        "train", "mf", *QUICK, "--model", "own_model.Own", "--model.with", 5, "--out", tmp_path / "two"
    )
    assert (status, "did you mean --model.width?" in err) == (2, True)


OWN = """
from graphmi.models import InterestGCN
from graphmi.nn import Encoder, Selector
from graphmi.samplers import Sampler
class Unnamed(InterestGCN):
    def __init__(self, *args, extra: float = 1.0, **options):
        super().__init__(*args, **options)
class Late(InterestGCN):
    def __init__(self, dim: int = 8, graph=None):
        super().__init__(graph)
class Encoded(InterestGCN):
    def __init__(self, graph, encoder: Encoder | None = None):
        super().__init__(graph)
class Half(Selector):
    def __init__(self):
        super().__init__()
class Draws(Sampler):
    def __init__(self, graph):
        super().__init__()
DRAW = 1
class Untyped(Selector):
    def __init__(self, power):
        super().__init__()
    def forward(self, interests, anchor, interest_mask=None):
        return None
class Parts:
    def __init__(self, by: str = ""):
        self.by = by
    def __call__(self, interactions):
        return self.by
"""


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("--model own.Unnamed --model.extra 2", "no option '--model.extra' (the class needs a first argument with"),
        ("--model own.Unnamed", "'--model' cannot be made: the class needs a first argument with a name of its own"),
        ("--model own.Late --model.dim 2", "no option '--model.dim' (graphmi itself sets 'dim' of Late)"),
        ("--model own.Encoded --model.encoder own.Late", "'--model.encoder' must be an Encoder, and Late is none"),
        ("--loss.readout.selector own.Half", "cannot be Half, which is abstract: it lacks forward"),
        ("--sampler own.Draws", "'--sampler' cannot be Draws, which is abstract: it lacks forward, log_prob"),
        (
            "--sampler MixedSampler --sampler.samplers+ own.Draws",
            "'--sampler.samplers' cannot be Draws, which is abstract: it lacks forward, log_prob",
        ),
        ("--sampler own.Xyz", "no class is named 'own.Xyz' (there are own.Draws, own.Encoded, "),
        ("--sampler own.Draw", "'--sampler': no class is named 'own.Draw' (did you mean own.Draws?)"),
        ("--loss.readout.selector own.Untyped", "argument 'power' of Untyped needs a type, such as power: float"),
    ],
)
def test_what_does_not_fit_in_a_class_of_the_user_is_said(graphmi, tmp_path, monkeypatch, words, sentence):
    (tmp_path / "own.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    status, _, err = graphmi("train", "mf", *QUICK, *words.split(), "--out", tmp_path / "run")
    assert sentence in err
    assert (status, err.count("\n"), (tmp_path / "run").exists()) == (2, 1, False)


def test_a_split_of_the_user_gets_its_options_and_must_return_a_dataset(graphmi, tmp_path, monkeypatch):
    (tmp_path / "own.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    status, out, _ = graphmi("train", "mf", *QUICK, "--split", "own.Parts", "--print_config")
    assert (status, yaml.safe_load(out)["split"]["init_args"]) == (0, {"by": ""})
    status, _, err = graphmi("train", "mf", *QUICK, "--split", "own.Parts", "--out", tmp_path / "run")
    assert (status, err) == (1, "graphmi: Parts must return a Dataset (got a str)\n")


# --- interruption


def interrupt(monkeypatch, at, error=KeyboardInterrupt):
    """Raise Ctrl-C, or another error, at the ``at``-th step."""
    terms, steps = MultiInterestLoss.terms, iter(range(1, 10**6))

    def interrupted(*arguments):
        if next(steps) == at:
            raise error
        return terms(*arguments)

    monkeypatch.setattr(MultiInterestLoss, "terms", interrupted)


def test_interrupted_and_resumed_equals_uninterrupted(graphmi, trained, tmp_path, monkeypatch):
    whole = trained("whole", "interest-gcn", "--loader.batch_size", "100")
    with monkeypatch.context() as patch:
        interrupt(patch, at=5 * 2 + 3)  # 480 pairs are five steps an epoch
        words = ["train", "interest-gcn", *QUICK, "--loader.batch_size", "100", "--out", tmp_path / "my parts"]
        status, _, err = graphmi(*words)
    assert status == 130
    assert "the state after epoch 2 is kept" in err
    command = re.search(r"continue with: graphmi (.*)", err)[1]
    assert not (tmp_path / "my parts" / "result.json").exists()
    assert graphmi(*shlex.split(command))[::2] == (0, "")
    assert_same_run(whole, tmp_path / "my parts")


def test_the_same_words_with_resume_continue_too(graphmi, trained, tmp_path, monkeypatch):
    whole = trained("whole")
    words = ["train", "mf", *QUICK, "--out", tmp_path / "parts", "--resume"]
    with monkeypatch.context() as patch:
        interrupt(patch, at=1)
        status, _, err = graphmi(*words)  # nothing to resume: it starts
    assert status == 130
    assert f"there is no run in '{tmp_path / 'parts'}' to go on with: a new one begins" in err
    assert "no epoch was finished" in err
    for at in (1, 2):  # what goes wrong now leaves what there is, after an epoch and before
        with monkeypatch.context() as patch:
            interrupt(patch, at, ValueError("late"))
            assert graphmi(*words)[::2] == (1, "graphmi: late\n")
    assert graphmi(*words)[::2] == (0, "")
    assert_same_run(whole, tmp_path / "parts")


def test_a_finished_run_can_be_given_more_epochs(graphmi, trained):
    long = trained("long", "mf", "--trainer.epochs", "6")
    short = trained("short")
    words = ["--trainer.epochs", 6, "--description", "Trained for longer."]  # a description decides nothing
    assert graphmi("train", "--out", short, "--resume", *words)[0] == 0
    assert_same_run(long, short)
    assert result(short)["config"] == yaml.safe_load((short / "config.yaml").read_text())


def test_a_resumed_run_keeps_its_options(graphmi, trained):
    folder = trained("run", "mf", "--seed", "7")
    status, _, err = graphmi("train", "--out", folder, "--resume", "--trainer.learning_rate", 0.5)
    assert status == 2
    assert "'--trainer.learning_rate' is 0.5, but the run in" in err
    status, _, err = graphmi("train", "mf", *QUICK, "--out", folder, "--resume")  # a preset stands for all options
    assert (status, "'--seed' is 0, but the run in" in err) == (2, True)
    assert graphmi("train", "--out", folder, "--resume", "--description", "Mine.", "--paper", "None yet.")[0] == 0


@pytest.mark.parametrize(
    ("before", "now", "sentence"),
    [
        ("--trainer.epochs 3", "--trainer.epochs 2", "has 3 done: ask for 3 or more"),
        ("--trainer.epochs 3 --trainer.validate_every 2", "--trainer.epochs 6", "epoch 3 of the run in"),
        # Nothing changes, so that the second and the third validation are in vain.
        ("--trainer.learning_rate 1e-9", "--trainer.patience 2", "without improvement: ask for 3 or more"),
    ],
)
def test_a_resumed_run_would_have_come_by_the_epochs_that_are_done(graphmi, trained, before, now, sentence):
    folder = trained("run", "mf", *before.split())
    written = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    status, _, err = graphmi("train", "--out", folder, "--resume", *now.split())
    assert (status, err.count("\n"), sentence in err) == (2, 1, True)
    assert written == {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_refit_takes_the_best_epochs_of_a_run_and_trains_on_validation_too(graphmi, trained, tmp_path, monkeypatch):
    ranked, values = Experiment._validation, iter([0.1, 0.3, 0.2, 0.1])

    def validation(self, dataset):
        metrics = ranked(self, dataset)
        return lambda model: {**metrics(model), "ndcg@20": next(values)}

    with monkeypatch.context() as patch:
        patch.setattr(Experiment, "_validation", validation)
        first = trained("first", "interest-gcn", "--trainer.validate_every", "1")
    assert result(first)["best_epoch"] == 2
    status, out, err = graphmi("refit", first)
    assert (status, err) == (0, "")
    assert "The last of 2 epochs on training and validation." in out
    assert "validation" not in out.split("\n")[3]
    again, refit = result(tmp_path / "first-refit"), tmp_path / "first-refit"
    assert (again["epochs"], again["best_epoch"], again["valid_metrics"]) == (2, 2, {})
    assert f"{again['metrics']['recall@20']:.4f}" in out
    assert again["protocol"]["trained on"] == "training and validation"
    assert again["data"]["train"] == result(first)["data"]["train"] + result(first)["data"]["valid"]
    assert again["data"]["test"] == result(first)["data"]["test"]
    assert graphmi("evaluate", refit)[::2] == (0, "")
    assert result(refit, "evaluation-test.json")["metrics"] == again["metrics"]
    status, _, err = graphmi("evaluate", refit, "--split", "valid")
    assert (status, "validation items were trained on" in err) == (1, True)
    status, _, err = graphmi("compare", first, refit)
    assert (status, "differ in 'trained on' (unset and training and validation)" in err) == (1, True)
    assert graphmi("train", "--config", refit / "config.yaml", "--out", tmp_path / "repeated")[0] == 0
    assert_same_run(refit, tmp_path / "repeated")
    status, _, err = graphmi("refit", refit)
    assert (status, "'first-refit' is a refit already" in err.replace(f"{tmp_path}/", "")) == (2, True)
    assert graphmi("refit", refit, "--seed", "7", "--out", tmp_path / "other")[0] == 0
    assert result(tmp_path / "other")["seed"] == 7
    assert graphmi("compare", refit, tmp_path / "other")[0] == 0
    assert graphmi("report", refit, "--out", tmp_path / "report.html")[::2] == (0, "")
    assert graphmi("train", "--out", refit, "--resume", "--trainer.epochs", "3")[::2] == (0, "")
    assert result(refit)["best_epoch"] == 3
    status, _, err = graphmi("refit", first)
    assert (status, err.count("\n"), "first-refit" in err) == (1, 1, True)
    status, _, err = graphmi("explain", refit, "--split", "valid")
    assert (status, "validation items were trained on" in err) == (1, True)
    page = (tmp_path / "report.html").read_text()
    assert "validation trained on, too" in page
    assert "levelled off" not in page


def test_refit_on_all_is_a_run_to_be_served_and_not_measured(graphmi, trained, tmp_path, monkeypatch):
    first, served = trained("first"), tmp_path / "first-all"
    monkeypatch.setattr("graphmi.evaluator.Evaluator.__call__", None)  # whatever it would measure
    status, out, err = graphmi("refit", first, "--all")
    assert (status, err) == (0, "")
    assert "on training, validation and test" in out
    found = result(served)
    assert found["epochs"] == result(first)["best_epoch"]
    assert found["data"]["train"] == sum(result(first)["data"][name] for name in ("train", "valid", "test"))
    assert not {"metrics", "groups"} & set(found)
    assert not (served / "per_user.safetensors").exists()
    user = str(restore(RunFolder(first)).interactions.users.ids[0])
    for words in (["recommend", served, "--user", user], ["explain", served], ["explain", served, "--user", user]):
        assert graphmi(*words)[::2] == (0, "")
    shown = json.loads(graphmi("explain", served, "--user", user, "--json")[1])
    assert (shown["targets"], shown["diversity"]) == ([], None)
    assert graphmi("export", served, "--out", tmp_path / "vectors")[::2] == (0, "")
    again = tmp_path / "again"
    assert graphmi("train", "--config", served / "config.yaml", "--out", again)[::2] == (0, "")
    assert all(map(torch.equal, *(load_file(run / "model.safetensors").values() for run in (served, again))))
    for words, sentence in (
        (["compare", first, served], "was trained on the test items, too, so that nothing of it was measured"),
        (["report", served, "--out", tmp_path / "report.html"], "was trained on the test items, too"),
        (["evaluate", served], "so that nothing is left to be found"),
    ):
        status, _, err = graphmi(*words)
        assert (status, err.count("\n"), sentence in err) == (1, 1, True)
    status, _, err = graphmi("refit", served, "--all")
    assert (status, "'first-all' is a refit already" in err.replace(f"{tmp_path}/", "")) == (2, True)
    written = {path: path.stat().st_mtime_ns for path in served.rglob("*")}
    status, out, err = graphmi("refit", first, "--all", "--resume")
    assert (status, err, "on training, validation and test" in out) == (0, "", True)
    assert written == {path: path.stat().st_mtime_ns for path in served.rglob("*")}


def test_an_interrupted_refit_is_resumed(graphmi, trained, tmp_path, monkeypatch):
    first = trained("first")
    assert graphmi("refit", first, "--out", tmp_path / "whole")[0] == 0
    with monkeypatch.context() as patch:
        interrupt(patch, at=3)
        status, _, err = graphmi("refit", first)
    assert (status, "the state after epoch" in err) == (130, True)
    assert graphmi("refit", first, "--resume")[::2] == (0, "")
    assert_same_run(tmp_path / "whole", tmp_path / "first-refit")


def test_refits_of_seeds_are_one_model_though_each_has_its_best_epochs(graphmi, trained, tmp_path, monkeypatch):
    for seed in (0, 1):
        for name in ("popularity", "mf"):
            unread = [f"--trainer.{option}={2 + seed}" for option in ("epochs", "patience", "validate_every")]
            words = ["--seed", str(seed), *(unread if name == "mf" else [])]
            folder = trained(f"{name}-{seed}", name, *words)
            epochs = result(folder)["best_epoch"]
            (folder / "result.json").write_text(json.dumps({**result(folder), "best_epoch": epochs and 2 + seed}))
            assert graphmi("refit", folder)[::2] == (0, "")
    assert [result(tmp_path / f"mf-{seed}-refit")["epochs"] for seed in (0, 1)] == [2, 3]
    monkeypatch.setenv("COLUMNS", "160")
    status, out, err = graphmi("compare", *sorted(tmp_path.glob("*-refit")), "--seeds")
    assert (status, err) == (0, "")
    assert "mf less" in out.replace("\n", " ") or "popularity less" in out.replace("\n", " ")


def test_refit_takes_the_data_of_the_run_and_names_the_folder_after_it(graphmi, tmp_path, monkeypatch):
    table = tmp_path / "clicks.csv"
    rows = [f"{user},{item}" for user in range(12) for item in range(user, user + 5)]
    table.write_text("\n".join(["user_id,item_id", *rows]))
    words = ["--replicates", "0", "--seed", "3", "--out", tmp_path / "run"]
    assert graphmi("train", "popularity", "--data", table, *words)[0] == 0
    (tmp_path / "run" / "below").mkdir()
    for folder, words in (("run", ["."]), ("run/below", ["..", "--all", "--seed", "0"]), (".", ["run-refit", "--all"])):
        with monkeypatch.context() as patch:
            patch.chdir(tmp_path / folder)
            assert graphmi("refit", *words)[::2] == (0, "")
    seeds = {name: result(tmp_path / name)["seed"] for name in ("run-refit", "run-all", "run-refit-all")}
    assert seeds == {"run-refit": 3, "run-all": 0, "run-refit-all": 3}
    table.write_text("\n".join(["user_id,item_id", *rows, "0,19"]))
    status, _, err = graphmi("refit", tmp_path / "run", "--out", tmp_path / "other")
    assert (status, "is not what the run in" in err) == (1, True)
    assert not (tmp_path / "other").exists()
    status, _, err = graphmi("refit", tmp_path / "run")
    assert (status, f"'{tmp_path / 'run-refit'}' is not empty" in err) == (1, True)  # known before data is read


def test_refit_of_what_has_no_epochs_or_has_not_ended(graphmi, trained, tmp_path, monkeypatch):
    assert graphmi("refit", trained("first", "popularity"))[::2] == (0, "")
    assert result(tmp_path / "first-refit")["epochs"] == 0
    for folder, sentence in ((tmp_path / "none", "is not a run folder"), (tmp_path / "run", "the run has not ended")):
        if folder.name == "run":
            with monkeypatch.context() as patch:
                interrupt(patch, at=3)
                graphmi("train", "mf", *QUICK, "--out", folder)
        status, _, err = graphmi("refit", folder)
        assert (status, err.count("\n"), sentence in err) == (1, 1, True)


@pytest.mark.parametrize("form", ["80", 80])
def test_options_of_data_are_text_however_they_come(graphmi, tmp_path, form):
    """Folders of before have numbers."""
    words = ["train", "popularity", "--data", "planted", "--columns.num_users", "80", "--replicates", "0"]
    assert graphmi(*words, "--out", tmp_path / "run")[::2] == (0, "")
    config = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert config["columns"] == {"num_users": "80"}
    (tmp_path / "run" / "config.yaml").write_text(yaml.safe_dump({**config, "columns": {"num_users": form}}))
    assert graphmi(*words, "--out", tmp_path / "run", "--resume")[::2] == (0, "")


def test_a_resumed_run_removes_what_killed_processes_left(graphmi, trained):
    folder = trained()
    (folder / ".resume.pt.1a2b.part").write_bytes(b"half")
    assert graphmi("train", "--out", folder, "--resume", "--trainer.epochs", "5")[::2] == (0, "")
    assert not list(folder.glob(".*.part"))


def test_a_run_that_has_ended_is_shown_again_and_left_as_it_is(graphmi, trained, monkeypatch):
    folder = trained()
    assert graphmi("evaluate", folder, "--split", "valid")[0] == 0
    written = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    with monkeypatch.context() as patch:
        patch.setattr(Experiment, "train", None)
        status, out, err = graphmi("train", "--out", folder, "--resume")
    assert (status, err) == (0, "")
    assert f"{result(folder)['metrics']['ndcg@20']:.4f}" in out
    assert written == {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    made, kept = {path.name: path.read_bytes() for path in folder.glob("*.*")}, RunFolder(folder)
    for name in ("per_user.safetensors", "model.safetensors", "metrics.csv"):  # what is gone is made anew
        (folder / name).unlink()
        assert graphmi("train", "--out", folder, "--resume")[::2] == (0, "")
        assert (folder / name).read_bytes() == made[name]
    (folder / "model.safetensors").write_bytes(b"half")
    assert not is_whole(kept, tested=True)
    (folder / "model.safetensors").write_bytes(made["model.safetensors"])
    measured = {"metrics", "groups", "lists", "interests", "interest_share", "num_users"}
    for name in [*result(folder)]:  # and what is damaged
        kept.write_result({entry: value for entry, value in json.loads(made["result.json"]).items() if entry != name})
        assert not is_whole(kept, tested=True)
        assert is_whole(kept, tested=False) == (name in measured)
    assert graphmi("train", "--out", folder, "--resume")[::2] == (0, "")
    assert is_whole(kept, tested=True)


def test_a_last_epoch_that_was_not_validated_cannot_become_the_last(graphmi, tmp_path, monkeypatch):
    words = ["train", "mf", *QUICK, "--trainer.validate_every", "2", "--out", tmp_path / "run"]
    with monkeypatch.context() as patch:
        interrupt(patch, 3 * 1 + 1, ValueError("late"))  # what fails after an epoch can go on
        assert graphmi(*words)[0] == 1
    done = len(RunFolder(tmp_path / "run").read_state()["history"]["rows"])
    assert done % 2
    status, _, err = graphmi("train", "--out", tmp_path / "run", "--resume", "--trainer.epochs", done)
    assert (status, f"was not validated as the last: ask for more than {done}" in err) == (2, True)
    RunFolder(tmp_path / "run").write_state({"a": 1})
    status, _, err = graphmi("train", "--out", tmp_path / "run", "--resume")
    assert (status, err.count("\n"), "resume.pt' is damaged" in err) == (1, 1, True)


def test_a_folder_that_is_taken_while_the_data_is_read_stays_that_of_the_other(graphmi, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    describe = train.describe_data

    def another_first(*arguments):
        monkeypatch.setattr(train, "describe_data", describe)
        assert graphmi(*words, "--seed", 1)[0] == 0
        return describe(*arguments)

    for options, folders, status in (([], {"runs/mf": 1, "runs/mf-2": 0}, 0), (["--out", "mine"], {"mine": 1}, 1)):
        words = ["train", "mf", *QUICK, *options]
        monkeypatch.setattr(train, "describe_data", another_first)
        assert graphmi(*words, "--seed", 0)[0] == status
        for folder, seed in folders.items():
            assert result(tmp_path / folder)["seed"] == seed
            assert yaml.safe_load((tmp_path / folder / "config.yaml").read_text())["seed"] == seed


def test_nothing_is_overwritten(graphmi, trained):
    folder = trained()
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    status, _, err = graphmi("train", "mf", *QUICK, "--out", folder)
    assert status == 1
    assert "nothing there is overwritten" in err
    assert before == {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_a_loss_that_breaks_is_named(graphmi, tmp_path):
    words = ["--trainer.learning_rate", "1e30", "--trainer.epochs", "9", "--out", tmp_path / "run"]
    status, _, err = graphmi("train", "mf", *QUICK, *words)
    assert status == 1
    assert re.search(r"the loss term '\w+'( and '\w+')? is not finite at step \d+ of epoch \d+", err)


def test_without_a_folder_a_run_gets_a_free_one(graphmi, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("bam", "bam-2", "bam-3"):
        status, _, err = graphmi("train", "bam", *QUICK)
        assert (status, err) == (0, "")
        assert (tmp_path / "runs" / name / "result.json").exists()
    assert graphmi("train", "--model=Popularity", "--data", WORLD)[::2] == (0, "")
    assert (tmp_path / "runs" / "run" / "result.json").exists()


def test_where_no_folder_can_be_there_is_no_search_for_a_free_one(graphmi, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").symlink_to("gone")
    status, _, err = graphmi("train", "popularity", "--data", WORLD)
    assert (status, err.count("\n"), "'runs'" in err) == (1, 1, True)


def test_a_backbone_under_a_preset_stays_in_the_run_folder(graphmi, trained):
    folder = trained("mind", "bam", "--backbone", "mind")
    extractor = result(folder)["config"]["model"]["init_args"]["extractor"]
    assert extractor["class_path"].endswith("DynamicRoutingExtractor")
    status, out, _ = graphmi("evaluate", folder)
    assert status == 0
    assert f"{result(folder)['metrics']['recall@20']:.4f}" in out


# --- mistakes


@pytest.mark.parametrize(
    ("words", "status", "sentence"),
    [
        ("trian", 2, "no command is named 'trian' (did you mean train?)"),
        ("data lst", 2, "no data command is named 'lst' (did you mean list?)"),
        ("train lightgc DATA OUT", 2, "no preset is named 'lightgc' (did you mean lightgcn"),
        ("train DATA OUT", 2, "name a preset ("),
        (
            "train mf DATA OUT --backbone mind",
            2,
            "'--backbone mind' goes under the preset of a sequence model, and 'mf'",
        ),
        ("train bam DATA OUT --backbone mnd", 2, "no backbone is named 'mnd' (did you mean mind?)"),
        ("train bam DATA OUT --backbone=", 2, "no backbone is named ''"),
        ("train DATA OUT --backbone mind", 2, "'--backbone mind' goes under a preset"),
        ("train mf DATA --resume", 2, "'--out' is missing"),
        ("train mf DATA --out", 2, "argument --out: expected one argument"),
        ("train mf DATA --out ''", 2, "'--out' is empty: name a folder"),
        *((f"{command} run --out ''", 2, "'--out' is empty") for command in ("refit", "recommend", "export")),
        *((f"{command} run --out=", 2, "'--out' is empty") for command in ("compare", "report")),
        ("train mf DATA OUT --resum", 2, "there is no option '--resum' (did you mean --resume"),
        ("train", 2, "name a preset ("),
        ("train mf OUT", 2, "'--data' is missing"),
        (
            "train mf DATA OUT --trainer.epoch 3",
            2,
            "there is no option '--trainer.epoch' (did you mean --trainer.epochs",
        ),
        ("train mf DATA OUT --sed=3", 2, "there is no option '--sed' (did you mean --seed"),
        ("train popularity DATA OUT --loss.objective BPRLoss", 2, "'--loss' cannot be Loss, which is what its classes"),
        ("train popularity DATA OUT --sampler.num_negatives 3", 2, "class, and '--sampler' names none: see 'gra"),
        ("train mf DATA OUT --trainer.lr 3", 2, "(there are --trainer.epochs, --trainer.learning_rate"),
        ("train mf DATA OUT --model.Rescal 3", 2, "(did you mean --model.rescale?)"),
        ("train mf DATA OUT --trainer.sed 3", 2, "(did you mean --groups.seed or --seed?)"),
        ("train mf DATA OUT --model.num_interest 3", 2, "(did you mean --model.num_interests"),
        ("train mf DATA OUT --loader.batch_siz 3", 2, "(did you mean --loader.batch_size"),
        ("train mf DATA OUT --trainr.epochs 3", 2, "no option '--trainr.epochs' (did you mean --trainer.epochs?)"),
        ("train mf DATA OUT --trainer.optim.lr 3", 2, "no option '--trainer.optim' (did you mean --trainer.opt"),
        ("train mf DATA OUT --trainer.optimizr.lr 3", 2, "no option '--trainer.optimizr' (did you mean --trainer.opt"),
        (
            "train remi DATA OUT --loss.weight.beta 3",
            2,
            "no option '--loss.weight' (did you mean --loss.weighting?)",
        ),
        ("train remi DATA OUT --loss.readout.selectr.x 3", 2, "(did you mean --loss.readout.selector?)"),
        ("train remi DATA OUT --model.extrctor.heads=3", 2, "'--model.extrctor' (did you mean --model.extractor?)"),
        ("train remi DATA OUT --model.extractor.x 3", 2, "(there are --model.extractor.num_interests, --model.extr"),
        ("train mf DATA OUT --trainer.optimizer.x 3", 2, "(there are --trainer.optimizer.betas, --trainer.optimizer."),
        ("train mf DATA OUT --seed.x 3", 2, "there is no option '--seed.x': '--seed' is a value"),
        ("train mf DATA OUT --loader.device cpu", 2, "device' (graphmi itself sets 'device' of InteractionLoader)"),
        ("data stats planted --filter.k_core 0", 1, "'k_core' must be at least 1 (got 0)"),
        ("train mf DATA OUT --loss.objective.temperature 3", 2, "(BPRLoss has no options)"),
        ("train mf DATA OUT --trainer.gradient_clip nan", 2, "must be a finite number or null (got nan)"),
        ("train mf DATA OUT --trainer.gradient_clip x", 2, "must be float or null (got x)"),
        ("train mf DATA OUT --trainer.gradient_clip=-Inf", 2, "must be a finite number or null (got -Inf)"),
        ("train mf DATA OUT --trainer.learning_rate=-Infinity", 2, "must be a finite number (got -Infinity)"),
        (
            "train mf DATA OUT --trainer.learning_rate +inf",
            2,
            "'--trainer.learning_rate' must be a finite number (got +inf)",
        ),
        (
            "train mf DATA OUT --split RandomSplit --split.ratios .8",
            2,
            "must be a list in brackets, as in '[.8, .1, .1]' (got .8)\n",
        ),
        ("train mf DATA OUT --split RandomSplit --split.ratios [.8,.2]", 2, "a list with 3 elements in brackets"),
        ("train mf DATA OUT --split RandomSplit --split.ratios+ 3", 2, "no option '--split.ratios+' (did you mean --s"),
        ("train mf DATA OUT --loss.objective BPRLos", 2, "no class is named 'BPRLos' (did you mean BPRLoss"),
        ("train mf DATA OUT --trainer.scheduler LinearL", 2, "no class is named 'LinearL' (did you mean LinearLR"),
        ("train mf DATA OUT --model InterestGCM", 2, "no class is named 'InterestGCM' (did you mean InterestGCN"),
        ("train mf DATA OUT --model nosuch.Model", 2, "there is no module 'nosuch'"),
        ("train mf DATA OUT --model torch.nn.Linear", 2, "'--model.out_features' is missing"),
        ("train mf DATA OUT --model MultiInterestConv", 2, "'--model' must be a model, and MultiInterestConv is none"),
        ("train mf DATA OUT --sampler BPRLoss", 2, "'--sampler' must be a Sampler, and BPRLoss is none"),
        ("train mf DATA OUT --model.score best", 2, "'--model.score' must be one of 'user_virtual'"),
        (
            "train mf DATA OUT --loss.regularizers+ EmbeddingNorm",
            2,
            "an entry of '--loss.regularizers' must be Weighted (got EmbeddingNorm): write --loss.regularizers+ "
            "Weighted --loss.regularizers.weight WEIGHT --loss.regularizers.regularizer REGULARIZER",
        ),
        ("train mf DATA OUT --loss.regularizers+ EmbeddingNor", 2, "must be Weighted (got EmbeddingNor): write"),
        (
            "train mf DATA OUT --loss.regularizers+ Weighted --loss.regularizers.weight x",
            2,
            "'--loss.regularizers.weight' must be float (got x)",
        ),
        ("train mf DATA OUT --loss.regularizers+ Weighted", 2, "'--loss.regularizers.weight' is missing"),
        (
            "train mf DATA OUT --loss.regularizers EmbeddingNorm",
            2,
            "a list, to which '--loss.regularizers+' adds an entry (got EmbeddingNorm)",
        ),
        ("train mf DATA OUT --model.num_neighbors x", 2, "must be int, list or null (got x)"),
        ("train mf DATA OUT --model.num_layers null", 2, "'--model.num_layers' must be int (got None)"),
        ("train mf DATA OUT --seed x", 2, "'--seed' must be int (got x)"),
        ("train mf DATA OUT --seed '1. 2.'", 2, "'--seed' must be int (got 1. 2.)"),
        ("train mf DATA OUT --seed inf", 2, "'--seed' must be int (got inf)"),
        ("train mf DATA OUT --seed [[1],2]", 2, "'--seed' must be int (got [[1], 2])"),
        ("train mf DATA OUT --seed=", 2, "'--seed' must be int (got '')"),
        ("train mf DATA OUT --trainer.patience=", 2, "'--trainer.patience' must be int or null (got '')"),
        ("train mf DATA OUT --trainer.patience 'x. y'", 2, "'--trainer.patience' must be int or null (got x. y)"),
        ("train mf DATA OUT --loader null", 2, "'--loader' must be a class (got None)"),
        ("train mf DATA OUT --filter 3", 2, "'--filter' takes no value of its own (got 3): write --filter.NAME VALUE"),
        ("train mf DATA OUT --columns 3", 2, "'--columns' takes no value of its own (got 3): write"),
        ("train mf DATA OUT --model '{class_path: Interest'", 2, "no class is named '{class_path: Interest' (did"),
        ("train mf DATA OUT --model Interest-GCM", 2, "no class is named 'Interest-GCM' (did you mean InterestGCN"),
        ("train bam DATA OUT --model.extractor Extractor", 2, "'--model.extractor' cannot be Extractor, which is what"),
        ("train mf DATA OUT --k x", 2, "'--k' must be int (got x)"),
        ("train mf DATA OUT --trainer.patience x", 2, "'--trainer.patience' must be int or null (got x)"),
        ("train mf DATA OUT --trainer.compile x", 2, "must be 'default', 'reduce-overhead' or null (got x)"),
        ("train mf DATA OUT --trainer.kernels x", 2, "must be one of 'torch', 'triton' (got x)"),
        ("train mf DATA OUT extra", 2, "'extra' is one word too many"),
        ("train mf DATA OUT --trainer.epochs 0", 1, "'epochs' must be at least 1 (got 0)"),
        ("train mf DATA OUT --seed 18446744073709551616", 1, "'seed' must be below 2**63"),
        ("train mf DATA OUT --groups.seed 9223372036854775808", 1, "'seed' must be below 2**63"),
        ("train mf DATA OUT --model.embedding_dim 10000000000000", 1, "not enough memory for 5600000000000000 bytes"),
        ("train mf DATA OUT --model.embedding_dim 1000000000000000000", 1, "there is not enough memory: make"),
        ("train mf DATA OUT --loader.batch_size 0", 1, "'batch_size' must be at least 1 (got 0)"),
        ("train mf DATA OUT --loss.user_balance 2", 1, "'user_balance' must be from 0 to 1 (got 2.0)"),
        (
            "train mf DATA OUT --loss.weighting HardNegativeWeighting --loss.weighting.beta -1",
            1,
            "'beta' must be at least 0 (got -1.0)",
        ),
        ("train mf DATA OUT --k 0", 1, "'k' must be at least 1 (got 0)"),
        ("train mf DATA OUT --trainer.monitor ndcg@21", 1, "(did you mean ndcg@20"),
        ("train mf DATA OUT --filter.k_core 500", 1, "lower the limit"),
        ("train mf DATA OUT --config nosuch.yaml", 1, "'nosuch.yaml': No such file or directory"),
        ("train mf OUT --data nosuch.csv", 1, "no file and no data set is named 'nosuch.csv'"),
        ("train mf OUT --data plantd", 1, "did you mean planted"),
        ("train mf OUT --data=", 1, "no file and no data set is named ''"),
        ("train --out OUTSIDE --resume", 1, "is not a run folder: it has no config.yaml"),
        ("train mf --data nosuch.csv", 1, "no file and no data set is named 'nosuch.csv'"),
        ("evaluate", 2, "'graphmi evaluate' needs RUN: see graphmi evaluate --help"),
        ("compare", 2, "'graphmi compare' needs RUNS"),
        ("data fetch", 2, "'graphmi data fetch' needs NAME"),
        ("export OUTSIDE", 2, "'--out' is missing"),
        ("evaluate OUTSIDE", 1, "is not a run folder"),
        ("evaluate OUTSIDE --splt test", 2, "(did you mean --split"),
        ("evaluate OUTSIDE --spli test", 2, "(did you mean --split"),  # nor are options abbreviated
        ("evaluate OUTSIDE --xyz 3", 2, "there is no option '--xyz' (there are --help, "),
        ("evaluate OUTSIDE --split tests", 2, "'--split' must be one of 'valid', 'test' (got tests)"),
        ("compare OUTSIDE", 2, "name at least two run folders"),
        ("compare OUTSIDE OUTSIDE", 1, "is not a run folder"),
        ("report OUTSIDE", 1, "is not a run folder"),
    ],
)
def test_a_mistake_gets_one_sentence_and_leaves_nothing(graphmi, tmp_path, monkeypatch, words, status, sentence):
    monkeypatch.chdir(tmp_path)
    places = {"DATA": ["--data", WORLD], "OUT": ["--out", tmp_path / "run"], "OUTSIDE": [tmp_path / "none"]}
    spelled = [part for word in shlex.split(words) for part in places.get(word, [word])]
    got, out, err = graphmi(*spelled)
    assert sentence in err
    assert (got, out) == (status, "")
    assert err.startswith("graphmi: ")
    assert err.count("\n") == 1
    assert not any(tmp_path.iterdir())


def test_the_words_that_an_error_proposes_are_understood(graphmi, tmp_path):
    file, words = tmp_path / "clicks.csv", []
    file.write_text("user,item\n" + "".join(f"{user},{item}\n" for user in "abcd" for item in "efgh"))
    for column in ("user", "item"):
        status, _, err = graphmi("train", "popularity", "--data", file, "--out", tmp_path / "run", *words)
        assert (status, f"there is no column '{column}_id'" in err) == (1, True)
        words += shlex.split(re.search(r"--columns\S+(?=\))", err)[0])
    status, _, err = graphmi("train", "popularity", "--data", file, "--out", tmp_path / "run", *words)
    assert (status, err) == (0, "")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("sed: 3", "there is no option '--sed' (did you mean --seed"),
        ("loss:\n  init_args:\n    weightng:\n      init_args:\n        beta: 3", "(did you mean --loss.weighting?)"),
        ("trainer:\n  epoch: 3", "there is no option '--trainer.epoch' (did you mean --trainer.epochs"),
        ("model:\n  class_path: InterestGC", "no class is named 'InterestGC' (did you mean InterestGCN"),
        ("model: [1", "not valid YAML (line"),
        ("just words", "lines 'option: value'"),
        ("seed: 2020-13-01", "not valid YAML"),  # a date that there is not
        ("trainer: 3", "'--trainer' takes no value of its own (got 3): write --trainer.NAME VALUE"),
        ("filter: [k_core]", "'--filter' takes no value of its own (got ['k_core'])"),
        ("k: x", "'--k' must be int (got x)"),
        ("seed: null", "'--seed' must be int (got None)"),
        ("split:", "'--split' must be a class (got None)"),
        ("trainer: {monitor: null}", "'--trainer.monitor' must be str (got None)"),
        (
            "sampler: {class_path: MixedSampler, init_args: {samplers: [{class_path: MixedSampler, "
            "init_args: {samplers: [{class_path: UniformSampler, init_args: {num_negatives: null}}]}}]}}",
            "'--sampler.samplers.samplers.num_negatives' must be int (got None)",
        ),
        ("loader: {init_args: {batch_size: null}}", "'--loader.batch_size' must be int (got None)"),
        ("backbone: mind", "'backbone' in a file decides nothing: say '--backbone' on the command line"),
    ],
)
def test_a_mistake_in_a_file_gets_one_sentence(graphmi, tmp_path, text, sentence):
    (tmp_path / "my.yaml").write_text(text)
    status, _, err = graphmi("train", "mf", *QUICK, "--config", tmp_path / "my.yaml", "--out", tmp_path / "run")
    assert (status, sentence in err) == (2, True)
    assert not (tmp_path / "run").exists()


def test_a_file_in_another_encoding_gets_one_sentence(graphmi, tmp_path):
    (tmp_path / "my.yaml").write_text("seed: 3", encoding="utf-16")
    status, _, err = graphmi("train", "mf", *QUICK, "--config", tmp_path / "my.yaml", "--out", tmp_path / "run")
    assert (status, err) == (2, f"graphmi: '{tmp_path / 'my.yaml'}' is not UTF-8 text: save it as UTF-8\n")


@pytest.mark.parametrize("command", ["presets", f"data stats {WORLD}"])
def test_a_reader_who_has_seen_enough_is_no_mistake(command):
    read, write = os.pipe()
    os.close(read)
    with open(write, "w") as closed:  # noqa: PTH123 (it has no path)
        words = [sys.executable, "-m", "graphmi", *command.split()]
        done = subprocess.run(words, stdout=closed, stderr=subprocess.PIPE, timeout=60)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_output_without_utf_8_has_plain_bars_and_question_marks(monkeypatch, tmp_path, encoding):
    data = tmp_path / "名.csv"
    data.write_text("user_id,item_id\n" + "".join(f"{row // 9},{row % 7}\n" for row in range(90)))

    def said(encoding):
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding))
        assert cli.main(["data", "stats", str(data)]) == 0
        sys.stdout.seek(0)
        return sys.stdout.read()

    whole, some = said("utf-8"), said(encoding)
    assert "█" in whole
    assert "##" in some
    assert "名" in whole
    assert "?" in some
    assert len(some.splitlines()) == len(whole.splitlines())


def test_a_missing_dependency_says_what_to_install(graphmi, monkeypatch):
    monkeypatch.setitem(sys.modules, "yaml", None)
    monkeypatch.delitem(sys.modules, "graphmi.commands.presets", raising=False)
    status, _, err = graphmi("presets")
    assert (status, err) == (1, "graphmi: 'yaml' is not installed; run: pip install \"graphmi[train]\"\n")


def test_a_traceback_can_be_asked_for(monkeypatch):
    monkeypatch.setenv("GRAPHMI_TRACEBACK", "1")
    with pytest.raises(ValueError, match="no preset"):
        cli.main(["train", "nosuch", "--out", "x"])


# --- evaluation and comparison


def test_evaluate_says_what_training_said(graphmi, trained):
    folder = trained("run", "interest-gcn")
    status, out, err = graphmi("evaluate", folder)
    assert (status, err) == (0, "")
    assert "ndcg" in out
    again, told = result(folder, "evaluation-test.json"), result(folder)
    assert {name: again[name] for name in ("metrics", "groups", "protocol")} == {
        name: told[name] for name in ("metrics", "groups", "protocol")
    }
    assert graphmi("evaluate", folder, "--split", "valid", "--k", "3", "20")[0] == 0
    valid = result(folder, "evaluation-valid.json")
    assert valid["metrics"]["ndcg@20"] == told["valid_metrics"]["ndcg@20"]
    assert valid["protocol"]["k"] == [3, 20]


def test_a_run_from_elsewhere_is_evaluated_here(graphmi, trained, monkeypatch):
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    config = trained() / "config.yaml"
    text = config.read_text()
    for here, there in (("kernels: torch", "triton"), ("accelerator: cpu", "cuda"), ("precision: 32-true", "16-mixed")):
        assert text.count(here) == 1
        text = text.replace(here, f"{here.partition(' ')[0]} {there}")
    config.write_text(text)
    assert graphmi("evaluate", config.parent)[::2] == (0, "")
    assert result(config.parent, "evaluation-test.json")["metrics"] == result(config.parent)["metrics"]


def test_data_that_has_moved_is_named(graphmi, tmp_path):
    table = tmp_path / "log.csv"
    rows = [f"{user},{item}" for user in range(12) for item in range(user, user + 5)]
    table.write_text("\n".join(["user_id,item_id", *rows]))
    run = tmp_path / "run"
    assert graphmi("train", "popularity", "--data", table, "--replicates", "0", "--out", run)[::2] == (0, "")
    moved = table.rename(tmp_path / "moved.csv")
    for command, *words in (("evaluate",), ("recommend", "--user", "3"), ("export", "--out", tmp_path / "vectors")):
        status, _, err = graphmi(command, run, *words)
        assert (status, f"is not at '{table}': say with --data where it is" in err) == (1, True)
        assert graphmi(command, run, *words, "--data", moved)[::2] == (0, "")
    assert result(run, "evaluation-test.json")["metrics"] == result(run)["metrics"]
    moved.write_text("\n".join(["user_id,item_id", *rows, "0,15"]))
    status, _, err = graphmi("evaluate", run, "--data", moved)
    assert (status, "is not what the run in" in err) == (1, True)


def test_an_interrupted_run_and_a_refit_take_data_that_has_moved(graphmi, tmp_path, monkeypatch):
    table, rows = tmp_path / "clicks.csv", [f"{user},{item}" for user in range(12) for item in range(user, user + 5)]
    table.write_text("\n".join(["user_id,item_id", *rows]))
    words = ["--out", tmp_path / "run", "--trainer.accelerator", "cpu", "--replicates", "0"]
    with monkeypatch.context() as patch:
        interrupt(patch, at=2)
        assert graphmi("train", "mf", "--data", table, "--trainer.epochs", "3", *words)[0] == 130
    moved = str(table.rename(tmp_path / "moved.csv"))
    for words in (["train", "--out", tmp_path / "run", "--resume"], ["refit", tmp_path / "run"]):
        status, _, err = graphmi(*words)
        assert (status, "say with --data where it is" in err) == (1, True)
        assert graphmi(*words, "--data", moved)[::2] == (0, "")
        folder = RunFolder(tmp_path / ("run" if words[0] == "train" else "run-refit"))
        assert folder.read_result()["config"]["data"] == folder.read_result("data.json")["name"] == moved
        moved = str(Path(moved).rename(tmp_path / f"{words[0]}.csv"))
    opened = Mock(side_effect=graphmi_experiment.open_data)
    monkeypatch.setattr(graphmi_experiment, "open_data", opened)
    assert graphmi("refit", tmp_path / "run", "--all", "--data", moved)[::2] == (0, "")
    assert len(opened.mock_calls) == 1
    (tmp_path / "other.csv").write_text("\n".join(["user_id,item_id", *rows[1:]]))
    for words in (["train", "--out", tmp_path / "run", "--resume"], ["refit", tmp_path / "run", "--out", "new"]):
        status, _, err = graphmi(*words, "--data", tmp_path / "other.csv")
        assert (status, "is not what the run in" in err) == (1, True)


def test_files_that_have_moved_with_the_data_are_found(graphmi, tmp_path, monkeypatch):
    old, new, run = tmp_path / "old", tmp_path / "elsewhere" / "new", tmp_path / "run"
    (old / "parts").mkdir(parents=True)
    log = [f"{user},{(user + step) % 8}" for step in range(5) for user in range(10)]
    parts = {"parts/train": log[:30], "parts/valid": log[30:40], "parts/test": log[40:], "log": log}
    for name, rows in parts.items():
        (old / f"{name}.csv").write_text("\n".join(["user_id,item_id", *rows]))
    table = [f"{item},{'ab'[item % 2]},title {item}" for item in range(8)]
    (old / "items.csv").write_text("\n".join(["item_id,category,title", *table]))
    words = ["--data", old / "log.csv", "--columns.attributes", old / "items.csv", "--replicates", "0", "--out", run]
    words += ["--columns.user", "user_id"]
    split = [word for name in ("train", "valid", "test") for word in (f"--split.{name}", old / "parts" / f"{name}.csv")]
    assert graphmi("train", "popularity", *words, "--split", "GivenSplit", *split)[::2] == (0, "")
    new.parent.mkdir()
    old.rename(new)
    old.mkdir()
    monkeypatch.chdir(old)
    (new / "user_id").touch()  # the column is no file that has moved
    assert graphmi("evaluate", run, "--data", new / "log.csv")[::2] == (0, "")
    assert result(run, "evaluation-test.json")["metrics"] == result(run)["metrics"]
    assert "title 3" in graphmi("recommend", run, "--user", "4", "--data", new / "log.csv")[1]
    again = Path(shutil.copytree(run, tmp_path / "again"))
    (again / "result.json").unlink()  # as if interrupted
    assert graphmi("train", "--out", again, "--resume", "--data", new / "log.csv")[::2] == (0, "")
    assert result(again)["metrics"] == result(run)["metrics"]
    assert str(new / "parts" / "valid.csv") in (again / "config.yaml").read_text()
    (old / "parts").mkdir(parents=True)  # files that are where they were are taken, even so
    (old / "parts" / "test.csv").write_text("\n".join(["user_id,item_id", *log[41:]]))
    with pytest.raises(ValueError, match="is not what the run in"):
        restore(RunFolder(run), str(new / "log.csv"))
    (new / "parts" / "valid.csv").unlink()
    status, _, err = graphmi("evaluate", run, "--data", new / "log.csv")
    assert (status, str(old / "parts" / "valid.csv") in err) == (1, True)


def test_a_run_is_restored_for_questions_not_for_training(trained):
    folder = trained("run", "popularity", "--trainer.compile", "default")
    restored = restore_runs(Namespace(run=str(folder), data=None, beside=[], weights=None))
    assert isinstance(restored.model, Popularity)  # alone it stands beside nothing
    assert not restored.model.training
    assert restored.experiment.trainer.compile is None


def test_a_run_from_before_options_were_there_is_evaluated_as_it_was(graphmi, trained):
    config = trained() / "config.yaml"
    text, removed = re.subn(r"(?m)^ *(valid_users|repeat|iterate): .*\n", "", config.read_text())
    assert removed == 3
    config.write_text(text.replace("batch_size: 2048", "batch_size: 2048\n    generator: null\n    device: cpu"))
    assert graphmi("evaluate", config.parent)[::2] == (0, "")
    assert result(config.parent, "evaluation-test.json")["metrics"] == result(config.parent)["metrics"]


def test_weights_of_another_configuration_get_a_sentence(graphmi, trained):
    config = trained() / "config.yaml"
    config.write_text(config.read_text().replace("embedding_dim: 64", "embedding_dim: 32"))
    status, _, err = graphmi("evaluate", config.parent)
    assert (status, err.count("\n")) == (1, 1)
    assert f"the weights in '{config.parent}' do not fit the model in its config.yaml" in err


def test_mixed_precision_is_not_announced_by_others(trained, graphmi):
    heard = []
    handler = logging.Handler()
    handler.emit = lambda record: heard.append(record.getMessage())
    logger = logging.getLogger("lightning_fabric.utilities.rank_zero")
    logger.addHandler(handler)
    try:
        run = trained("run", "mf", "--trainer.precision", "bf16-mixed")
        assert graphmi("evaluate", run)[0] == 0
        assert heard == []
        logger.setLevel(logging.NOTSET)
        make_fabric("cpu", "bf16-mixed")
        assert heard == ["Using bfloat16 Automatic Mixed Precision (AMP)"]
    finally:
        logger.removeHandler(handler)


def test_a_warning_of_graphmi_is_a_sentence_and_others_have_their_place(graphmi):
    graphmi("--version")
    assert (
        warnings.formatwarning("nothing is learned", UserWarning, losses.__file__, 7) == "graphmi: nothing is learned\n"
    )
    assert warnings.formatwarning("old", FutureWarning, torch.__file__, 7).startswith(f"{torch.__file__}:7: FutureW")


def test_evaluate_refuses_other_data(graphmi, tmp_path):
    lines = [f"{user},{(user + step) % 9},{step}" for user in range(8) for step in range(4)]
    data = tmp_path / "data.csv"
    data.write_text("\n".join(["user_id,item_id,time", *lines, ""]))
    assert graphmi("train", "mf", "--data", data, "--trainer.epochs", 1, "--out", tmp_path / "run")[0] == 0
    data.write_text("\n".join(["user_id,item_id,time", *lines[::-1], "9,1,1", "9,2,2", "9,3,3", ""]))
    status, _, err = graphmi("evaluate", tmp_path / "run")
    assert status == 1
    assert "is not what the run in" in err
    status, _, err = graphmi("train", "--out", tmp_path / "run", "--resume", "--trainer.epochs", 2)
    assert status == 1
    assert "is not what the run in" in err


def test_a_run_that_goes_on_or_was_interrupted_is_not_asked(graphmi, trained, tmp_path, monkeypatch):
    folder = trained()
    assert graphmi("evaluate", folder)[::2] == (0, "")
    with monkeypatch.context() as patch:
        interrupt(patch, at=2)
        assert graphmi("train", "--out", folder, "--resume", "--trainer.epochs", 8)[0] == 130
    assert [path.name for path in folder.glob("*.json")] == ["data.json"]
    words = [("evaluate",), ("recommend", "--user", "1"), ("export", "--out", tmp_path / "vectors"), ("explain",)]
    for command, *options in words:
        status, _, err = graphmi(command, folder, *options)
        assert (status, "the run has not ended (continue it with --resume)" in err) == (1, True), command
    assert graphmi("train", "--out", folder, "--resume", "--trainer.epochs", 8)[::2] == (0, "")
    assert not (folder / "evaluation-test.json").exists()  # it was of other weights
    assert graphmi("evaluate", folder)[::2] == (0, "")


def test_a_run_killed_before_it_began_begins_with_resume(graphmi, tmp_path):
    RunFolder(tmp_path / "run").claim()
    (tmp_path / "run" / ".config.yaml.1a2b.part").touch()
    words = ["train", "mf", *QUICK, "--out", tmp_path / "run"]
    assert graphmi(*words)[0] == 1
    status, _, err = graphmi(*words, "--resume")
    assert (status, "there is no run in" in err) == (0, True)


def test_a_finished_run_without_a_state_is_left_as_it_is(graphmi, trained):
    folder = trained()
    (folder / "resume.pt").unlink()
    status, _, err = graphmi("train", "--out", folder, "--resume", "--trainer.epochs", 8)
    assert (status, "has ended, and no state to go on from is there" in err) == (2, True)
    assert graphmi("evaluate", folder)[::2] == (0, "")


def test_evaluate_needs_a_finished_epoch(graphmi, tmp_path, monkeypatch):
    interrupt(monkeypatch, at=1)
    assert graphmi("train", "mf", *QUICK, "--out", tmp_path / "run")[0] == 130
    status, _, err = graphmi("evaluate", tmp_path / "run")
    assert (status, "the run has not ended" in err) == (1, True)


def test_compare_tests_the_same_users(graphmi, trained, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    one, two = trained("one", "popularity"), trained("two", "mf", "--trainer.learning_rate", "0.02")
    status, out, err = graphmi("compare", one, two)
    assert (status, err) == (0, "")
    users = [load_file(folder / "per_user.safetensors") for folder in (one, two)]
    difference = (users[1]["recall@50"] - users[0]["recall@50"]).double()
    row = next(line for line in out.splitlines() if "recall@50" in line)
    assert f"{result(one)['metrics']['recall@50']:.4f}" in row
    assert f"{difference.mean():+.4f}".replace("0.", ".", 1) in row
    expected = stats.wilcoxon(difference.numpy()).pvalue
    assert ("<0.001" if expected < 0.001 else f"{expected:.3f}") in row
    gaps = [result(folder)["groups"]["diversity/ndcg@20"]["gap"] for folder in (one, two)]
    assert any(all(f"{gap:.4f}" in line for gap in gaps) for line in out.splitlines() if "gap" in line)
    assert graphmi("compare", one, two, one, "--metric", "recall@10")[0] == 0


def test_compare_refuses_what_does_not_mean_the_same(graphmi, trained):
    one = trained("one", "popularity")
    other_split = trained("two", "popularity", "--split", "RandomSplit")
    status, _, err = graphmi("compare", one, other_split)
    assert (status, "their protocols differ in" in err) == (1, True)
    other_ranking = trained("four", "popularity", "--repeat", "true")
    status, _, err = graphmi("compare", one, other_ranking)
    assert (status, "their protocols differ in 'seen items'" in err) == (1, True)
    other_data = trained("three", "popularity", "--columns.seed", "1")
    status, _, err = graphmi("compare", one, other_data)
    assert (status, "their data differ (fingerprints" in err) == (1, True)
    status, _, err = graphmi("compare", one, one, "--metric", "ndgc@20")
    assert (status, "did you mean ndcg@20" in err) == (2, True)


def test_users_without_training_are_refused_by_models_that_know_users_only(graphmi, tmp_path):
    words = ("--data", "planted:num_users=60", "--split", "HeldOutUsers", "--out", tmp_path / "run")
    status, _, error = graphmi("train", "lightgcn-softmax", *words)
    assert status == 1
    assert "reads histories" in error
    status, _, _ = graphmi("train", "popularity", *words[:-1], tmp_path / "other")
    assert status == 0


def test_recommend_to_users_to_somebody_else_and_to_all_in_a_file(graphmi, trained, tmp_path):
    run = trained("run", "interest-gcn")
    status, out, err = graphmi("recommend", run, "--user", "3", "7", "--k", "4")
    assert (status, err) == (0, "")
    assert "User 3" in out
    assert "User 7" in out
    assert re.search(r"│\s+4 │", out)
    assert not re.search(r"│\s+5 │", out)
    status, out, err = graphmi("recommend", run, "--history", "1", "2", "--k", "3", "--variety", "0.5", "--quota", "2")
    assert (status, err) == (0, "")
    assert "After 1, 2" in out
    for name, read in (("lists.csv", pl.read_csv), ("new/lists.parquet", pl.read_parquet)):
        status, out, err = graphmi("recommend", run, "--out", tmp_path / name, "--k", "5")
        assert (status, err) == (0, "")
        assert "300 recommendations for 60 users" in out
        table = read(tmp_path / name)
        assert len(table) == 300
        assert table["user_id"].n_unique() == 60


@pytest.mark.parametrize("name", ["ids.txt", "ids", "ids.csv", "ids.parquet"])
def test_users_of_a_file_get_the_lists_that_they_get_by_name(graphmi, trained, tmp_path, name):
    run, file = trained(), tmp_path / name
    ids = pl.DataFrame({"other": 7, "user_id": [31, 4, 31, 15]})
    if name.endswith(".parquet"):
        ids.write_parquet(file)
    else:
        file.write_text(ids.write_csv() if name.endswith(".csv") else "\ufeff31\r\n4\r\n\r\n 31\r\n031\r\n15")
    by_file, by_name = (
        graphmi("recommend", run, *words, "--k", "3") for words in (("--users", file), ("--user", "31", "4", "15"))
    )
    assert by_file == by_name
    assert by_file[::2] == (0, "")
    tables = []
    for words in (("--users", file), ("--user", "31", "4", "15")):
        assert "30 recommendations for 3 users" in graphmi("recommend", run, *words, "--out", tmp_path / "lists.csv")[1]
        tables.append((tmp_path / "lists.csv").read_bytes())
    assert tables[0] == tables[1]


def test_lists_that_were_written_name_the_users_of_other_lists(graphmi, tmp_path):
    table = tmp_path / "log.csv"
    rows = [f"{user},{item},shelf {item % 3}" for user in range(12) for item in range(user, user + 5)]
    table.write_text("\n".join(["customer,sku,shelf", *rows]))
    (tmp_path / "items.csv").write_text(
        "sku,title,kind\n" + "".join(f"{item},Tea {item},loose\n" for item in range(16))
    )
    columns = ["--columns.user", "customer", "--columns.item", "sku", "--columns.attributes", tmp_path / "items.csv"]
    words = ["train", "popularity", "--data", table, *columns, "--columns.category", "kind", "--replicates", "0"]
    assert graphmi(*words, "--out", tmp_path / "run")[::2] == (0, "")
    assert graphmi("recommend", tmp_path / "run", "--out", tmp_path / "lists.csv")[::2] == (0, "")
    status, out, err = graphmi("recommend", tmp_path / "run", "--users", tmp_path / "lists.csv", "--k", "2")
    assert (status, err, out.count("User ")) == (0, "", 12)
    assert "Tea 5" in out


def test_others_in_a_file_get_the_lists_that_their_histories_get(graphmi, tmp_path):
    run, file, log = tmp_path / "run", tmp_path / "new.csv", tmp_path / "log.csv"
    rows = [f"{user},{item},5" for user in range(12) for item in range(user, user + 5)]
    log.write_text("\n".join(["user_id,item_id,rating", *rows]))
    words = ["--trainer.epochs", "2", "--replicates", "0", "--data"]
    filters = ["--filter.min_weight", "1", "--filter.k_core", "2"]  # of items and users that training needs
    assert graphmi("train", "interest-gcn", *words, log, *filters, "--out", run)[::2] == (0, "")
    file.write_text("user_id,item_id,rating,time\n7,12,5,2\nx,3,5,1\n7,4,5,1\n7,99999,5,3\n7,5,0,3\ny,99999,5,1\n")
    status, out, err = graphmi("recommend", run, "--histories", file, "--k", "3", "--out", tmp_path / "lists.csv")
    assert (status, err) == (0, "")
    assert "6 recommendations for 2 of 3 users, by their items (1 of 4 are unknown to the run)" in out
    lists = pl.read_csv(tmp_path / "lists.csv")
    for user, history in (("7", ["4", "12"]), ("x", ["3"])):
        shown = graphmi("recommend", run, "--history", *history, "--k", "3")[1]
        for item in lists.filter(user_id=user)["item_id"]:
            assert f"│ {item} " in shown
    (tmp_path / "plain.csv").write_text("user_id,item_id\n7,12\n")
    status, _, err = graphmi("recommend", run, "--histories", tmp_path / "plain.csv", "--out", tmp_path / "lists.csv")
    assert (status, "leaves out weights below 1.0, and" in err) == (2, True)
    status, _, err = graphmi("recommend", run, "--histories", tmp_path / "none.csv", "--out", tmp_path / "lists.csv")
    assert (status, "no file and no data set is named" in err) == (1, True)
    for options in ([], ["--user", "1", "--out", tmp_path / "lists.csv"]):
        status, _, err = graphmi("recommend", run, "--histories", file, *options)
        assert (status, "needs --out: give these two alone" in err) == (2, True)
    run = tmp_path / "named"  # whose data has options of its own, not columns
    assert graphmi("train", "interest-gcn", *words, "planted", "--columns.num_users", "60", "--out", run)[0] == 0
    words = ["--histories", tmp_path / "plain.csv", "--out", tmp_path / "lists.csv"]
    assert graphmi("recommend", run, *words)[::2] == (0, "")


def test_paths_through_files_get_a_sentence(graphmi, trained, tmp_path):
    (tmp_path / "file").touch()
    run = trained()
    for words in (
        ["train", "mf", *QUICK, "--out", tmp_path / "file" / "run"],
        ["recommend", run, "--user", "1", "--out", tmp_path / "file" / "lists.csv"],
        ["report", run, "--out", tmp_path / "file" / "report.html"],
    ):
        status, _, err = graphmi(*words)
        assert (status, err.count("\n"), "is no folder, nor a path through folders alone: name another one" in err) == (
            1,
            1,
            True,
        )


def parquet(**columns):
    pl.DataFrame(columns).write_parquet(file := io.BytesIO())
    return file.getvalue()


def test_ids_of_a_parquet_file_are_taken_as_they_are(tmp_path):
    (tmp_path / "ids.parquet").write_bytes(parquet(user=["u1    ", "u2    "]))
    vocabulary = Vocabulary(pl.Series(["u1    ", "u2    "]))
    assert read_ids(tmp_path / "ids.parquet", vocabulary, "user").to_list() == ["u1    ", "u2    "]


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("ids.txt", b"", "there are no ids in '{}'"),
        ("ids.txt", b"\n \n", "there are no ids in '{}'"),
        ("ids.txt", b"3\nann\n60\nann\n", "2 of 3 ids in '{}' are not in the data: 'ann', '60'"),
        ("ids.txt", b"\xff\xfe3", "'{}' cannot be read: 'utf-8' codec can't decode"),
        ("ids.csv", b"", "'{}' cannot be read: empty "),
        ("ids.csv", b'user_id,title\n3,5" disk\n4,x\n', "'{}' cannot be read: a double quote within a field; quote"),
        ("ids.csv", b"user_id\n", "there are no ids in '{}'"),
        ("ids.csv", b"user,item\n3,4\n", "no column of '{}' is named 'user_id' (did you mean user?)"),
        ("ids.parquet", b"user_id\n3\n", "'{}' cannot be read: "),
        (
            "ids.parquet",
            parquet(user_id=[1.0, None]),
            "'{}' cannot be read: the ids has floating-point ids such as 1.0",
        ),
        ("nothing", None, "'{}': No such file or directory"),
    ],
)
def test_a_file_of_users_that_cannot_be_used_gets_a_sentence(graphmi, trained, tmp_path, name, content, sentence):
    file = tmp_path / name
    if content is not None:
        file.write_bytes(content)
    status, out, err = graphmi("recommend", trained(), "--users", file)
    assert (status in (1, 2), out, err.count("\n")) == (True, "", 1)
    assert err.startswith(f"graphmi: {sentence.format(file)}")


def test_names_in_brackets_are_shown_as_they_are(graphmi, tmp_path, monkeypatch):
    """Ids, titles, files and runs: none of them is markup. Titles of tables are broken into lines."""
    monkeypatch.chdir(tmp_path)
    lines = [f"u[/b]{user} " + " ".join(f"i[/b]{(user + step) % 9}" for step in range(4)) for user in range(8)]
    (tmp_path / "data[b].txt").write_text("\n".join([*lines, ""]))

    def titled(options):
        restored = restore_runs(options)
        ids = restored.interactions.items.ids
        return replace(restored, interactions=restored.interactions.with_titles(ids, "Title of " + ids))

    monkeypatch.setattr("graphmi.commands.recommend.restore_runs", titled)
    data = ("--data", "data[b].txt", "--columns.format", "sequences", "--out")
    for words, shown in (
        (("train", "popularity", *data, "run[b]"), ["data[b].txt"]),
        (("train", "popularity", *data, "two[b]"), ["'two[b]'"]),
        (("data", "stats", "data[b].txt", "--format", "sequences"), ["data[b].txt"]),
        (("evaluate", "run[b]"), ["run[b]"]),
        (("compare", "run[b]", "two[b]"), ["data[b].txt, test", "two[b] less run[b]", "Differences from run[b]"]),
        (("recommend", "run[b]", "--user", "u[/b]3"), ["User u[/b]3", "│ i[/b]", "Title of i[/b]"]),
        (("recommend", "run[b]", "--out", "lists[b].csv"), ["lists[b].csv"]),
        (("export", "run[b]", "--out", "vectors[b]"), ["vectors[b]"]),
    ):
        status, out, err = graphmi(*words)
        assert (status, err) == (0, "")
        assert all("".join(each.split()) in "".join(out.split()) for each in shown)


def test_recommend_refuses_a_folder_before_it_asks_the_model(graphmi, trained, tmp_path):
    (tmp_path / "lists.parquet").mkdir()
    status, _, err = graphmi("recommend", trained(), "--out", tmp_path / "lists.parquet")
    assert (status, err) == (
        2,
        f"graphmi: '--out' must name a file, and '{tmp_path / 'lists.parquet'}' is a folder\n",
    )


def test_export_gives_the_vectors_that_recommend_scores_with(graphmi, trained, tmp_path):
    run = trained("run", "interest-gcn")
    status, out, err = graphmi("export", run, "--out", tmp_path / "vectors")
    assert (status, err) == (0, "")
    assert "240 vectors of" in out
    (tmp_path / "file").touch()
    assert graphmi("export", run, "--out", tmp_path / "file")[::2] == (
        2,
        f"graphmi: '--out' must name a folder, and '{tmp_path / 'file'}' is a file\n",
    )
    users, items = (pl.read_parquet(tmp_path / "vectors" / f"{name}.parquet") for name in ("users", "items"))
    assert users["user_id"].unique().sort().to_list() == list(range(60))
    graphmi("recommend", run, "--user", "3", "--k", "1", "--repeat", "true", "--out", tmp_path / "best.csv")
    best = pl.read_csv(tmp_path / "best.csv").row(0, named=True)
    interests = users.filter(pl.col("user_id") == 3)
    scores = interests["vector"].to_numpy() @ items["vector"].to_numpy().T
    interest, place = divmod(int(scores.argmax()), len(items))
    assert (interests["interest"][interest], items["item_id"][place]) == (best["interest"], best["item_id"])
    assert scores.max() == pytest.approx(best["score"], rel=1e-5)


def test_a_program_gives_the_vectors_that_export_writes(graphmi, trained, tmp_path):
    run = trained("run", "comirec-sa", "--trainer.epochs", "1")
    assert graphmi("export", run, "--out", tmp_path, "--program")[::2] == (0, "")
    users, items = (pl.read_parquet(tmp_path / f"{name}.parquet") for name in ("users", "items"))
    data, program = restore(RunFolder(run)).interactions, torch.export.load(tmp_path / "interests.pt2").module()
    for user in (0, 7):
        bought = data.item[data.user == user][data.time[data.user == user].argsort()]
        row = [items["item_id"].to_list().index(item) for item in data.items.ids.gather(bought.numpy())]
        history = torch.tensor([row])
        found = program(history, torch.ones_like(history, dtype=torch.bool))[0]
        wanted = users.filter(pl.col("user_id") == user).sort("interest")["vector"].to_numpy()
        torch.testing.assert_close(found, torch.tensor(wanted))
    assert graphmi("export", trained("mf"), "--out", tmp_path / "none", "--program")[::2] == (
        1,
        "graphmi: to read users by some of their items ('max_length', 'fold_in', '--program') a graph model needs "
        "layers, LightGCN's weights and a 'center' other than 'edge_dot' (got 0 layers, its weights and 'node_dot')\n",
    )
    assert not (tmp_path / "none").exists()


def test_runs_beside_a_run_are_asked_together(graphmi, trained, tmp_path):
    """Scores of models add up, with their weights."""
    run, other, third = (
        trained(name, *words)
        for name, words in (("several", ("interest-gcn",)), ("mf", ("mf",)), ("sequences", ("gru4rec",)))
    )
    words = [run, "--beside", other, third, "--weights", "0.5", "2"]
    assert graphmi("export", *words, "--out", tmp_path / "all")[0] == 0
    scores = [best_scores(graphmi, each, tmp_path / each.name) for each in (run, other, third)]
    expected = scores[0] + 0.5 * scores[1] + 2.0 * scores[2]
    found = best_scores(graphmi, None, tmp_path / "all")
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    listed = tmp_path / "lists.csv"
    assert graphmi("recommend", *words, "--k", "1", "--repeat", "true", "--out", listed)[0] == 0
    assert pl.read_csv(listed)["score"].to_list() == pytest.approx(expected.max(1).tolist(), rel=1e-4)
    status, out, err = graphmi("evaluate", *words, "--split", "valid", "--k", "20")
    assert (status, err) == (0, "")
    assert "mf" in out
    result = json.loads((run / "evaluation-valid-beside.json").read_text())
    assert result["beside"] == [{"run": str(other), "weight": 0.5}, {"run": str(third), "weight": 2.0}]
    again = ["export", run, "--beside", other, other, "--out", tmp_path / "again"]  # a run may stand beside twice
    assert graphmi(*again)[0] == 0
    np.testing.assert_allclose(
        best_scores(graphmi, None, tmp_path / "again"), scores[0] + 2 * scores[1], rtol=1e-4, atol=1e-5
    )
    assert not (run / "evaluation-valid.json").exists()
    alone = [json.loads((each / "result.json").read_text())["valid_metrics"]["ndcg@20"] for each in (run, third)]
    assert result["metrics"]["ndcg@20"] not in alone
    words = ["explain", run, "--beside", other, "--user", "3", "--json"]
    status, out, err = graphmi(*words)
    assert (status, err) == (0, "")
    explained = json.loads(out)
    assert explained["run"] == f"{run} + {other}"
    assert len(explained["interests"]) == 4
    assert any(one["causes"] for one in explained["recommendations"])


def best_scores(graphmi, run, folder):
    """Return the scores that the exported vectors give, ``[num_users, num_items]``."""
    if run is not None:
        assert graphmi("export", run, "--out", folder)[0] == 0
    users, items = (pl.read_parquet(folder / f"{name}.parquet") for name in ("users", "items"))
    scores = users["vector"].to_numpy() @ items["vector"].to_numpy().T
    return np.stack([scores[(users["user_id"] == user).to_numpy()].max(0) for user in range(60)])


def test_runs_beside_a_run_have_its_data_and_weights(graphmi, trained, tmp_path):
    run, other = trained("run"), tmp_path / "other"
    words = ["--data", WORLD.replace("60", "61"), "--trainer.epochs", "1", "--replicates", "0", "--out", other]
    assert graphmi("train", "mf", *words)[0] == 0
    status, _, err = graphmi("evaluate", run, "--beside", other)
    assert status == 1
    assert err.startswith(f"graphmi: the data '{WORLD}' is not what the run in '{other}' was trained on")
    for words, got in (
        (["--beside", other, "--weights", "1", "2"], "1 runs and 2 weights"),
        (["--beside", other, run, "--weights", "1"], "2 runs and 1 weights"),
        (["--weights", "1"], "0 runs and 1 weights"),
    ):
        status, _, err = graphmi("recommend", run, "--user", "1", *words)
        assert (status, err) == (2, f"graphmi: give each run of '--beside' a weight (got {got})\n")
    status, _, err = graphmi("export", run, "--beside", run, "--weights", "0", "--out", tmp_path / "vectors")
    assert status == 1
    assert "give each model a positive weight" in err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "name users with --user"),
        (["--history", "1", "--user", "2"], "--history is for somebody else"),
        (["--out", "lists.txt"], "must end with .csv or .parquet"),
        (["--user", "1", "--users", "ids.txt"], "but not with both"),
        (["--user", "6000"], "no user has the id '6000' (nearest of the 60 ids: 59)"),
        (["--user", "3", "-7", "6000"], "no user has the id '-7' (nearest of the 60 ids: 0)"),
        (["--history", "x"], "no item has the id 'x': ids are whole numbers"),
        (["--user", "1", "--without", "-1"], "no item has the id '-1'"),
        (["--user", "1", "--k", "0"], "'k' must be at least 1 (got 0)"),
        (["--user", "1", "--k", str(2**63)], "'k' must be below 2**63 (got 9223372036854775808)"),
    ],
)
def test_recommend_says_what_is_wrong(graphmi, trained, words, sentence):
    status, out, err = graphmi("recommend", trained(), *words)
    assert status in (1, 2)
    assert out == ""
    assert sentence in err
    assert err.count("\n") == 1


def test_vectors_of_one_model_are_features_of_others(graphmi, trained, tmp_path):
    assert graphmi("export", trained("mf"), "--out", tmp_path)[0] == 0
    items = tmp_path / "items.parquet"
    status, out, _ = graphmi("data", "stats", WORLD, "--attributes", items)
    assert (status, "64 numbers, for 80 of the items" in out) == (0, True)
    assert "vectors" not in graphmi("data", "stats", WORLD)[1]
    words = ["--columns.attributes", items, "--model.item_tower", "FeatureSum"]
    runs = [trained(preset, preset, *words) for preset in ("sasrec", "interest-gcn")]
    for run in runs:
        assert load_file(run / "model.safetensors")["item_tower.map.weight"].size(1) == 68  # and four categories
        measured = result(run)["metrics"]
        assert graphmi("evaluate", run)[::2] == (0, "")
        assert result(run, "evaluation-test.json")["metrics"] == measured
        assert graphmi("recommend", run, "--history", "3", "9")[::2] == (0, "")
        assert graphmi("explain", run, "--user", "4")[::2] == (0, "")
    assert graphmi("compare", *runs)[::2] == (0, "")
    assert graphmi("export", *runs[:1], "--beside", runs[1], "--out", tmp_path / "both", "--program")[::2] == (0, "")
    items.rename(tmp_path / "moved.parquet")
    status, _, err = graphmi("evaluate", runs[0])
    assert (status, str(items) in err, err.count("\n")) == (1, True, 1)
