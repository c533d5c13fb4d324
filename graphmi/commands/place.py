"""Where a run goes: a new folder, or that of a run that goes on."""

import sys
from dataclasses import dataclass
from pathlib import Path

from graphmi.run import RunFolder
from graphmi.usage import UsageError

__all__ = ["Place"]


@dataclass(frozen=True)
class Place:
    """Where a run goes.

    Attributes:
        folder: The run folder.
        named: Whether just this folder is asked for, and not the first of ``FOLDER``, ``FOLDER-2``, ... that is free.
        resumable: Whether a run in the folder is to go on.
        resume: Whether there is one, and it is.
    """

    folder: RunFolder
    named: bool
    resumable: bool
    resume: bool

    @classmethod
    def of(cls, out: str | None, resumable: bool, otherwise: str = "run") -> "Place":
        """Return the place that is asked for.

        Args:
            out: The run folder; ``runs/OTHERWISE``, or the next one that is free, when omitted.
            resumable: Whether a run in the folder is to go on.
            otherwise: A name.

        Raises:
            UsageError: If no folder is named.
            FileExistsError: If something else is in the folder.
        """
        if out is None and resumable:
            raise UsageError("'--out' is missing: name the folder of the run that is to go on")
        if out == "":
            raise UsageError("'--out' is empty: name a folder")
        folder, named = RunFolder(out or Path("runs", otherwise)), out is not None
        resume = resumable and folder.exists
        if named and not resume and not (resumable and folder.only_claimed):
            folder.require_empty()
        return cls(folder, named, resumable, resume)

    def claim(self) -> RunFolder:
        """Return the folder, or the next one that is free, taken for a new run.

        Raises:
            FileExistsError: If the folder was asked for and holds something.
        """
        if self.resumable:
            sys.stderr.write(f"graphmi: there is no run in '{self.folder.path}' to go on with: a new one begins\n")
        folder, number = self.folder, 1
        if self.resumable and folder.only_claimed:
            folder.reopen()
            folder.discard()
        while True:
            try:
                return folder.claim()
            except FileExistsError:
                if self.named or not folder.path.exists():
                    raise
            number += 1
            folder = RunFolder(f"{self.folder.path}-{number}")
