"""Two processes under torchrun against one: losses, weights, metrics of every user, resuming, and what goes wrong."""

import csv
import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from graphmi.cli import main
from graphmi.run import RunFolder

SCRIPT = Path(__file__).with_name("several_processes.py")
TORCHRUN = [sys.executable, "-W", "ignore", "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
COMMON = [
    "--data",
    "planted",
    "--columns.num_users",
    "400",
    "--columns.num_items",
    "300",
    "--trainer.accelerator",
    "cpu",
    "--trainer.precision",
    "64-true",
    "--replicates",
    "20",
]
RUNS = {
    # 7,200 training pairs: the last batch of an epoch has one, so that one process has nothing in it.
    "graph": ["interest-gcn", "--loader.batch_size", "313", "--trainer.weight_average", "0.9", "--trainer.epochs", "2"],
    "users": ["lightgcn", "--loader", "UserLoader", "--loader.users_per_batch", "133", "--loss.user_balance", "0.5",
              "--trainer.gradient_clip", "0.05", "--trainer.epochs", "1"],
    "sequence": ["multi-interest-transformer", "--model.encoder.dropout", "0", "--loader.batch_size", "900",
                 "--trainer.validate_every", "1", "--sampler.block_size", "100"],
    "sparse": ["youtube-dnn", "--model.sparse", "true", "--trainer.epochs", "1"],
}  # fmt: skip


def words(name, folder, *options):
    return ["train", *RUNS[name], *COMMON, *options, "--out", str(folder / name)]


def commands(folder, again):
    """Train all of them; the sequence model for an epoch, and ``again`` for two more."""
    return [
        *(words(name, folder) for name in RUNS if name != "sequence"),
        words("sequence", folder, "--trainer.epochs", "1" if again else "3"),
        *([["train", "--out", str(folder / "sequence"), "--resume", "--trainer.epochs", "3"]] if again else []),
    ]


def torchrun(*arguments):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    command = [*TORCHRUN, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment, check=False)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """The runs of one process, those of two, and where the two left what else they found."""
    one, two, found = (tmp_path_factory.mktemp(name) for name in ("one", "two", "found"))
    assert [main(command) for command in commands(one, again=False)] == [0, 0, 0, 0]
    done = torchrun(SCRIPT, json.dumps(commands(two, again=True)), one / "sequence", found)
    assert done.returncode == 0, done.stderr[-4000:]
    return one, two, found


def rows(folder):
    with (folder / "metrics.csv").open(newline="") as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def test_a_process_is_left_without_a_row(folders):
    assert RunFolder(folders[0] / "graph").read_result()["data"]["train"] % 313 == 1


@pytest.mark.parametrize("name", RUNS)
def test_two_processes_train_as_one(folders, name):
    one, two = (folder / name for folder in folders[:2])
    for expected, found in zip(rows(one), rows(two), strict=True):
        for measured in ("seconds", "pairs_per_second"):
            assert found.pop(measured) > 0
            del expected[measured]
        assert found == pytest.approx(expected, rel=1e-7)  # losses are reported in single precision
    expected, found = (RunFolder(folder).read_result() for folder in (one, two))
    assert found["device"] == "CPU, 1 threads, 2 processes"
    for part in ("metrics", "valid_metrics", "lists", "interests", "best_epoch", "epochs"):
        assert found[part] == pytest.approx(expected[part], rel=1e-6)
    for kind, tolerance in (("model", 1e-10), ("per_user", 0)):
        expected, found = (RunFolder(folder).read_tensors(kind) for folder in (one, two))
        torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance, equal_nan=True)


def test_evaluation_is_shared_out_and_the_same(folders):
    one, _, found = folders
    expected = runpy.run_path(str(SCRIPT))["evaluate"](one / "sequence")
    assert {"uniformity", "alignment", "effective@10"} <= expected["interests"].keys()
    for rank in range(2):
        result = json.loads((found / f"{rank}.json").read_text())
        assert result["status"] == [0] * 5
        assert json.dumps(result["evaluation"]) == json.dumps(expected)  # to the last digit; NaN equals NaN


def test_an_error_is_said_once(tmp_path):
    done = torchrun("-m", "graphmi", "train", "sasrec", "--data", "nowhere", "--out", tmp_path / "run")
    assert done.returncode != 0
    said = [line for line in done.stderr.splitlines() if line.startswith("graphmi: ")]
    assert len(said) == 1, done.stderr
    assert "nowhere" in said[0]
    assert "graphmi/cli.py" not in done.stderr  # no traceback but torchrun's own
    assert not (tmp_path / "run").exists()
