"""The run folder: everything that one training run leaves behind, and needs to be continued or repeated.

========================  ==============================================================================
``config.yaml``           the resolved configuration; ``graphmi train --config`` repeats the run with it
``data.json``             the data set and its fingerprint
``metrics.csv``           one row per epoch: loss terms, validation metrics, seconds, pairs per second
``result.json``           protocol, metrics, groups, data fingerprint, seed, versions, timings
``model.safetensors``     the weights of the best epoch on validation
``per_user.safetensors``  test metrics, groups and diversity of every user, for paired tests between runs
``resume.pt``             the state after the last finished epoch
========================  ==============================================================================

``result.json`` comes last. A run that goes on loses it first, with all else that was said of its weights so far, and
no command asks its model until it has ended.

Every file is written beside its final name and moved into place, so a killed process leaves the old file or the
new one, never half of one.
"""

import csv
import io
import json
import os
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from graphmi.atomic import replacing
from graphmi.entries import Entries, plain
from graphmi.memory import lack_of_memory

__all__ = ["RunFolder"]

_FROM_STATE = ("metrics.csv", "result.json", "model.safetensors", "per_user.safetensors")


class RunFolder:
    """A folder with the files of one run; methods named after the files read and write them.

    Args:
        path: The folder; it need not exist yet.

    Example:
        >>> folder = RunFolder("runs/mine").claim()
        >>> folder.write_metrics([{"loss": 0.5}, {"loss": 0.25}])
        >>> folder.read_metrics()[-1]["loss"]
        0.25
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    def __repr__(self) -> str:
        return f"RunFolder({str(self.path)!r})"

    def require_empty(self) -> "RunFolder":
        """Return the folder itself, or refuse one that holds anything.

        Raises:
            FileExistsError: If the folder has content, or the path is a file.
        """
        if self.path.is_file() or (self.path.is_dir() and any(self.path.iterdir())):
            raise self._taken()
        return self

    def claim(self) -> "RunFolder":
        """Make the folder and return it: of several processes that ask for an empty one at once, one gets it.

        Raises:
            FileExistsError: If the folder has content, or the path is a file.
        """
        self.require_empty().path.mkdir(parents=True, exist_ok=True)
        try:
            (self.path / "data.json").touch(exist_ok=False)  # the first file of every run
        except FileExistsError:
            raise self._taken() from None
        return self

    @property
    def exists(self) -> bool:
        """Whether a run has begun here."""
        return (self.path / "config.yaml").is_file()

    def require(self) -> "RunFolder":
        """Return the folder itself, or say that it holds no run.

        Raises:
            FileNotFoundError: If there is no ``config.yaml`` in it.
        """
        if not self.exists:
            raise FileNotFoundError(f"'{self.path}' is not a run folder: it has no config.yaml")
        return self

    def require_ended(self) -> "RunFolder":
        """Return the folder itself, or say that its weights are those of a run that has not ended.

        Raises:
            FileNotFoundError: If there is a state to resume from, and no result.
        """
        if (self.path / "resume.pt").is_file() and not (self.path / "result.json").is_file():
            raise self._missing(self.path / "result.json")
        return self

    def reopen(self) -> None:
        """Remove what goes for weights of a run that goes on, and what processes left that were killed at writing."""
        for pattern in (".*.part", "result.json", "per_user.safetensors", "evaluation-*.json"):
            for path in self.path.glob(pattern):
                path.unlink(missing_ok=True)

    @property
    def only_claimed(self) -> bool:
        """Whether nothing is here but what a process has left that was killed before its run began."""
        names = {path.name for path in self.path.iterdir()} if self.path.is_dir() else set()
        if "data.json" not in names or not all(re.fullmatch(r"data\.json|\..*\.part", name) for name in names):
            return False
        content = (self.path / "data.json").read_bytes()  # of graphmi, or of somebody else
        return not content or b'"fingerprint"' in content

    def discard(self) -> None:
        """Remove what was written before the first epoch was finished, and the folder if nothing else is in it."""
        for name in ("config.yaml", "data.json"):
            (self.path / name).unlink(missing_ok=True)
        if self.path.is_dir() and not any(self.path.iterdir()):
            self.path.rmdir()

    def write_config(self, text: str) -> None:
        """Write ``config.yaml``."""
        self.write_text("config.yaml", text)

    def write_text(self, name: str, text: str) -> None:
        """Write a text file."""
        self._write(name, text.encode())

    def read_config(self) -> str:
        """Return the text of ``config.yaml``.

        Raises:
            FileNotFoundError: If there is none.
            ValueError: If it is damaged.
        """
        with self.require().reading("config.yaml") as path:
            text = path.read_text(encoding="utf-8")
            if not isinstance(yaml.safe_load(text), dict):
                raise ValueError("it has no lines 'option: value'")
            return text

    def write_metrics(self, rows: Sequence[Mapping[str, float]]) -> None:
        """Write ``metrics.csv``: one row per epoch, the columns of all rows in order of appearance."""
        columns = list(dict.fromkeys(column for row in rows for column in row))
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        self._write("metrics.csv", text.getvalue().encode())

    def read_metrics(self) -> list[dict[str, float]]:
        """Return the rows of ``metrics.csv`` without their empty entries; none where nothing was trained.

        Raises:
            ValueError: If the file is damaged.
        """
        if not (self.path / "metrics.csv").is_file():
            return []
        with self.reading("metrics.csv") as path, path.open(newline="") as file:
            return [{name: float(value) for name, value in row.items() if value} for row in csv.DictReader(file)]

    def write_result(self, result: Mapping[str, Any], name: str = "result.json") -> None:
        """Write a result as JSON; a number that is not finite becomes ``null``."""
        self._write(name, (json.dumps(plain(result), indent=2, allow_nan=False) + "\n").encode())

    def read_result(self, name: str = "result.json") -> dict[str, Any]:
        """Return a result; asked for an entry that it lacks, it raises a ``ValueError`` that names the file.

        Raises:
            FileNotFoundError: If the run has not ended, or the file is missing.
            ValueError: If the file is damaged.
        """
        with self.reading(name) as path:
            return Entries(path, json.loads(path.read_bytes()), self._remedy(name))

    def write_tensors(self, name: str, tensors: Mapping[str, Tensor]) -> None:
        """Write tensors as ``NAME.safetensors``."""
        self._write(
            f"{name}.safetensors", save_tensors({k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()})
        )

    def read_tensors(self, name: str) -> dict[str, Tensor]:
        """Return the tensors of ``NAME.safetensors`` on the CPU.

        Raises:
            FileNotFoundError: If the run has not got so far, or the file is missing.
            ValueError: If the file is damaged.
        """
        with self.reading(f"{name}.safetensors") as path:
            return load_tensors(path.read_bytes())

    def write_state(self, state: Mapping[str, Any]) -> None:
        """Write ``resume.pt``: tensors, numbers, strings, lists and dictionaries."""
        with replacing(self.path / "resume.pt") as path:
            torch.save(dict(state), path)

    def read_state(self) -> dict[str, Any] | None:
        """Return the state after the last finished epoch, on the CPU; ``None`` where no epoch was finished.

        Raises:
            ValueError: If the file is damaged.
        """
        if not (self.path / "resume.pt").is_file():
            return None
        with self.reading("resume.pt") as path:
            state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
            return state

    @contextmanager
    def reading(self, name: str) -> Iterator[Path]:
        """Give the path of a file to read; what reading raises where it is damaged becomes one sentence.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If it is damaged.
        """
        path = self.path / name
        if not path.is_file():
            raise self._missing(path)
        try:
            yield path
        except OSError:
            raise
        except Exception as error:  # of what every format finds wrong
            if lack_of_memory(error):
                raise
            reason = re.split(r"\n|\. ", str(error))[0] or type(error).__name__
            raise ValueError(f"'{path}' is damaged ({reason}); {self._remedy(name)}") from error

    def _missing(self, path: Path) -> FileNotFoundError:
        # A run begins with data.json and ends with result.json.
        if path.name == "data.json" or (self.path / "result.json").is_file():
            return FileNotFoundError(f"'{path}' is missing, which training had written; {self._remedy(path.name)}")
        return FileNotFoundError(f"'{self.path}' has no {path.name}: the run has not ended (continue it with --resume)")

    def _remedy(self, name: str) -> str:
        if name in _FROM_STATE and self.exists and (self.path / "resume.pt").is_file():
            return f"to have it written anew: graphmi train --out {shlex.quote(str(self.path))} --resume"
        return "train again"

    def _taken(self) -> FileExistsError:
        if self.path.is_file():
            return FileExistsError(f"'{self.path}' is a file: name a folder")
        more = ", or continue the run in it with --resume" if self.exists else ""
        return FileExistsError(
            f"'{self.path}' is not empty, and nothing there is overwritten: name another folder{more}"
        )

    def _write(self, name: str, content: bytes) -> None:
        with replacing(self.path / name) as path:
            path.write_bytes(content)
