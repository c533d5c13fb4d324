"""The run folder: what is written can be read, nothing is overwritten, and nothing is ever half written."""

import csv
import json
import math

import pytest
import torch

from graphmi.run import RunFolder


@pytest.fixture
def folder(tmp_path):
    return RunFolder(tmp_path / "deep" / "run").require_empty()


def test_config_is_kept_as_text(folder):
    folder.write_config("seed: 3\n# ünïcode\n")
    assert folder.read_config() == "seed: 3\n# ünïcode\n"


def test_metrics_have_the_columns_of_all_rows(folder):
    folder.write_metrics([{"epoch": 1, "loss": 0.1}, {"epoch": 2, "loss": 1 / 3, "ndcg@20": 0.5}])
    with (folder.path / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows[0] == {"epoch": "1", "loss": "0.1", "ndcg@20": ""}
    assert float(rows[1]["loss"]) == 1 / 3  # not a digit is lost


def test_result_is_strict_json(folder):
    folder.write_result({"a": torch.tensor([1.5, math.nan]), "b": (1, "x"), "c": {"d": math.inf}, "e": None})
    text = (folder.path / "result.json").read_text()
    assert "NaN" not in text
    assert json.loads(text) == folder.read_result() == {"a": [1.5, None], "b": [1, "x"], "c": {"d": None}, "e": None}


def test_tensors_come_back_even_when_they_share_memory(folder):
    base = torch.arange(12.0).view(3, 4)
    folder.write_tensors("model", {"whole": base, "turned": base.t(), "row": base[1]})
    read = folder.read_tensors("model")
    assert torch.equal(read["turned"], base.t())
    assert torch.equal(read["row"], base[1])


def test_a_damaged_file_gets_a_sentence(folder):
    folder.write_config("")
    (folder.path / "model.safetensors").write_bytes(b"half")
    with pytest.raises(ValueError, match=r"model.safetensors' is damaged"):
        folder.read_tensors("model")


def test_state_is_read_without_pickle(folder):
    state = {"model": {"w": torch.ones(2)}, "history": {"rows": [{"loss": 0.5}]}, "optimizer": {"step": 3}}
    folder.write_state(state)
    read = folder.read_state()
    assert torch.equal(read["model"]["w"], torch.ones(2))
    assert read["history"] == state["history"]


def test_no_state_is_no_error(folder):
    assert folder.read_state() is None


@pytest.mark.parametrize("name", ["model", "per_user"])
def test_missing_files_get_a_sentence(folder, name):
    with pytest.raises(FileNotFoundError, match=rf"has no {name}.safetensors: the run has not ended"):
        folder.read_tensors(name)
    with pytest.raises(FileNotFoundError, match=r"has no result.json: the run has not ended"):
        folder.read_result()
    with pytest.raises(FileNotFoundError, match="is not a run folder"):
        folder.read_config()


def test_a_folder_with_content_is_refused(folder):
    folder.path.mkdir(parents=True)
    (folder.path / "note.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="nothing there is overwritten"):
        folder.require_empty()
    assert (folder.path / "note.txt").read_text() == "mine"


def test_a_file_is_refused_as_a_folder(tmp_path):
    (tmp_path / "run").write_text("mine")
    with pytest.raises(FileExistsError, match="not empty"):
        RunFolder(tmp_path / "run").require_empty()


def test_a_failed_write_leaves_the_old_file(folder):
    folder.write_state({"epoch": torch.ones(1)})
    with pytest.raises(Exception, match=r"pickle"):
        folder.write_state({"epoch": lambda: None})
    assert torch.equal(folder.read_state()["epoch"], torch.ones(1))


def test_a_failed_first_write_leaves_no_file(folder):
    with pytest.raises(Exception, match=r"pickle"):
        folder.write_state({"epoch": lambda: None})
    assert folder.read_state() is None
