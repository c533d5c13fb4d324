"""Files that are there whole or not at all."""

import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["replacing"]

_PATIENCE = 1.0  # seconds
_WINDOWS = os.name == "nt"


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a path beside this one to write to, then flush it to the disk and give it its name in one step.

    Several processes may replace the same file at once: each has a path of its own, and the last one's file stays.

    Args:
        path: The name of the file; its folder is made where it is missing.

    Raises:
        OSError: If it cannot be written, whatever torch or polars say of a full disk, or another program has it open
            for longer than a second where that matters; the error names this file, and what was written beside it is
            removed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        yield part
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        _rename(part, path)
    except Exception as error:
        refusal = error if isinstance(error, OSError) and error.errno else _refusal(part)
        if refusal is None:
            raise
        refusal.filename = os.fspath(path)  # the other name means nothing to anybody
        raise refusal from None
    finally:
        part.unlink(missing_ok=True)


def _refusal(part: Path) -> OSError | None:
    """Return what the system says where a file takes no more, which libraries do not repeat; ``None`` where it does."""
    try:
        with part.open("ab") as file:
            file.write(bytes(2**20))
    except OSError as error:
        return error
    return None


def _rename(part: Path, path: Path) -> None:
    """Give a file its name; Windows refuses while another program has the old one open, mostly for a moment."""
    until = time.monotonic() + _PATIENCE
    while True:
        try:
            part.replace(path)
            return
        except PermissionError as error:
            if not _WINDOWS:
                raise
            if time.monotonic() > until:
                error.strerror = f"{error.strerror} (close the program that holds it; a run goes on with --resume)"
                raise
        time.sleep(0.05)
