"""Every question of every study can be asked: its cells are valid, and one of each study is trained on little data."""

import json
import random
import runpy
import sys
from pathlib import Path

import pytest

STUDIES = Path(__file__).parents[2] / "examples" / "studies"
DATA = "planted:num_users=60,num_items=80,interactions_per_user=10"
MOST = 30  # cells of a study that are built; a whole grid would take minutes
NAMES = sorted(path.name for path in STUDIES.glob("*.py") if "\nSTUDY = Study(" in path.read_text())
LITTLE = ["--option", "trainer__epochs=1", "--option", "replicates=0", "--seeds", "2"]


def _run(monkeypatch, name, *words):
    """Run a study as a script and return its exit status."""
    monkeypatch.setattr(sys, "argv", [str(name), *words])
    with pytest.raises(SystemExit) as stopped:
        runpy.run_path(str(STUDIES / name), run_name="__main__")
    return stopped.value.code


def _kind(options):
    """What cells have in common that differ by numbers only."""
    if isinstance(options, dict):
        return tuple((name, _kind(value)) for name, value in options.items())
    if isinstance(options, list | tuple):
        return tuple(map(_kind, options))
    return options if isinstance(options, str | bool) else type(options)


@pytest.mark.parametrize("name", NAMES)
def test_the_cells_of_a_study_are_valid(name, tmp_path):
    study = runpy.run_path(str(STUDIES / name))["STUDY"]
    from runs import Runs

    kinds = {(cell.preset, cell.backbone, _kind(cell.options)): cell for cell in study.cells().values()}
    dataset, some = None, random.Random(0).sample([*kinds.values()], min(len(kinds), MOST))
    for full, chosen in ((False, some), (True, some[::5])):
        runs = Runs(study, DATA, tmp_path, full)
        for cell in chosen:
            experiment = runs.config(cell, seed=0).experiment()
            dataset = dataset or experiment.dataset()
            experiment.build(dataset)
            experiment.loader(dataset.train)
            if experiment.sampler is not None:
                experiment.sampler(dataset.graph())
    for question in study.questions.values():
        assert {*question.pairs(), *question.pairs().values()} <= set(question.cells)


class TestAsk:
    @pytest.fixture
    def question(self, tmp_path):
        """A study of three cells."""
        text = """
from ask import main
from question import Cell, Question, Study
CELLS = {name: Cell(name) for name in ("popularity", "mf", "lightgcn")}
STUDY = Study("three", {"which": Question("Which is best?", CELLS, against="mf")}, {"replicates": 0}, {})
if __name__ == "__main__":
    raise SystemExit(main(STUDY, "Three."))
"""
        path = tmp_path / "three.py"
        path.write_text(text)
        return path

    def test_table_figure_and_numbers(self, question, monkeypatch, capsys, tmp_path):
        assert _run(monkeypatch, question, "--data", DATA, *LITTLE, "--out", "out") == 0
        assert "6/6  lightgcn, seed 1" in capsys.readouterr().out
        out = tmp_path / "out"
        answer = json.loads((out / "which.json").read_text())
        assert list(answer["cells"]) == ["popularity", "mf", "lightgcn"]
        values = answer["cells"]["lightgcn"]["values"]["ndcg@20"]
        results = [json.loads((out / f"lightgcn/seed{seed}/result.json").read_text()) for seed in (0, 1)]
        assert values == [result["metrics"]["ndcg@20"] for result in results]
        assert answer["cells"]["mf"]["compared"] is None
        compared = answer["cells"]["lightgcn"]["compared"]
        means = [sum(answer["cells"][cell]["values"]["ndcg@20"]) / 2 for cell in ("lightgcn", "mf")]
        assert compared["difference"] == pytest.approx(means[0] - means[1], abs=1e-6)
        assert compared["interval"][0] <= compared["difference"] <= compared["interval"][1]
        assert (out / "which.png").stat().st_size > 1000
        assert (out / "which.md").read_text().count("|\n") == 5

    def test_what_is_done_is_not_done_again(self, question, monkeypatch, tmp_path):
        words = ("--data", DATA, *LITTLE, "--out", "out")
        _run(monkeypatch, question, *words)
        before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*/*/result.json")}
        assert len(before) == 6
        _run(monkeypatch, question, *words)
        assert {path: path.stat().st_mtime_ns for path in before} == before

    def test_single_cells(self, question, monkeypatch, tmp_path):
        words = ("--data", DATA, *LITTLE, "--out", "out", "--cell", "mf", "--cell", "popularity")
        assert _run(monkeypatch, question, *words) == 0
        found = {path.parent.name for path in (tmp_path / "out").glob("*/seed*")}
        assert found == {"mf", "popularity"} == set(json.loads((tmp_path / "out/which.json").read_text())["cells"])

    def test_other_options_in_the_same_folder_are_refused(self, question, monkeypatch, capsys):
        _run(monkeypatch, question, "--data", DATA, *LITTLE, "--out", "out")
        words = ("--option", "trainer__learning_rate=0.5", "--out", "out")
        assert _run(monkeypatch, question, "--data", DATA, *LITTLE, *words) == 1
        assert "run with other options: name another folder with --out" in capsys.readouterr().err

    def test_a_newer_option_and_other_words_change_nothing(self, question, monkeypatch, tmp_path):
        words = ("--data", DATA, *LITTLE, "--out", "out", "--cell", "mf")
        assert _run(monkeypatch, question, *words) == 0
        for path in sorted((tmp_path / "out").glob("*/seed*/config.yaml")):
            text = path.read_text()
            path.write_text(text.replace("  scheduler: null\n", "").replace("description: ", "description: Mine, "))
            assert len(path.read_text()) == len(text) - len("  scheduler: null\n") + len("Mine, ")
        assert _run(monkeypatch, question, *words) == 0

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (["what"], "which"),
            (["--seeds", "0"], "'--seeds' must be at least 1 (got 0)"),
            (["--cell", "lightgc"], "lightgcn"),
            (["--option", "trainer__epochs"], "'--option trainer__epochs' is not NAME=VALUE"),
            (["--option", "trainer__epoch=1"], "epochs"),
            (["--data", "ml-100"], "ml-100k"),
        ],
    )
    def test_a_wrong_input_is_one_sentence(self, question, monkeypatch, capsys, words, message):
        assert _run(monkeypatch, question, "--data", DATA, *LITTLE, *words) in (1, 2)
        error = capsys.readouterr().err
        assert message in error
        assert "Traceback" not in error
