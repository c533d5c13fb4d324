"""The search of baselines that need no training."""

import json
import sys

import pytest

from graphmi.config import preset_config

DATA = "planted:num_users=60,num_items=30,interactions_per_user=6"


def test_the_search_tests_what_is_best_on_validation(monkeypatch, tmp_path, capsys):
    import simple

    monkeypatch.setattr(simple, "NEIGHBORS", [{"neighbors": 5}])
    monkeypatch.setattr(simple, "LENGTHS", (2, simple.ALL))
    words = ["--data", DATA, "--out", str(tmp_path / "new" / "out.json"), "--regularization", "0.1", "30", "3000"]
    monkeypatch.setattr(sys, "argv", ["simple.py", *words])
    simple.main()
    assert "EASE, latest items" in capsys.readouterr().out
    rows = json.loads((tmp_path / "new" / "out.json").read_text())["rows"]
    valid, test = {}, {}
    for value in (0.1, 30, 3000):
        experiment = preset_config("ease", DATA, model__regularization=value, replicates=0).experiment()
        trained = experiment.train(experiment.dataset())
        valid[value], test[value] = trained.valid["ndcg@20"], trained.test.metrics["ndcg@20"]
    best = max(valid, key=valid.get)
    training = rows["EASE, training items"]
    assert training["options"] == {"regularization": best}
    assert training["max_length"] is None
    assert (training["valid"], training["ndcg@20"]) == (pytest.approx(valid[best]), pytest.approx(test[best]))
    assert rows["EASE, latest items"]["valid"] >= training["valid"]
