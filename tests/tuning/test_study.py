"""The script for studies from outside, and where studies are kept."""

import runpy
import sys
from pathlib import Path

import pytest

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
    sys.modules.pop("space", None)


@pytest.mark.parametrize(("words", "seed"), [(["--seed", "3"], 3), ([], 5)])
def test_options_stand_over_a_file(study, tmp_path, words, seed):
    (tmp_path / "my.yaml").write_text("data: planted\nseed: 5\ntrainer: {epochs: 7, patience: 9}\n")
    status, [search] = study("--config", "my.yaml", "--trainer.epochs", "2", *words)
    assert status == 0
    assert (search.values["data"], search.values["seed"], search.seed) == (DATA, seed, seed)
    assert (search.values["trainer"]["epochs"], search.values["trainer"]["patience"]) == (2, 9)


@pytest.mark.parametrize("words", [["--seeds", "-1"], ["--minutes", "nan"], ["--minutes", "-1"]])
def test_limits_out_of_range_are_refused(study, capsys, words):
    assert study(*words) == (2, [])
    assert f"'{words[0]}' must be at least 0 (got {words[1]}" in capsys.readouterr().err


@pytest.mark.parametrize(
    "name", ["foo://bar", "sqlite:////nosuch/x.db", "sqlite:///plain.csv", "plain.csv", "list.json"]
)
def test_what_is_no_storage_is_named(name, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for file, text in {"plain.csv": "a,b\n1,2\n", "list.json": "[1]\n"}.items():
        (tmp_path / file).write_text(text)
    with pytest.raises(ValueError, match=rf"^the storage '{name}' cannot be opened \(.*\): name the URL"):
        open_storage(name)
    assert (tmp_path / "plain.csv").read_text() == "a,b\n1,2\n"
