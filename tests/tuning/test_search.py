import io
import math
import os
import re
import subprocess
import sys
from contextlib import nullcontext
from functools import partialmethod
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import optuna
import pytest
import torch
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState
from rich.console import Console

from graphmi.config import preset_texts, read_config
from graphmi.data import DataError, Dataset, DiversityGroups
from graphmi.experiment import Experiment, Fitted
from graphmi.history import History
from graphmi.run import RunFolder
from graphmi.tuning import Search, finish, get_option, mean_and_interval, orphans, require_searchable, write_best
from graphmi.tuning.orphans import end_orphans, mark, others_run
from graphmi.tuning.page import page
from graphmi.tuning.progress import SearchProgress
from graphmi.tuning.same import require_same
from graphmi.tuning.storage import open_storage
from graphmi.usage import UsageError

RATE = {"trainer.learning_rate": FloatDistribution(1e-4, 1e-1, log=True)}
WORDS = ["--data", "planted", "--trainer.epochs", "2", "--replicates", "0", "--trainer.progress", "false"]
WORDS += ["--columns.num_users", "80", "--columns.num_items", "120"]
WORDS += ["--columns.interactions_per_user", "9", "--k", "10", "20"]


def config(preset="mf", *words):
    return read_config(*preset_texts(preset), arguments=[*WORDS, *words])


def params(search):
    return [trial.params for trial in search.study.trials]


@pytest.fixture
def measured(monkeypatch):
    """Replace training: the metric is best at a learning rate of 0.01, and said after each of two epochs."""
    seen = []

    def fit(self, dataset, *, on_epoch=None, **_):
        value = 1 - abs(math.log10(self.trainer.learning_rate) + 2)
        seen.append(self.trainer.learning_rate)
        for epoch in (1, 2):
            on_epoch(epoch, {"ndcg@20": value})
        return Fitted(torch.nn.Identity(), History(epochs=2, best_epoch=2), {"ndcg@20": value, "recall@20": 0.5})

    monkeypatch.setattr(Experiment, "fit", fit)
    return seen


def test_the_first_trial_has_the_values_of_the_configuration(tmp_path, measured):
    space = {**RATE, "model.embedding_dim": CategoricalDistribution([8, 64])}
    search = Search(config(), space, tmp_path / "studies" / "s")
    search.run(trials=4, progress=False)
    assert search.study.trials[0].params == {"trainer.learning_rate": 1e-3, "model.embedding_dim": 64}
    assert len(measured) == 4
    assert {trial.user_attrs["process"] for trial in search.study.trials} == {os.getpid()}
    best = max(search.study.trials, key=lambda trial: trial.value)
    assert search.best_trial.number == best.number
    assert best.user_attrs.items() >= {"best_epoch": 2, "ndcg@20": best.value, "recall@20": 0.5, "seconds": 0.0}.items()
    assert best.value == pytest.approx(1 - abs(math.log10(best.params["trainer.learning_rate"]) + 2))


def test_values_of_the_configuration_outside_of_their_ranges_are_not_tried(tmp_path, measured):
    space = {
        "trainer.learning_rate": FloatDistribution(0.01, 0.1),
        "trainer.epochs": IntDistribution(1, 5),
        "trainer.gradient_clip": FloatDistribution(0.5, 5.0),  # null at first
        "model.num_neighbors": IntDistribution(1, 5),  # null, too
        "model.embedding_dim": CategoricalDistribution([8, 16]),
    }
    search = Search(config(), space, tmp_path / "s")
    assert search.first == {"trainer.epochs": 2}
    search.run(trials=1, progress=False)
    assert 0.01 <= measured[0] <= 0.1


def test_trials_show_no_bars_of_their_own(tmp_path, monkeypatch):
    def fit(self, dataset, **_):
        assert not self.trainer.progress
        return Fitted(torch.nn.Identity(), History(), {"ndcg@20": 0.5})

    monkeypatch.setattr(Experiment, "fit", fit)
    search = Search(config("mf", "--trainer.progress", "true"), RATE, tmp_path / "s")
    search.run(trials=1, progress=False)
    assert search.best_trial is not None


def test_the_front_is_in_the_order_of_the_metric(tmp_path):
    search = Search(config(), RATE, tmp_path / "s", spread=True)
    for values in ([0.1, 0.1], [0.3, 0.3], [0.2, 0.4], [0.2, 0.2]):
        drawn = {"trainer.learning_rate": values[0] / 10}
        search.study.add_trial(optuna.trial.create_trial(values=values, params=drawn, distributions=RATE))
    assert [trial.number for trial in search.front] == [1, 3, 0]
    for name in ("front-99", "front-of-mine"):  # of a trial that was on the front once, and of somebody else
        (tmp_path / "s" / f"{name}.yaml").touch()
    assert write_best(search).number == 1
    written = {path.stem: path.read_text() for path in (tmp_path / "s").glob("*.yaml")}
    assert written.pop("front-of-mine") == ""
    rates = {name: get_option(read_config(text).to_dict(), "trainer.learning_rate") for name, text in written.items()}
    assert rates == pytest.approx({"best": 0.03, "front-1": 0.03, "front-3": 0.02, "front-0": 0.01})


def test_a_search_in_parts_is_the_search_at_once(tmp_path, measured):
    whole = Search(config(), RATE, tmp_path / "whole")
    whole.run(trials=6, progress=False)
    for trials in (2, 3, 6, 6):
        parts = Search(config(), RATE, tmp_path / "parts")
        parts.run(trials=trials, progress=False)
    assert params(parts) == params(whole)
    assert len({trial["trainer.learning_rate"] for trial in params(whole)}) == 6  # no trial is tried twice
    other = Search(config(), RATE, tmp_path / "other", seed=5)
    other.run(trials=3, progress=False)
    assert params(other)[1:] != params(whole)[1:3]
    large = Search(config(), RATE, tmp_path / "large", seed=2**63 - 1)  # as a run can have it
    large.run(trials=2, progress=False)
    assert len(params(large)) == 2


def test_an_interrupted_trial_is_tried_again(tmp_path, measured, monkeypatch):
    search = Search(config(), RATE, tmp_path / "s")
    search.run(trials=2, progress=False)
    good = Experiment.fit
    monkeypatch.setattr(Experiment, "fit", Mock(side_effect=KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt, match="2 trials are kept"):
        search.run(trials=4, progress=False)
    monkeypatch.setattr(Experiment, "fit", good)
    again = Search(config(), RATE, tmp_path / "s")
    again.run(trials=4, progress=False)
    done = [trial.params for trial in again.study.trials if trial.state == TrialState.COMPLETE]
    assert len(done) == 4
    assert again.study.trials[2].params == done[2]
    whole = Search(config(), RATE, tmp_path / "whole")
    whole.run(trials=4, progress=False)
    assert done == params(whole)


@pytest.mark.parametrize("at", ["graphmi.experiment.Experiment.fit", "graphmi.tuning.search.mark"])
def test_the_first_trial_is_the_first_also_after_an_interruption(tmp_path, measured, monkeypatch, at):
    search = Search(config(), RATE, tmp_path / "s")
    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(at, Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            search.run(trials=1, progress=False)
    Search(config(), RATE, tmp_path / "s").run(trials=1, progress=False)
    assert measured == [1e-3]


def test_a_process_of_the_same_number_is_no_other_and_one_of_somebody_else_is_alive(tmp_path, monkeypatch):
    search = Search(config(), RATE, tmp_path / "s")
    search.study.enqueue_trial({"trainer.learning_rate": 0.02})
    mark(search.study.ask())  # of a process before this one, which was killed before it took them
    assert not others_run(search.study)
    trial = search.study.ask()
    mark(trial)
    trial.set_user_attr("process", 1)
    with monkeypatch.context() as meanwhile:
        meanwhile.setattr("graphmi.tuning.orphans.os.kill", Mock(side_effect=PermissionError))
        assert others_run(search.study)
    trial.set_user_attr("host", "elsewhere")
    assert not others_run(search.study)
    running = search.study.get_trials(states=(TrialState.RUNNING,))
    end_orphans(search.study)
    monkeypatch.setattr("graphmi.tuning.orphans._running", lambda study: running)  # a process that saw the same
    end_orphans(search.study)
    assert [trial.state for trial in search.study.trials] == [TrialState.FAIL, TrialState.RUNNING, TrialState.WAITING]
    assert search.study.trials[2].system_attrs["fixed_params"] == {"trainer.learning_rate": 0.02}


def test_trials_of_killed_processes_are_tried_again_and_others_left_alone(tmp_path, measured):
    search = Search(config(), RATE, tmp_path / "s")
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    here = os.uname().nodename
    for host, process in ((here, dead.pid), (here, os.getppid()), ("elsewhere", dead.pid)):
        trial = search.study.ask(search.space)
        trial.set_user_attr("host", host)
        trial.set_user_attr("process", process)
    end_orphans(search.study)
    states = [trial.state for trial in search.study.trials]
    assert states == [TrialState.FAIL, TrialState.RUNNING, TrialState.RUNNING, TrialState.WAITING]
    search.run(trials=3, progress=False)  # the one of the killed process, and two that others work on
    assert search.study.trials[3].params == search.study.trials[0].params
    assert len(measured) == 1
    trial = search.study.ask(search.space)
    mark(trial)
    trial.set_user_attr("process", dead.pid)
    search.run(trials=4, progress=False)
    assert [trial.state for trial in search.study.trials[4:]] == [TrialState.FAIL, TrialState.COMPLETE]


def test_on_windows_no_other_process_is_asked_whether_it_runs(tmp_path, measured, monkeypatch):
    """There os.kill ends a process, or fails in ways of its own."""
    search, kill = Search(config(), RATE, tmp_path / "s"), Mock(side_effect=OSError(87, "The parameter is incorrect"))
    windows = SimpleNamespace(name="nt", getpid=lambda: 7, kill=kill)
    monkeypatch.setattr(orphans, "os", windows)
    for process in (7, 8):
        trial = search.study.ask(search.space)
        mark(trial)
        trial.set_user_attr("process", process)
    end_orphans(search.study)
    assert [trial.state for trial in search.study.trials[:2]] == [TrialState.FAIL, TrialState.RUNNING]
    assert not others_run(search.study)
    kill.assert_not_called()


def test_bad_trials_end_early(tmp_path, monkeypatch):
    values = iter([0.5, 0.4, 0.3, 0.5, 0.5, 0.5, 0.1, 0.9])  # of few others the median says little

    def fit(self, dataset, *, on_epoch=None, **_):
        value = next(values)
        for epoch in (1, 2, 3):
            on_epoch(epoch, {"ndcg@20": value})
        return Fitted(torch.nn.Identity(), History(), {"ndcg@20": value})

    monkeypatch.setattr(Experiment, "fit", fit)
    search = Search(config(), RATE, tmp_path / "s")
    search.run(trials=8, progress=False)
    complete, pruned = TrialState.COMPLETE, TrialState.PRUNED
    assert [trial.state for trial in search.study.trials] == [*[complete] * 6, pruned, complete]
    assert search.best_trial.number == 7


def test_a_failure_is_recorded_and_passed_over_and_three_in_a_row_end_the_search(tmp_path, measured, monkeypatch):
    good, calls = Experiment.fit, []

    def fit(self, dataset, **options):
        calls.append(1)
        if len(calls) in (2, 4, 5, 6):
            if len(calls) == 5:
                search.study.ask()  # of another process
            raise torch.OutOfMemoryError(f"not enough memory ({len(calls)})\nand a second line")
        return good(self, dataset, **options)

    monkeypatch.setattr(Experiment, "fit", fit)
    search = Search(config(), RATE, tmp_path / "s")
    search.run(trials=3, progress=False)
    assert search.study.trials[1].state == TrialState.FAIL
    assert search.study.trials[1].user_attrs["error"] == "OutOfMemoryError: not enough memory (2)"
    assert search.best_trial is not None
    with pytest.raises(ValueError, match=r"last 3 trials failed, the latest with: OutOfMemoryError: .* \(6\)"):
        search.run(trials=20, progress=False)
    assert len(calls) == 6


def test_the_time_budget_leaves_one_trial(tmp_path, measured):
    search = Search(config(), RATE, tmp_path / "s")
    search.run(trials=5, minutes=0, progress=False)
    assert [trial.state for trial in search.study.trials] == [TrialState.COMPLETE]


def test_the_time_budget_is_in_minutes(tmp_path, monkeypatch):
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr("graphmi.tuning.search.time", SimpleNamespace(monotonic=lambda: clock.now))

    def fit(self, dataset, *, on_epoch, **_):
        clock.now += 25
        on_epoch(1, {"ndcg@20": 0.5})
        return Fitted(torch.nn.Identity(), History(), {"ndcg@20": 0.5})

    monkeypatch.setattr(Experiment, "fit", fit)
    search = Search(config(), RATE, tmp_path / "s")
    search.run(trials=9, minutes=1, progress=False)  # the third ends at its validation after 75 seconds
    complete, pruned = TrialState.COMPLETE, TrialState.PRUNED
    assert [trial.state for trial in search.study.trials] == [complete, complete, pruned]


def test_what_cannot_be_searched_is_refused(tmp_path):
    measure = ("data", "columns.num_users", "filter", "split.seed", "groups.by", "k", "repeat", "refit", "seed")
    measure += ("valid_users", "replicates")
    values = config().to_dict()
    for name in measure:
        with pytest.raises(UsageError, match=f"'{name}' decides on the data or the measure"):
            require_searchable(values, {name: FloatDistribution(0, 1)})
    with pytest.raises(UsageError, match="did you mean learning_rate"):
        Search(config(), {"trainer.learnin_rate": FloatDistribution(0, 1)}, tmp_path / "s")
    with pytest.raises(ValueError, match="'trials' must be at least 1"):
        Search(config(), RATE, tmp_path / "s").run(trials=0)
    with pytest.raises(ValueError, match=r"'seed' must be at least 0 \(got -1\)"):
        Search(config(), RATE, tmp_path / "s", seed=-1)
    with pytest.raises(UsageError, match="'refit' is on, and a search chooses by validation"):
        Search(config("mf", "--refit", "true"), RATE, tmp_path / "s")
    with pytest.raises(UsageError, match="has 1 objectives, and 2"):
        Search(config(), RATE, tmp_path / "s", spread=True)
    with pytest.raises(ValueError, match="is complete"):
        write_best(Search(config(), RATE, tmp_path / "s"))


def test_groups_that_cannot_be_leave_no_search_behind(tmp_path, monkeypatch):
    clicks = tmp_path / "clicks.csv"
    clicks.write_text(
        "user_id,item_id\n" + "".join(f"{user},{user + step}\n" for user in range(9) for step in range(4))
    )
    for by, error in (("categories", DataError), ("none", UsageError)):
        without = read_config(*preset_texts("mf"), arguments=["--data", str(clicks), "--groups.by", by])
        with pytest.raises(error, match=r"categories|a small spread needs groups"):
            Search(without, RATE, tmp_path / "s", spread=True)
        if by == "categories":  # of which the test would be the first to know, after the search
            with pytest.raises(DataError, match="categories"):
                Search(without, RATE, tmp_path / "s")
    assert list(tmp_path.iterdir()) == [clicks]
    monkeypatch.setattr(DiversityGroups, "values", lambda self, train: torch.tensor([1.0] + [math.nan] * 79))
    Search(config(), RATE, tmp_path / "s", spread=True)  # one user has a group


def test_processes_of_torchrun_are_no_processes_of_a_search(tmp_path, monkeypatch):
    for name, value in {"TORCHELASTIC_RUN_ID": "1", "WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match="start it several times instead of with torchrun"):
        Search(config(), {}, tmp_path / "study")
    assert not list(tmp_path.iterdir())


def test_trials_of_other_configurations_or_data_are_not_mixed(tmp_path, measured, monkeypatch):
    Search(config(), RATE, tmp_path / "s").run(trials=1, progress=False)
    for words, name in (
        (["--trainer.epochs", "3"], "trainer.epochs"),
        (["--sampler.num_negatives", "2"], "sampler.num_negatives"),
        (["--loss.objective", "BCELoss"], "loss.objective"),
    ):
        with pytest.raises(UsageError, match=f"'{name}' is not what the search"):
            Search(config("mf", *words), RATE, tmp_path / "s")
    monkeypatch.setattr(Dataset, "fingerprint", lambda self: "another")
    with pytest.raises(UsageError, match="'data' is not what the search"):
        Search(config(), RATE, tmp_path / "s").run(trials=2, progress=False)
    assert len(measured) == 1


def test_a_search_from_before_an_option_was_there_goes_on(tmp_path, measured):
    search = Search(config(), RATE, tmp_path / "s")
    search.run(trials=1, progress=False)
    older = {name: value for name, value in search.values.items() if name != "replicates"}
    older["trainer"] = {name: value for name, value in older["trainer"].items() if name != "kernels"}
    search.study.set_user_attr("config", older)
    with pytest.raises(UsageError, match="'replicates' is not what the search"):  # it had the default then, not 0
        Search(config(), RATE, tmp_path / "s")
    search.study.set_user_attr("config", {**older, "replicates": 0})
    (tmp_path / "s").rename(tmp_path / "renamed")
    Search(config(), RATE, tmp_path / "renamed").run(trials=2, progress=False)
    assert len(measured) == 2


def test_what_is_said_of_a_configuration_makes_no_other_search(tmp_path, measured, tested):
    for words in ([], ["--description", "Mine.", "--paper", "None yet."]):
        search = Search(config("mf", *words), RATE, tmp_path / "s")
        search.run(trials=1, progress=False)
        finish(search, seeds=1)
    assert len(measured) == 1


def test_other_ranges_are_refused_also_of_a_search_that_has_not_written_them_down(tmp_path, measured, monkeypatch):
    space = {**RATE, "model.embedding_dim": CategoricalDistribution([32, 64])}
    Search(config(), space, tmp_path / "new").run(trials=1, progress=False)
    with monkeypatch.context() as before:
        before.setattr("graphmi.tuning.search.require_same_space", lambda *_: None)
        Search(config(), space, tmp_path / "old").run(trials=1, progress=False)
    for out in (tmp_path / "new", tmp_path / "old"):
        for other in (RATE, {**space, "model.embedding_dim": CategoricalDistribution([32, 64, 128])}):
            with pytest.raises(UsageError, match=r"the range of 'model.embedding_dim' is not .* name another folder"):
                Search(config(), other, out)
        again = Search(config(), space, out)
        again.run(trials=2, progress=False)
        assert [trial.state for trial in again.study.trials] == [TrialState.COMPLETE] * 2


def test_a_trial_that_cannot_be_drawn_ends(tmp_path, measured, monkeypatch):
    search = Search(config(), RATE, tmp_path / "s")
    search.run(trials=1, progress=False)
    monkeypatch.setattr(optuna.samplers.TPESampler, "sample_independent", lambda *_: 1 / 0)
    with pytest.raises(ValueError, match="last 3 trials failed, the latest with: ZeroDivisionError"):
        search.run(trials=9, progress=False)
    assert [trial.state for trial in search.study.trials] == [TrialState.COMPLETE] + [TrialState.FAIL] * 3


def test_what_trials_have_in_common_is_compared_as_it_is_kept(tmp_path):
    study = optuna.create_study(storage=open_storage(str(tmp_path / "journal.log")))
    for entry in (3, 3, 4):
        with pytest.raises(UsageError, match=r"'b\.3' is not what") if entry == 4 else nullcontext():
            require_same(study, tmp_path, "config", {"a": (1, 2), "b": {entry: 5}})


def test_a_database_keeps_trials_too(tmp_path, measured):
    url = f"sqlite:///{tmp_path / 'study.db'}"
    Search(config(), RATE, tmp_path / "s", storage=url).run(trials=2, progress=False)
    assert open_storage(url).engine.pool.status() == "NullPool"  # no connection is held while a model trains
    again = Search(config(), RATE, tmp_path / "s", storage=url)
    assert len(again.study.trials) == 2
    assert not Search(config(), RATE, tmp_path / "other", storage=url).study.trials  # searches have names


def test_two_objectives_the_test_unseen_and_what_follows(tmp_path, monkeypatch, capsys):
    """For real: a search, its Pareto front, the best trained with two seeds and tested, and the page."""
    seen = []
    evaluator = Experiment._evaluator

    def watched(self, dataset, part, *rest):
        seen.append(part)
        return evaluator(self, dataset, part, *rest)

    monkeypatch.setattr(Experiment, "_evaluator", watched)
    space = {**RATE, "model.num_layers": IntDistribution(0, 1)}
    search = Search(config(), space, tmp_path / "s", spread=True)
    search.run(trials=3, progress=False)
    assert set(seen) == {"valid"}
    trials = search.study.trials
    for trial in trials:  # nothing on the front is beaten
        beaten = any(
            other.values[0] >= trial.values[0] and other.values[1] <= trial.values[1] and other.values != trial.values
            for other in trials
        )
        assert beaten == (trial.number not in {kept.number for kept in search.front})
    one = search.config(trials[0].params).experiment()
    dataset = one.dataset()
    again = one.evaluate(one.fit(dataset).model, dataset, "valid")
    assert trials[0].values[1] == pytest.approx(again.groups["diversity-controlled/ndcg@20"].std, abs=1e-9)

    text = finish(search, seeds=2).read_text()
    assert {file.stem for file in (tmp_path / "s").glob("front-*")} == {f"front-{one.number}" for one in search.front}
    best = read_config((tmp_path / "s" / "best.yaml").read_text()).to_dict()
    assert all(get_option(best, name) == value for name, value in search.best_trial.params.items())
    runs = [tmp_path / "s" / f"trial-{search.best_trial.number}-seed{seed}" / "result.json" for seed in (1, 2)]
    times = [run.stat().st_mtime_ns for run in runs]
    assert "Accuracy and spread" in text
    assert "with seeds 1, 2, which the search did not use" in text
    assert '<script src="http' not in text
    shown = capsys.readouterr().out
    assert "The run is in" not in shown  # what train says of each
    assert "recall@20" in shown
    assert "mrr@20" not in shown
    finish(search, seeds=2)
    assert [run.stat().st_mtime_ns for run in runs] == times, "nothing is trained twice"


@pytest.fixture
def tested(monkeypatch):
    """Replace training and test of the best: every metric is the seed."""

    def main(words):
        given = dict(zip(words[::2], words[1::2], strict=True))
        folder, best = RunFolder(given["--out"]), read_config(Path(given["--config"]).read_text(), arguments=words[4:])
        folder.write_config(best.text())
        folder.write_result({"fingerprint": best.experiment().dataset().fingerprint()}, "data.json")
        folder.write_result({"metrics": {"ndcg@20": float(given["--seed"])}})

    monkeypatch.setattr("graphmi.commands.train.main", main)


def test_the_best_is_tested_with_seeds_that_the_search_did_not_use(tmp_path, measured, tested, capsys):
    search = Search(config("mf", "--seed", "5"), RATE, tmp_path / "s")
    search.run(trials=1, progress=False)
    text = finish(search, seeds=2).read_text()
    assert "with seeds 6, 7, which the search did not use: ndcg@20 6.5000 ± 6.3531." in text  # t(1) = 12.7062, / 2
    assert "<td>trainer.learning_rate</td>" in text
    assert not list((tmp_path / "s").glob("front-*"))
    assert "95 % t interval" in capsys.readouterr().out
    text = finish(search, seeds=1).read_text()
    assert "with seed 6, which the search did not use: ndcg@20 6.0000." in text
    assert [mean_and_interval(values)[1] for values in ([6.0], [6.0, 6.0])] == pytest.approx([math.nan, 0], nan_ok=True)
    assert "interval" not in capsys.readouterr().out


def test_the_last_of_several_processes_tests_the_best(tmp_path, measured, tested, capsys):
    search = Search(config(), RATE, tmp_path / "s")
    search.run(trials=1, progress=False)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        trial = search.study.ask()
        mark(trial)
        trial.set_user_attr("process", other.pid)
        assert "Test of trial" not in finish(search, seeds=1).read_text()
        assert "Other processes still run trials" in capsys.readouterr().out
        finish(search, seeds=0)
        assert "Other processes" not in capsys.readouterr().out  # nobody waits for a test
        other.communicate(b"\n")
    assert "Test of trial 0 with seed 1" in finish(search, seeds=1).read_text()


def test_a_test_that_was_interrupted_is_resumed(tmp_path, measured, tested, monkeypatch):
    search = Search(config(), RATE, tmp_path / "s")
    search.run(trials=1, progress=False)
    finish(search, seeds=1)
    folder, asked = tmp_path / "s" / "trial-0-seed1", []
    result = RunFolder(folder).read_result()
    (folder / "result.json").unlink()

    def main(words):
        asked.append(words)
        RunFolder(folder).write_result(result)

    monkeypatch.setattr("graphmi.commands.train.main", main)
    finish(search, seeds=1)
    for name in ("config.yaml", "result.json"):  # as of a process that was killed when it had begun
        (folder / name).unlink()
    finish(search, seeds=1)
    assert [words[-1] for words in asked] == ["--resume"] * 2
    with pytest.raises(ValueError, match=r"'seeds' must be at least 0 \(got -1\)"):
        finish(search, seeds=-1)


def _written_by_another(folder, write, name, text):
    write(folder, name, "of another process" if name == "best.yaml" else text)


def test_the_best_is_trained_as_it_was_found_whatever_is_the_best_by_now(tmp_path, measured, tested, monkeypatch):
    search = Search(config(), RATE, tmp_path / "s")
    search.run(trials=2, progress=False)
    monkeypatch.setattr(RunFolder, "write_text", partialmethod(_written_by_another, RunFolder.write_text))
    finish(search, seeds=1)
    number = search.best_trial.number
    assert RunFolder(tmp_path / "s" / f"trial-{number}-seed1").read_config() == (
        search.config({**search.best_trial.params, "seed": 1}).text()
    )


def test_runs_of_another_search_are_not_shown_as_those_of_the_best(tmp_path, measured, tested, monkeypatch):
    def found(storage, *words):
        search = Search(config("mf", *words), RATE, tmp_path / "s", storage=str(tmp_path / storage))
        search.run(trials=1, progress=False)
        return finish(search, seeds=1)

    assert found("one") == found("again")
    with pytest.raises(UsageError, match=r"trial-0-seed1' has a run with other options .* name another folder"):
        found("two", "--trainer.learning_rate", "0.02")
    monkeypatch.setattr(Dataset, "fingerprint", lambda self: "another")
    with pytest.raises(UsageError, match=r"trial-0-seed1' has a run with other options or of other data"):
        found("three")


def test_what_was_killed_and_tried_again_is_no_failure_on_the_page():
    study = optuna.create_study(direction="maximize")
    for attribute in ("killed", "error"):
        trial = study.ask()
        trial.set_user_attr(attribute, True)
        study.tell(trial, state=TrialState.FAIL)
    study.tell(study.ask(), 0.5)
    assert "1 trials complete, 0 ended early, 1 failed" in page(study, "ndcg@20", {})


def studied(*values, directions=("maximize",), params=RATE):
    """Return a study named in brackets, of complete trials with these values and learning rates that grow."""
    study = optuna.create_study(study_name="<b>", directions=directions)
    for number, found in enumerate(values):
        drawn = dict.fromkeys(params, 10.0 ** (number - 4))
        reported = {1: found} if len(directions) == 1 else {}
        study.add_trial(
            optuna.trial.create_trial(
                params=drawn, distributions=params, values=[found, 1.0][: len(directions)], intermediate_values=reported
            )
        )
    return study


@pytest.mark.parametrize(
    ("study", "figures"),
    [
        (studied(0.1, 0.3, 0.2), ["Course", "What mattered", "Option by option", "Epoch by epoch"]),
        (
            studied(0.1, 0.3, 0.2, directions=("maximize", "minimize")),
            ["Accuracy and spread", "Course", "What mattered", "Option by option"],
        ),
        (studied(0.1), ["Course", "Epoch by epoch"]),
        (studied(0.2, 0.2), ["Course", "Epoch by epoch"]),  # nothing mattered
        (studied(0.1, 0.2, params={}), ["Course", "Epoch by epoch"]),
        (studied(), []),
    ],
)
def test_the_page_shows_what_the_trials_are_enough_for(study, figures):
    text = page(study, "n<20", {"a<b": "c<d"}, "Tested <so>.")
    assert re.findall("<h2>(.*?)</h2>", text) == ["Best options", *figures]
    assert text.count("plotly.js v") == bool(figures), "the library is in the page, once"
    shown = text[text.index("<title>") : text.index("</table>")]
    assert all(told in shown for told in ("<title>&lt;b&gt;</title>", "n&lt;20. Tested &lt;so&gt;.", "<td>a&lt;b</td>"))
    assert "<td>c&lt;d</td>" in shown
    assert "Optimization History Plot" not in text, "the headings are the titles"


def test_what_mattered_to_two_objectives_mattered_to_the_metric(monkeypatch):
    weighed = Mock(return_value=Mock(to_html=Mock(return_value="")))
    monkeypatch.setattr("graphmi.tuning.page.visualization.plot_param_importances", weighed)
    study = studied(0.1, 0.3, directions=("maximize", "minimize"))
    page(study, "ndcg@20", {})
    assert [weighed.call_args.kwargs["target"](trial) for trial in study.trials] == [-0.1, -0.3]  # low is good


optuna.logging.set_verbosity(optuna.logging.WARNING)


@pytest.mark.parametrize("terminal", [True, False])
def test_every_trial_has_a_line(terminal):
    study = optuna.create_study(direction="maximize")
    text = io.StringIO()
    with SearchProgress(3, "ndcg@20", console=Console(file=text, force_terminal=terminal, width=60)) as shown:
        for number, state in enumerate((TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)):
            shown.begin(number)
            trial = study.ask({"trainer.learning_rate": FloatDistribution(1e-3, 1e-3)})
            shown.epoch(1, 5, 0.25)
            if state == TrialState.FAIL:
                trial.set_user_attr("error", "MemoryError: no room")
            value = 0.25 if state == TrialState.COMPLETE else None
            shown.end(study.tell(trial, value, None if value else state), study.best_trial)
    lines = re.findall(r"trial \d+: ([^\n\x1b]*)", text.getvalue())
    best = "(best 0.2500, trial 0)  learning_rate 0.001"
    assert [line.rstrip() for line in lines] == [
        f"0.2500  {best}",
        f"ended early  {best}",
        f"failed: MemoryError: no room  {best}",
    ]


def test_a_line_tells_all_values_and_options_and_what_is_not_known():
    study, text = studied(0.125, directions=("maximize", "minimize"), params={}), io.StringIO()
    values = {"model.embedding_dim": 64, "loss.objective": "[b]", "trainer.learning_rate": 0.00123456}
    ranges = {name: CategoricalDistribution([value]) for name, value in values.items()}
    for state, error in ((TrialState.COMPLETE, {}), (TrialState.FAIL, {}), (TrialState.FAIL, {"error": "[/b]"})):
        found = [0.25, 2.0] if state == TrialState.COMPLETE else None
        study.add_trial(optuna.trial.create_trial(state=state, params=values, distributions=ranges, values=found,
                                                  user_attrs=error))  # fmt: skip
    with SearchProgress(3, "ndcg@20", console=Console(file=text)) as shown:
        for trial in study.trials[1:]:
            shown.end(trial, None)
    told = ("0.2500  2.0000", "failed: unknown", "failed: [/b]")
    options = "embedding_dim 64, objective [b], learning_rate 0.00123"
    assert text.getvalue() == "".join(f"trial {number}: {one}  {options}\n" for number, one in enumerate(told, 1))


def test_bars_show_trials_and_the_epochs_of_the_one_that_runs():
    def last(*calls, enabled=True):
        text = io.StringIO()
        console = Console(file=text, force_terminal=True, width=120)
        with SearchProgress(3, "ndcg@20", enabled=enabled, console=console) as shown:
            for name, *given in calls:
                getattr(shown, name)(*given)
        return text.getvalue().rpartition("trials")[2]

    seen = last(("begin", 1), ("epoch", 2, 5, 0.25))
    assert re.search(r"1/3.*\n.*2/5.*ndcg@20 0\.2500", seen)
    seen = last(("epoch", 2, 5, 0.25), ("begin", 2))
    assert re.search(r"2/3.*\n.*0/5", seen)
    assert "ndcg" not in seen
    assert last(("begin", 1), enabled=False) == ""
