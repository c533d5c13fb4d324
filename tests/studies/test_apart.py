"""The tables of models that were trained apart."""

import json

import pytest
import torch

from graphmi.cli import main
from graphmi.metrics import holm
from graphmi.typing import Batch, Representations
from graphmi.usage import UsageError


def test_a_table_of_runs(tmp_path, capsys, monkeypatch):
    import apart

    data = "planted:num_users=60,num_items=40,num_clusters=4"
    runs = [tmp_path / name for name in ("0", "1", "wide")]
    for seed, run in enumerate(runs):
        words = ["train", "lightgcn", "--data", data, "--trainer.epochs", "1", "--seed", str(seed), "--out", str(run)]
        assert main(words) == 0
    capsys.readouterr()
    out = tmp_path / "apart.json"
    words = ["apart.py", *map(str, runs[:2]), "--beside", str(runs[2]), "--out", str(out)]
    monkeypatch.setattr("sys.argv", words)
    assert apart.main() == 0
    shown = capsys.readouterr().out
    for name in ("alone", "wide", "2, by the best", "2, added up"):
        assert name in shown
    content = json.loads(out.read_text())
    assert len(content["rows"]["alone"]["ndcg@20"]) == 2
    mean = sum(content["rows"]["alone"]["ndcg@20"]) / 2
    one = content["rows"]["wide"]["ndcg@20"][0]
    assert content["less alone"]["wide"]["difference"] == pytest.approx(one - mean, abs=1e-6)
    tests = content["less alone"].values()
    assert [test["wilcoxon_holm"] for test in tests] == holm([test["wilcoxon"] for test in tests])


def test_a_sequence_model_beside_a_graph_model(tmp_path, capsys, monkeypatch):
    import both

    data = ["--data", "planted:num_users=60,num_items=40,num_clusters=4", "--trainer.epochs", "1"]
    runs = {f"{preset}{seed}": tmp_path / f"{preset}{seed}" for preset in ("gru4rec", "lightgcn") for seed in "01"}
    for name, run in runs.items():
        assert main(["train", name[:-1], *data, "--seed", name[-1], "--out", str(run)]) == 0
    capsys.readouterr()
    out = tmp_path / "both.json"
    paths = [str(run) for run in runs.values()]
    monkeypatch.setattr("sys.argv", ["both.py", "--sequence", *paths[:2], "--graph", *paths[2:], "--out", str(out)])
    assert both.main() == 0
    shown, content = capsys.readouterr().out, json.loads(out.read_text())
    for kind, number in (("both, by the best", 2), ("both, added up", 2), ("all, added up", 1)):
        [(name, curve)] = [each for each in content["validation by weight"].items() if each[0].startswith(kind)]
        best = max(curve, key=curve.get)
        assert name == f"{kind}, graph by {float(best):g}"
        assert sum(content["rows"][name]["valid"]) / number == pytest.approx(curve[best], abs=1e-6)
        assert name in content["less sequence alone"]
        assert kind.split()[-1] in shown
    assert len(content["rows"]["all sequence models, added up"]["valid"]) == 1


def test_two_kinds_of_sequence_models_beside_one_graph(tmp_path, capsys, monkeypatch):
    import both

    data = ["--data", "planted:num_users=60,num_items=40,num_clusters=4", "--trainer.epochs", "1"]
    runs = {name: str(tmp_path / name / "0") for name in ("gru4rec", "comirec-sa", "lightgcn")}
    for name, run in runs.items():
        assert main(["train", name, *data, "--out", run]) == 0
    capsys.readouterr()
    out = tmp_path / "both.json"
    words = ["--sequence", runs["gru4rec"], "--sequence", runs["comirec-sa"], "--graph", runs["lightgcn"]]
    monkeypatch.setattr("sys.argv", ["both.py", *words, "--reading", "sum", "--out", str(out)])
    assert both.main() == 0
    content = json.loads(out.read_text())
    rows = list(content["rows"])
    assert rows[:3] == ["gru4rec alone", "graph alone", "comirec-sa alone"]
    assert [name.split(", graph")[0] for name in rows[3:]] == [
        "gru4rec: both, added up",
        "comirec-sa: both, added up",
    ]
    assert set(content["less gru4rec alone"]) == set(rows[1:])
    one, other = ([*content["rows"][name]["ndcg@20"]] for name in rows[3:])
    [difference] = content[f"less {rows[3]}"].values()
    assert difference["difference"] == pytest.approx(other[0] - one[0], abs=1e-6)
    assert f"less {rows[3]}"[:20] in capsys.readouterr().out.replace("\n", " ")


def test_what_was_asked_before_is_remembered():
    from both import Remembered

    class Model(torch.nn.Module):
        max_length = 7

        def forward(self, batch):
            asked.append(batch)
            return Representations(batch.history.float().unsqueeze(1), torch.eye(2))

    asked, model = [], Remembered(Model())
    assert model.max_length == 7
    user, mask = torch.tensor([0, 1]), torch.ones(2, 2, dtype=torch.bool)
    first, other = (Batch(user, history=torch.tensor(rows), mask=mask) for rows in ([[1, 2], [3, 4]], [[1, 2], [3, 5]]))
    answers = [model(batch).interests.tolist() for batch in (first, other, first, other)]
    assert answers == [[[[1, 2]], [[3, 4]]], [[[1, 2]], [[3, 5]]]] * 2
    assert asked == [first, other]
    assert not hasattr(Remembered(torch.nn.Identity()), "max_length")  # a graph model reads no histories


def test_as_many_graphs_as_sequences(monkeypatch):
    import both

    monkeypatch.setattr("sys.argv", ["both.py", "--sequence", "a", "b", "--graph", "c"])
    with pytest.raises(UsageError, match=r"as many runs of graphs as of sequences \(got 1 and 2\)"):
        both.main()
