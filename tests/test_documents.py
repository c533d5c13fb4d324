"""The code of the README and the examples run as they are shown."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parent.parent


def python_blocks(path):
    return re.findall(r"```python\n(.*?)```", path.read_text(), re.DOTALL)


def test_the_layer_of_the_readme():
    layer, _ = python_blocks(ROOT / "README.md")
    names = {"items": torch.randn(5, 64), "users": torch.randn(3, 64), "edge_index": torch.tensor([[0, 4], [1, 2]])}
    exec(layer, names)
    assert names["virtual"].shape == (3, 4, 64)
    assert names["center"].shape == (3, 64)


def test_the_training_of_the_readme(capsys):
    _, training = python_blocks(ROOT / "README.md")
    small = training.replace('"ml-100k"', '"planted:num_users=100"').replace("range(20)", "range(2)")
    assert small.count("planted") == small.count("range(2)") == 1
    exec("import torch\n" + small, {})
    assert 0 < float(capsys.readouterr().out) <= 1


@pytest.mark.parametrize(
    "command",
    [["layer_in_your_gnn.py", "--epochs", "2"], ["quickstart.py", "--data", "planted:num_users=100", "--epochs", "2"]],
)
def test_examples_run(command, tmp_path):
    script, *words = command
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / script), *words],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"0\.\d{4}", done.stdout)
