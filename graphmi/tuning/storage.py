"""Where trials are kept: a journal file, or a database."""

from pathlib import Path

from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend

__all__ = ["open_storage"]


def open_storage(name: str) -> BaseStorage:
    """Open a storage, and create it if it is not there.

    Args:
        name: A file, which several processes of one machine or of a common file system can write to, or the URL of a
            database such as ``sqlite:///study.db`` or ``postgresql://...``.
    """
    if "://" in name:
        return RDBStorage(name)
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    return JournalStorage(JournalFileBackend(name))
