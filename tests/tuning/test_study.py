"""The script for studies from outside, and where studies are kept."""

import runpy
import sys
from pathlib import Path

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from graphmi.tuning import Search
from graphmi.tuning.storage import open_storage

TUNING = Path(__file__).parents[2] / "tuning"
DATA = "planted:num_users=60,num_items=80,interactions_per_user=10"


@pytest.fixture
def study(monkeypatch, tmp_path):
    """Run the script with these words, without training, and return the exit status and the searches."""
    searches = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(TUNING)  # as Python does for a script
    monkeypatch.setattr(Search, "run", lambda search, *_, **__: searches.append(search))
    monkeypatch.setattr("graphmi.tuning.finish", lambda *_: Path("study.html"))

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["study.py", "mf", "--data", DATA, "--out", "s", *words])
        with pytest.raises(SystemExit) as stop:
            runpy.run_path(str(TUNING / "study.py"), run_name="__main__")
        return stop.value.code, searches

    yield run
    for module in ("ranges", "space"):
        sys.modules.pop(module, None)


@pytest.mark.parametrize(("words", "seed"), [(["--seed", "3"], 3), ([], 5)])
def test_options_stand_over_a_file(study, tmp_path, words, seed):
    (tmp_path / "my.yaml").write_text("data: planted\nseed: 5\ntrainer: {epochs: 7, patience: 9}\n")
    status, [search] = study("--config", "my.yaml", "--trainer.epochs", "2", *words)
    assert status == 0
    assert (search.values["data"], search.values["seed"], search.seed) == (DATA, seed, seed)
    assert (search.values["trainer"]["epochs"], search.values["trainer"]["patience"]) == (2, 9)


def test_ranges_of_parts_that_were_replaced_are_left_out(study):
    status, [whole] = study()
    assert status == 0
    _, [_, less] = study("--out", "other", "--loss.regularizers", "[]")
    assert (
        {*whole.space} - {*less.space}
        == {name for name in whole.space if name.startswith("loss.regularizers")}
        != set()
    )


@pytest.mark.parametrize(
    ("option", "value", "least"),
    [("--seeds", "-1", 0), ("--minutes", "nan", 0), ("--minutes", "-1", 0), ("--trials", "0", 1)],
)
def test_limits_out_of_range_are_refused_and_leave_nothing(study, capsys, tmp_path, option, value, least):
    assert study(option, value) == (2, [])
    assert f"'{option}' must be at least {least} (got {value}" in capsys.readouterr().err
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize(
    ("word", "range_"),
    [
        ("trainer.learning_rate=1e-4:1e-2:log", FloatDistribution(1e-4, 1e-2, log=True)),
        ("trainer.learning_rate=0:1.5", FloatDistribution(0.0, 1.5)),
        ("trainer.learning_rate=1:4:log", FloatDistribution(1, 4, log=True)),
        ("model.embedding_dim=8:512:log", IntDistribution(8, 512, log=True)),
        ("sampler.num_negatives=1:4", IntDistribution(1, 4)),
        ("model.embedding_dim=8,64", CategoricalDistribution([8, 64])),
        ("trainer.gradient_clip=null,1e-1", CategoricalDistribution([None, 0.1])),
        ("loss.objective=BPRLoss,BCELoss", CategoricalDistribution(["BPRLoss", "BCELoss"])),
    ],
)
def test_ranges_are_given_over_those_of_the_preset(study, word, range_):
    status, [search] = study("--range", word)
    name = word.partition("=")[0]
    assert (status, search.space[name]) == (0, range_)
    assert {"model.embedding_dim", "trainer.learning_rate", "loss.regularizers.EmbeddingNorm.weight"} <= {*search.space}


def test_a_grid_is_all_combinations_once_and_nothing_else(study):
    words = ["--range", "trainer.learning_rate=1e-3,1e-2,1e-1", "--range", "model.embedding_dim=8,16", "--grid"]
    for _ in range(2):
        status, searches = study(*words)
        waiting = [trial.system_attrs["fixed_params"] for trial in searches[-1].study.trials]
        assert status == 0
        assert [(point["trainer.learning_rate"], point["model.embedding_dim"]) for point in waiting] == [
            (rate, dim) for rate in (1e-3, 1e-2, 1e-1) for dim in (8, 16)
        ]
        assert all(len(point) == 2 for point in waiting)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--range", "trainer.learning_rate"], "'--range trainer.learning_rate' is no range: write NAME=LOW:HIGH"),
        (["--range", "model.embedding_dim=8,,9"], "is no range"),
        (["--range", "model.embedding_dim=9:8"], "is no range"),
        (["--range", "trainer.learning_rate=0:1:log"], "is no range"),
        (["--range", "trainer.learning_rate=0:nan"], "is no range"),
        (["--range", "trainer.learning_rate=1:2:lin"], "is no range"),
        (["--range", "model.embedding_dim=0.5:2"], "'--model.embedding_dim' must be int (got 0.5)"),
        (["--range", "trainer.learnin_rate=1,2"], "did you mean learning_rate"),
        (["--range", "seed=1,2"], "'seed' decides on the data"),
        (["--range", "k=5,10"], "'k' decides on the data"),
        (["--grid"], "'--grid' goes over lists of values: add --range NAME=VALUE,VALUE"),
        (["--grid", "--range", "trainer.learning_rate=0:1"], "the range of 'trainer.learning_rate' is none"),
    ],
)
def test_a_wrong_range_is_one_sentence_and_begins_no_study(study, capsys, words, message):
    assert study(*words) == (2, [])
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
    assert not Path("s").exists()


def test_data_that_cannot_be_used_leaves_no_study_behind(study, capsys):
    assert study("--columns.num_user", "9") == (1, [])
    assert "has no option 'num_user'" in capsys.readouterr().err
    assert not Path("s").exists()
    assert study("--columns.num_users", "70")[0] == 0


@pytest.mark.parametrize(
    "name", ["foo://bar", "sqlite:////nosuch/x.db", "sqlite:///plain.csv", "plain.csv", "list.json"]
)
def test_what_is_no_storage_is_named(name, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for file, text in {"plain.csv": "a,b\n1,2\n", "list.json": "[1]\n"}.items():
        (tmp_path / file).write_text(text)
    with pytest.raises(ValueError, match=rf"^the storage '{name}' cannot be opened \(\w+: .*\): name the URL"):
        open_storage(name)
    assert (tmp_path / "plain.csv").read_text() == "a,b\n1,2\n"


def test_a_password_is_not_repeated():
    with pytest.raises(ValueError, match=r"the storage 'sqlite://me:\*\*\*@host/db' cannot be opened") as raised:
        open_storage("sqlite://me:secret@host/db")
    assert "secret" not in str(raised.value)


def test_a_journal_that_cannot_be_written_is_told_as_the_system_tells_it(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(FileExistsError):
        open_storage(str(tmp_path / "file" / "journal.log"))
