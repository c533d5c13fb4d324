import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch

SCRIPT = Path(__file__).with_name("two_processes.py")


def flat(value, name=""):
    """Return nested results as one dictionary of numbers."""
    if isinstance(value, (dict, list)):
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        return {key: number for part, one in pairs for key, number in flat(one, f"{name}/{part}").items()}
    return {name: value}


@pytest.mark.filterwarnings("ignore:The ``compute`` method:UserWarning")  # of the process that has no users
def test_two_processes_give_the_result_of_one(tmp_path):
    here, meeting = runpy.run_path(str(SCRIPT)), tmp_path / "meeting"
    expected = flat(here["compute"]([torch.arange(here["NUM_USERS"])]))
    assert {"/ndcg/intervals/gap/0", "/ndcg/intervals/2/1", "/diagnostics/uniformity"} <= expected.keys()
    with subprocess.Popen([sys.executable, str(SCRIPT), str(meeting)], stderr=subprocess.PIPE, text=True) as other:
        try:
            results = here["of_rank"](0, meeting)
            assert other.wait(300) == 0, other.stderr.read()
        finally:
            other.kill()  # or nobody would
    for result in results:
        assert flat(result) == pytest.approx(expected, rel=1e-5, abs=1e-6)
