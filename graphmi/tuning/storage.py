"""Where trials are kept: a journal file, or a database."""

import re
from pathlib import Path

from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from sqlalchemy.pool import NullPool

__all__ = ["open_storage"]


def open_storage(name: str) -> BaseStorage:
    """Open a storage, and create it if it is not there.

    Args:
        name: A file, which several processes of one machine or of a common file system can write to, or the URL of a
            database such as ``sqlite:///study.db`` or ``postgresql://...``.

    Raises:
        OSError: If the file cannot be written.
        ValueError: If there is no such database, or the file is something else.
    """
    try:
        if "://" in name:
            return RDBStorage(name, engine_kwargs={"poolclass": NullPool})
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        return JournalStorage(JournalFileBackend(name))
    except OSError:
        raise
    except Exception as error:  # each database has its own, and a file that is no journal fails in any way
        said = f"{type(error).__name__}: {error}".splitlines()[0]
        told = f"the storage '{name}' cannot be opened ({said}): name the URL of a database, a journal, or a new file"
        raise ValueError(re.sub(r"(://[^:/@]*):[^'\s]*@", r"\1:***@", told)) from error  # without the password
