"""What compilers make of the kernels for GPUs that need not be there."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton", minversion="3.6", reason="Triton is not installed")

SMALLEST = 99 * 1024  # bytes of shared memory that a program may have on the smaller cards since Ampere


@pytest.mark.parametrize("capability", [80, 90])
def test_everything_fits_into_the_registers(capability, tmp_path):
    """On an A100 and an H100: what does not fit goes to the stack, which lies in the memory of the device."""
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    environment["TRITON_CACHE_DIR"] = str(tmp_path)
    command = [sys.executable, Path(__file__).with_name("compiled.py"), str(capability)]
    shown = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    used = json.loads(shown)
    assert len(used) == 14
    assert {name: use["stack"] for name, use in used.items() if use["stack"]} == {}
    assert max(use["shared"] for use in used.values()) < SMALLEST
