"""Arms that are tuned: the best trial by validation is what is tested, by the commands that docs/results.md has."""

import json
import sys
from importlib import import_module

import optuna
import pytest

from graphmi.cli import answer
from graphmi.config import preset_config

DATA = "planted:num_users=60,num_items=80,interactions_per_user=10"
WORDS = ("--data", DATA, "--option", "trainer__epochs=2", "--option", "replicates=0", "--out", "out")


@pytest.fixture
def run(monkeypatch):
    """Return what runs the comparison of sequences."""
    import sequences

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["sequences.py", *words, *WORDS])
        return answer(sequences.main)

    return run


def _trials(name):
    import optuna

    from graphmi.tuning.storage import open_storage

    return optuna.load_study(study_name=name, storage=open_storage(f"out/{name}.journal")).trials


def test_the_best_trial_is_tested(run, tmp_path, capsys):
    assert run("tune", "single", "--trials", "2") == 0
    trials = _trials("single")
    assert trials[0].params == {"dropout": 0.4, "temperature": 0.1, "learning_rate": 2e-3}
    best = max(trials, key=lambda trial: trial.value).user_attrs["options"]
    given = {**best, "trainer__epochs": 2, "replicates": 0}
    experiment = preset_config("comirec-sa", DATA, **given, seed=1).experiment()
    trained = experiment.train(experiment.dataset())

    assert run("test", "single", "--seeds", "2") == 0
    assert run("test", "popularity", "--seeds", "1") == 0
    assert run("tune", "single", "--trials", "2") == 0
    assert len(_trials("single")) == 2  # what is done is not done again
    capsys.readouterr()
    assert run("table") == 0
    assert "std, controlled" in capsys.readouterr().out
    found = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert set(found) == {"single", "popularity"}
    assert found["single"]["options"] == best
    assert found["single"]["ndcg@20"][0] == pytest.approx(trained.test.metrics["ndcg@20"])
    assert found["single"]["valid"][0] == pytest.approx(trained.valid["ndcg@20"])
    groups = trained.test.to_dict()["groups"]
    assert found["single"]["std"][0] == pytest.approx(groups["diversity/ndcg@20"]["std"])
    assert found["single"]["std, controlled"][0] == pytest.approx(groups["diversity-controlled/ndcg@20"]["std"])


def test_arms_are_compared_user_by_user(run, tmp_path, capsys):
    for name in ("single", "repelled"):
        assert run("tune", name, "--trials", "1") == run("test", name, "--seeds", "1") == 0
    assert run("table") == 0
    found = json.loads((tmp_path / "out" / "summary.json").read_text())
    difference, low, high, p = found["repelled less single"]
    assert difference == pytest.approx(found["repelled"]["ndcg@20"][0] - found["single"]["ndcg@20"][0], abs=1e-6)
    assert low <= difference <= high
    assert 0 <= p <= 1
    assert f"repelled less single, per user, mean of the seeds: {difference:+.4f}" in capsys.readouterr().out


def test_the_seed_of_the_search_is_left_out_unless_it_is_asked_for(run, tmp_path):
    assert run("test", "popularity", "--seeds", "2") == 0
    assert {path.name for path in (tmp_path / "out" / "popularity").iterdir()} == {"seed1", "seed2"}
    assert run("test", "popularity", "--seeds", "1", "--first-seed", "0") == 0
    assert (tmp_path / "out" / "popularity" / "seed0" / "result.json").exists()


def test_the_test_ends_the_search(run, capsys):
    for words in (("tune", "single", "--trials", "1"), ("test", "single", "--seeds", "1")):
        assert run(*words) == 0
    assert run("tune", "single", "--trials", "2") == 2
    assert "'single' was tested, which ended its search" in capsys.readouterr().err
    assert len(_trials("single")) == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["test", "drawn"], "'drawn' has no trial yet: tune it first"),
        (["tune", "bam"], "'bam' is tested as it is, nothing is searched in it"),
        (["tune"], "name an arm: single, single-plain"),
    ],
)
def test_a_wrong_step_is_one_sentence(run, capsys, words, message):
    assert run(*words) == 2
    assert message in capsys.readouterr().err


def test_the_first_trial_is_the_preset():
    import random_split
    from tuned import first_values

    values = first_values(random_split.ARMS["lightgcn-softmax"])
    assert values["loss__objective__temperature"] == 0.18  # as graphmi/presets/lightgcn-softmax.yaml has it
    assert values["loader__users_per_batch"] == 64
    assert "trainer__learning_rate" in values


def test_a_given_split(monkeypatch, tmp_path):
    import random_split

    monkeypatch.setattr(random_split, "step", lambda comparison, arguments: comparison)
    for words, split in ((("--train", "a", "--valid", "b", "--test", "c"), "GivenSplit"), ((), "RandomSplit")):
        monkeypatch.setattr(sys, "argv", ["random_split.py", "table", *words])
        comparison = random_split.main()
        assert comparison.runs.study.small["split"] == split
    assert comparison.runs.folder.parts == ("runs", "random-split", "ml-100k")


@pytest.mark.parametrize("name", ["sequences", "random_split", "last_item"])
def test_every_arm_is_valid(name, monkeypatch):
    from question import Cell

    comparison = import_module(name)
    monkeypatch.setattr(comparison, "step", lambda comparison, arguments: comparison)
    monkeypatch.setattr(sys, "argv", [f"{name}.py", "table", "--data", DATA])
    comparison = comparison.main()
    for arm in comparison.arms.values():
        options = {} if arm.space is None else arm.space(optuna.create_study().ask())
        comparison.runs.config(Cell(arm.preset, options), seed=0).experiment()
    assert {*comparison.pairs, *comparison.pairs.values()} <= {*comparison.arms}
