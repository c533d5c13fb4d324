"""The run folder: what is written can be read, nothing is overwritten, and nothing is ever half written."""

import csv
import json
import math
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from unittest.mock import Mock

import polars
import pytest
import torch

from graphmi import atomic
from graphmi.atomic import replacing
from graphmi.cli import answer
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
    folder.write_result(
        {"a": torch.tensor([1.5, math.nan]), "b": (1, "x", -math.inf), "c": {"d": math.inf}, "e": [{"f": math.nan}]}
    )
    text = (folder.path / "result.json").read_text()
    assert "NaN" not in text
    assert (
        json.loads(text)
        == folder.read_result()
        == {"a": [1.5, None], "b": [1, "x", None], "c": {"d": None}, "e": [{"f": None}]}
    )


def test_tensors_come_back_even_when_they_share_memory(folder):
    base = torch.arange(12.0).view(3, 4)
    folder.write_tensors("model", {"whole": base, "turned": base.t(), "row": base[1]})
    read = folder.read_tensors("model")
    assert torch.equal(read["turned"], base.t())
    assert torch.equal(read["row"], base[1])


@pytest.mark.parametrize(
    ("name", "content", "read"),
    [
        ("model.safetensors", b"half", lambda folder: folder.read_tensors("model")),
        ("result.json", b'{"a": 1', lambda folder: folder.read_result()),
        ("result.json", b"", lambda folder: folder.read_result()),
        ("data.json", b"{}", lambda folder: folder.read_result("data.json")["fingerprint"]),
        ("data.json", b"7", lambda folder: folder.read_result("data.json")),
        ("resume.pt", b"", lambda folder: folder.read_state()),
        ("resume.pt", b"PK\x03\x04half", lambda folder: folder.read_state()),
        ("resume.pt", b"other", lambda folder: folder.read_state()),
        ("metrics.csv", b"epoch,loss\n1,x\n", lambda folder: folder.read_metrics()),
        ("config.yaml", "seed: 3".encode("utf-16"), lambda folder: folder.read_config()),
    ],
)
def test_a_damaged_file_gets_a_sentence(folder, name, content, read):
    folder.write_config("")
    (folder.path / name).write_bytes(content)
    with pytest.raises(ValueError, match=rf"^'{folder.path / name}' is damaged \([^\n]+\); train again$"):
        read(folder)


@pytest.mark.parametrize("text", ["", "[1", "- a list"])
def test_a_damaged_configuration_is_named(folder, text):
    folder.write_config(text)
    with pytest.raises(ValueError, match=rf"^'{folder.path}/config.yaml' is damaged \([^\n]+\); train again$"):
        folder.read_config()


def test_what_goes_on_has_no_result_until_it_ends(folder):
    folder.write_config("seed: 3")
    folder.write_result({})
    folder.write_result({}, "evaluation-test.json")
    folder.write_tensors("per_user", {})
    folder.write_tensors("model", {})
    folder.require_ended()
    folder.reopen()
    assert {path.name for path in folder.path.iterdir()} == {"config.yaml", "model.safetensors"}
    folder.require_ended()  # a copy without anything to resume from is asked as it is
    folder.write_state({})
    with pytest.raises(FileNotFoundError, match=r"has no result.json: the run has not ended"):
        folder.require_ended()


@pytest.mark.parametrize("content", ["", '{"fingerprint": "1a2b"}'])
def test_a_claim_without_a_run_is_known_from_files_of_others(folder, content):
    assert not folder.only_claimed  # nor is there a folder
    folder.claim()
    (folder.path / "data.json").write_text(content)
    (folder.path / ".config.yaml.1a2b.part").touch()
    assert folder.only_claimed
    (folder.path / "mine").touch()
    assert not folder.only_claimed
    (folder.path / "mine").unlink()
    (folder.path / "data.json").write_text('{"10": ["tea"]}')
    assert not folder.only_claimed


def test_what_resuming_writes_anew_is_said_to_be(tmp_path):
    folder = RunFolder(tmp_path / "my run")
    folder.write_config("")
    folder.write_state({})
    again = rf"to have it written anew: graphmi train --out '{folder.path}' --resume$"
    with pytest.raises(FileNotFoundError, match=r"has no result.json: the run has not ended"):
        folder.read_result()
    (folder.path / "result.json").write_text('{"metr')
    with pytest.raises(ValueError, match=rf"result.json' is damaged \([^\n]+\); {again}"):
        folder.read_result()
    folder.write_result({})
    with pytest.raises(ValueError, match=rf"result.json' is damaged \(it has no 'k'\); {again}"):
        folder.read_result()["k"]
    with pytest.raises(FileNotFoundError, match=rf"model.safetensors' is missing.*; {again}"):
        folder.read_tensors("model")
    with pytest.raises(FileNotFoundError, match=r"data.json' is missing.*; train again$"):
        folder.read_result("data.json")
    (folder.path / "config.yaml").unlink()  # as Experiment.train leaves it, which no command resumes
    with pytest.raises(FileNotFoundError, match=r"model.safetensors' is missing.*; train again$"):
        folder.read_tensors("model")


def test_what_is_missing_in_a_run_that_has_ended_is_not_said_to_come(folder):
    folder.write_result({})
    with pytest.raises(FileNotFoundError, match=r"per_user.safetensors' is missing.*; train again$"):
        folder.read_tensors("per_user")


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
    with pytest.raises(FileExistsError, match=r"run' is a file: name a folder$"):
        RunFolder(tmp_path / "run").require_empty()


def test_of_many_who_want_a_folder_at_once_one_gets_it(tmp_path):
    def claim(_):
        try:
            return RunFolder(tmp_path / "runs" / "one").claim() is not None
        except FileExistsError as error:
            assert "is not empty" in str(error)  # noqa: PT017
            return False

    with ThreadPoolExecutor(16) as pool:
        assert sum(pool.map(claim, range(64))) == 1


def test_an_empty_folder_can_be_claimed(tmp_path):
    assert RunFolder(tmp_path).claim().path == tmp_path


def test_two_who_replace_a_file_at_once_do_not_meet(tmp_path):
    with replacing(tmp_path / "file") as first, replacing(tmp_path / "file") as second:
        first.write_text("first")
        second.write_text("second")
        assert first.match(".file.*.part")  # which a run that goes on removes
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("file", "first")]


def test_a_file_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    there = []
    monkeypatch.setattr("os.fsync", lambda _: there.append((tmp_path / "file").exists()))
    with replacing(tmp_path / "file") as part:
        part.write_text("content")
    assert there == [False]


def test_what_cannot_be_replaced_is_named_and_nothing_is_left(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError) as caught, replacing(tmp_path / "folder") as part:
        part.write_text("content")
    assert caught.value.filename == str(tmp_path / "folder")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def write_almost_all(path):
    path.write_bytes(bytes(2**21 - 9))
    raise RuntimeError("it went wrong")


@pytest.mark.parametrize("ending", ["pt", "csv", "parquet", "other"])
def test_a_full_disk_is_told_as_the_system_tells_it(tmp_path, ending):
    resource = pytest.importorskip("resource")
    numbers, limits = torch.rand(5 * 10**5, dtype=torch.float64), resource.getrlimit(resource.RLIMIT_FSIZE)
    table = polars.DataFrame({"number": numbers.numpy()})
    write = {"pt": partial(torch.save, numbers), "csv": table.write_csv, "parquet": table.write_parquet}
    write["other"] = write_almost_all
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**21, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large") as caught, replacing(tmp_path / "file") as part:
            write[ending](part)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert caught.value.filename == str(tmp_path / "file")
    assert not any(tmp_path.iterdir())


def test_an_error_that_is_none_of_the_disk_stays(tmp_path):
    with pytest.raises(ZeroDivisionError), replacing(tmp_path / "file") as part:
        part.write_text(str(1 / 0))
    assert not any(tmp_path.iterdir())


def test_a_file_that_another_program_reads_is_replaced_when_it_is_done(tmp_path, monkeypatch):
    rename, refusals = Path.replace, [PermissionError(13, "Access is denied")] * 2

    def replace(part, path):
        if refusals:
            raise refusals.pop()
        return rename(part, path)

    monkeypatch.setattr(Path, "replace", replace)
    monkeypatch.setattr(atomic, "_WINDOWS", True)
    with replacing(tmp_path / "file") as part:
        part.write_text("new")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("file", "new")]


def test_a_file_that_another_program_keeps_open_is_named_with_the_remedy(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("old")
    refuse = Mock(side_effect=PermissionError(13, "Access is denied"))
    monkeypatch.setattr(Path, "replace", refuse)
    monkeypatch.setattr(atomic, "_PATIENCE", 0.1)
    monkeypatch.setattr(atomic, "_WINDOWS", True)

    def run():
        with replacing(tmp_path / "file") as part:
            part.write_text("new")

    assert answer(run) == 1
    assert capsys.readouterr().err == (
        f"graphmi: '{tmp_path / 'file'}': Access is denied (close the program that holds it; a run goes on with "
        "--resume)\n"
    )
    assert refuse.call_count > 1
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("file", "old")]


def test_where_no_program_keeps_a_file_nobody_waits(tmp_path, monkeypatch):
    refuse = Mock(side_effect=PermissionError(13, "Permission denied"))
    monkeypatch.setattr(Path, "replace", refuse)
    monkeypatch.setattr(atomic, "_WINDOWS", False)
    with pytest.raises(PermissionError, match="Permission denied"), replacing(tmp_path / "file") as part:
        part.write_text("new")
    assert refuse.call_count == 1


def test_a_failed_write_leaves_the_old_file(folder):
    folder.write_state({"epoch": torch.ones(1)})
    with pytest.raises(Exception, match=r"local object"):
        folder.write_state({"epoch": lambda: None})
    assert torch.equal(folder.read_state()["epoch"], torch.ones(1))


def test_a_failed_first_write_leaves_no_file(folder):
    with pytest.raises(Exception, match=r"local object"):
        folder.write_state({"epoch": lambda: None})
    assert folder.read_state() is None


def test_lack_of_memory_is_no_damage(folder):
    folder.write_result({})
    said = "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: you tried to allocate 3 bytes."
    with pytest.raises(RuntimeError, match="enforce fail"), folder.reading("result.json"):
        raise RuntimeError(said)
