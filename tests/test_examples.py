"""Every example runs, on little data and for little time."""

import re
import runpy
import sys
from pathlib import Path

import pytest
import torch

from graphmi import cli
from graphmi.run import RunFolder

EXAMPLES = Path(__file__).parent.parent / "examples"
DATA = "planted:num_users=60,num_items=80,interactions_per_user=10"
SHOWN_ELSEWHERE = {"quickstart.py", "layer_in_your_gnn.py"}  # test_documents.py
NAMES = sorted(path.name for path in EXAMPLES.glob("*.py") if path.name not in SHOWN_ELSEWHERE)


@pytest.fixture
def example(monkeypatch, tmp_path):
    """Run an example with these words, and return its exit status."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(EXAMPLES)  # as Python does for a script

    def run(*words):
        monkeypatch.setattr(sys, "argv", list(words))
        with pytest.raises(SystemExit) as stop:
            runpy.run_path(str(EXAMPLES / words[0]), run_name="__main__")
        return stop.value.code

    return run


@pytest.mark.parametrize("name", NAMES)
def test_an_example_runs(name, example, capsys):
    assert example(name, "--data", DATA, "--epochs", "1") == 0
    assert re.search(r"\d\.\d{2}", capsys.readouterr().out)


@pytest.mark.parametrize("name", [*NAMES, "quickstart.py"])
def test_a_mistake_gets_one_sentence(name, example, capsys):
    assert example(name, "--data", "nosuch") == 1
    assert re.fullmatch(r"graphmi: no file and no data set is named 'nosuch'.*\n", capsys.readouterr().err)


def test_the_quickstart_goes_on_with_the_same_data_only(example, capsys, tmp_path, monkeypatch):
    for drawing in ("save_figures", "build_report"):  # takes its time
        monkeypatch.setattr(f"graphmi.report.{drawing}", lambda *_: [])
    words = ["quickstart.py", "--epochs", "2", "--out", "runs", "--data"]
    run = RunFolder(tmp_path / "runs" / "interest-gcn-softmax")
    assert example(*words, DATA) == 0
    rows = (run.path / "metrics.csv").read_bytes()
    assert example(*words, f"{DATA},seed=7") == 1
    assert "is not what the run in" in capsys.readouterr().err
    assert run.read_result()["config"]["data"] == run.read_result("data.json")["name"] == DATA
    assert example(*words, DATA) == 0
    assert (run.path / "metrics.csv").read_bytes() == rows, "nothing is trained twice"


@pytest.mark.parametrize("name", NAMES)
def test_an_example_says_how_to_run_it(name):
    text = (EXAMPLES / name).read_text()
    assert f"    python examples/{name}" in text
    assert len(text.splitlines()) <= 120


class TestCustomSelector:
    @pytest.fixture(autouse=True)
    def _on_the_import_path(self, monkeypatch):
        monkeypatch.syspath_prepend(EXAMPLES)
        yield
        sys.modules.pop("custom_selector", None)

    def test_on_the_command_line(self, capsys, tmp_path):
        options = f"--data {DATA} --trainer.epochs 1 --trainer.accelerator cpu --replicates 0 --out {tmp_path}/run"
        selector = "custom_selector.TopTwoSelector --loss.readout.selector.temperature 2"
        words = f"train comirec-sa {options} --loss.readout.selector {selector}"
        assert cli.main(words.split()) == 0, capsys.readouterr().err
        used = RunFolder(tmp_path / "run").read_result()["config"]["loss"]["init_args"]["readout"]["init_args"]
        assert used["selector"] == {"class_path": "custom_selector.TopTwoSelector", "init_args": {"temperature": 2.0}}

    def test_two_share_the_target(self):
        from custom_selector import TopTwoSelector

        interests = torch.tensor([[[1.0], [3.0], [2.0], [9.0]]])
        mask = torch.tensor([[True, True, True, False]])
        weights = TopTwoSelector(temperature=0.5)(interests, torch.ones(1, 1), mask).flatten()
        assert weights.tolist() == pytest.approx([0, 0.622459, 0.377541, 0], abs=1e-6)
        for count in (1, 2):
            weights = TopTwoSelector()(interests[:, :count], torch.ones(1, 5, 1))
            torch.testing.assert_close(weights.sum(1), torch.ones(1, 5))
