"""Files that are there whole or not at all."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["replacing"]


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a path beside this one to write to, then flush it to the disk and give it its name in one step.

    Several processes may replace the same file at once: each has a path of its own, and the last one's file stays.

    Args:
        path: The name of the file; its folder is made where it is missing.

    Raises:
        OSError: If it cannot be written; the error names this file, and what was written beside it is removed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        yield part
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        error.filename = os.fspath(path)  # the other name means nothing to anybody
        raise
    finally:
        part.unlink(missing_ok=True)
