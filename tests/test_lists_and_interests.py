"""What a run says of lists and interests, in its files and on the terminal."""

import csv
import json

import pytest
from rich.console import Console
from safetensors.torch import load_file

from graphmi import cli
from graphmi.commands.tables import interests_table, lists_table, result_tables

WORLD = "planted:num_users=60,num_items=80,num_clusters=4,interactions_per_user=10"


def train(tmp_path, preset, *words):
    folder = tmp_path / preset
    options = ["--data", WORLD, "--trainer.epochs", "2", "--trainer.accelerator", "cpu", "--replicates", "5"]
    options += ["--trainer.validate_every", "1"]
    assert cli.main(["train", preset, *options, "--out", str(folder), *words]) == 0
    with (folder / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return folder, json.loads((folder / "result.json").read_text()), rows


def shown(table):
    console = Console(width=80, record=True, file=None)
    with console.capture() as captured:
        console.print(table)
    return captured.get()


def test_a_sequence_model_says_what_its_interests_do(tmp_path, capsys):
    folder, told, rows = train(tmp_path, "comirec-sa")
    for row in rows:
        assert 0 <= float(row["interests/collapse"]) <= 1
        assert 0 <= float(row["interests/routing entropy"]) <= 1
        assert -1 <= float(row["interests/cosine"]) <= 1
    assert not any(name.startswith("interests/") for name in told["valid_metrics"])
    assert {"collapse", "balance@10", "effective@10", "dead@10", "alignment", "uniformity"} <= told["interests"].keys()
    assert len(told["interest_share"]) == 10
    assert all(sum(row) == pytest.approx(1.0) for row in told["interest_share"])
    users = load_file(folder / "per_user.safetensors")
    assert told["interests"]["effective@10"] == pytest.approx(users["interests/effective@10"].mean().item(), rel=1e-5)
    assert told["lists"]["calibration@10"] == pytest.approx(
        users["lists/calibration@10"].double().nanmean().item(), rel=1e-5
    )
    output = capsys.readouterr().out
    assert "lists beyond accuracy" in output
    assert "routing entropy" in output
    assert cli.main(["evaluate", str(folder)]) == 0
    assert "routing entropy" in capsys.readouterr().out
    again = json.loads((folder / "evaluation-test.json").read_text())
    assert (again["interests"], again["lists"]) == (told["interests"], told["lists"])


def test_a_graph_model_has_no_routing_and_one_interest_nothing_to_say(tmp_path, capsys):
    _, told, rows = train(tmp_path, "interest-gcn")
    assert "cosine" in told["interests"]
    assert "interests/cosine" in rows[0]
    assert not {"collapse", "routing entropy"} & told["interests"].keys()
    capsys.readouterr()
    _, told, rows = train(tmp_path, "lightgcn")
    assert told["interests"] == {}
    assert told["interest_share"] == []
    assert told["lists"]["coverage@10"] > 0
    assert not any(name.startswith("interests/") for name in rows[0])
    assert "how to read it" in (output := capsys.readouterr().out)
    assert "effective" not in output


def test_tables_fit_into_80_columns_and_say_nothing_of_nothing():
    assert lists_table({}) is None
    assert interests_table({}) is None
    assert list(result_tables({"groups": {}}, "ndcg@20")) == []
    lists = {f"{name}@{k}": 0.25 for name in ("coverage", "calibration") for k in (10, 20, 50)}
    text = shown(lists_table({**lists, "calibration@50": None}))
    assert [word for word in text.split() if word == "-"] == ["-"]
    assert "share of the items anyone sees" in text
    interests = {"collapse": 0.5, "balance@10": 0.75, "effective-diversity correlation": -0.123}
    text = shown(interests_table(interests))
    assert "0.7500" in text
    assert "-0.1230" in text
    for line in text.splitlines():
        assert len(line) <= 80
