"""Arms of several seeds side by side."""

import json

import pytest
import torch
from safetensors.torch import load_file

from graphmi.cli import main

DATA = "planted:num_users=60,num_items=40,num_clusters=4"


def test_arms_differ_user_by_user_and_in_groups(tmp_path, monkeypatch, capsys):
    import arms

    runs = [tmp_path / arm / seed for arm, seed in (("one", "0"), ("one", "1"), ("other", "0"))]
    for run in runs:
        preset = "mf" if run.parent.name == "one" else "lightgcn"
        words = ["train", preset, "--data", DATA, "--trainer.epochs", "2", "--seed", run.name, "--out", str(run)]
        assert main(words) == 0
    capsys.readouterr()
    out = tmp_path / "arms.json"
    monkeypatch.setattr("sys.argv", ["arms.py", *map(str, runs), "--out", str(out)])
    assert arms.main() == 0
    shown, content = capsys.readouterr().out, json.loads(out.read_text())
    assert "group 5" in shown
    assert "less one" in shown
    values = [load_file(run / "per_user.safetensors") for run in runs]
    difference = values[2]["ndcg@20"] - (values[0]["ndcg@20"] + values[1]["ndcg@20"]) / 2
    group = values[0]["group/diversity-controlled"]
    assert content["less one"]["other"]["difference"] == pytest.approx(float(difference.mean()), abs=1e-6)
    for name, test in content["less one, in groups"]["other"].items():
        inside = difference[group == int(name)]
        assert test["count"] == len(inside)
        assert test["difference"] == pytest.approx(float(inside.mean()), abs=1e-6)
    assert len(content["less one, in groups"]["other"]) == len(torch.unique(group[group >= 0]))
    results = [json.loads((run / "result.json").read_text()) for run in runs]
    kind = "diversity-controlled/ndcg@20"
    assert content["arms"]["one"]["groups"] == [result["groups"][kind]["mean"] for result in results[:2]]
    assert content["arms"]["other"]["spread"] == [results[2]["groups"][kind]["std"]]


def test_arms_whose_folders_share_a_name_stay_apart(tmp_path):
    import arms

    runs = [tmp_path / preset / "seeds" / seed for preset in ("mf", "lightgcn") for seed in "01"]
    for run in runs:
        words = ["--data", DATA, "--trainer.epochs", "1", "--seed", run.name, "--out", str(run)]
        assert main(["train", run.parent.parent.name, *words]) == 0
    found = {name: [one.folder.path for one in same] for name, same in arms.by_folder(runs).items()}
    assert found == {"mf/seeds": runs[:2], "lightgcn/seeds": runs[2:]}
