"""Models side by side: their scores added up, or the best of them, score by score."""

import json

import pytest
import torch

from graphmi.cli import main
from graphmi.data import Histories, LeaveOneOut, planted
from graphmi.models import InterestGCN, SequenceModel
from graphmi.nn import LastPosition
from graphmi.typing import Batch


@pytest.mark.parametrize("kind", ["graph", "sequence"])
def test_scores_are_those_of_the_models(kind):
    import apart

    torch.manual_seed(0)
    data = planted(num_users=20, num_items=30, num_clusters=3)
    graph = LeaveOneOut()(data).graph()
    models = [
        InterestGCN(graph, 1, 4 + i, 1).eval()
        if kind == "graph"
        else SequenceModel(graph, 4 + i, max_length=5, extractor=LastPosition).eval()
        for i in range(3)
    ]
    users = torch.tensor([3, 0, 7])
    history, mask = Histories(data).read(users, 5)
    batch = Batch(users, history=history, mask=mask)
    each = torch.stack([out.interests[:, 0] @ out.items[:].T for out in (model(batch) for model in models)])
    for reading, expected in (("sum", each.sum(0)), ("best", each.amax(0))):
        together = apart.SideBySide(models, reading)
        assert hasattr(together, "max_length") == (kind == "sequence")
        out = together(batch)
        torch.testing.assert_close((out.interests @ out.items.T).amax(1), expected)


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
