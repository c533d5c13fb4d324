"""A peer that runs in an interpreter of its own and answers one line to each line."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

REQUIREMENTS = {
    "recbole": [["torch==2.13.0"], ["recbole==1.2.1", "numpy<2", "pandas<2.2", "scipy<1.12", "setuptools<81"]],
}


def interpreter(peer: str) -> str:
    """Return ``$RECBOLE_PYTHON``, or make an environment in the temporary folder and install the peer there."""
    if given := os.environ.get(f"{peer.upper()}_PYTHON"):
        return given
    folder = Path(tempfile.gettempdir()) / f"graphmi-benchmarks-{peer}"
    python = folder / "bin" / "python"
    if not (folder / "ready").exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        for packages in REQUIREMENTS[peer]:
            subprocess.run([str(python), "-m", "pip", "install", "--quiet", *packages], check=True)
        (folder / "ready").touch()
    return str(python)


class Peer:
    """A process of ``benchmarks/peers/SCRIPT.py``, with as many threads as this one."""

    def __init__(self, peer: str, script: str, *arguments: str) -> None:
        path = Path(__file__).resolve().parent / f"{script}.py"
        command = [interpreter(peer), str(path), *arguments, str(torch.get_num_threads())]
        folder = tempfile.gettempdir()  # RecBole leaves logs where it is started
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=folder)

    def ask(self, *words: object) -> float:
        """Send a request and wait for the number that answers it."""
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError(f"the process ended with {self.process.wait()} (asked: {words})")
        return float(answer)

    def close(self) -> None:
        """End the process."""
        self.process.stdin.close()
        self.process.wait()
