"""The entries of a JSON file: what it can say of values, and what is said of one that it lacks."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

__all__ = ["Entries", "plain"]


class Entries(dict[str, Any]):
    """What a JSON file holds; an entry that it lacks is answered with the name of the file."""

    def __init__(self, path: Path, content: Mapping[str, Any], remedy: str) -> None:
        super().__init__(content)
        self._path, self._remedy = path, remedy

    def __missing__(self, key: str) -> Any:
        raise ValueError(f"'{self._path}' is damaged (it has no '{key}'); {self._remedy}")


def plain(value: Any) -> Any:
    """Turn tensors, tuples and non-finite numbers into what JSON can say."""
    match value:
        case Tensor():
            return plain(value.tolist())
        case Mapping():
            return {str(key): plain(entry) for key, entry in value.items()}
        case list() | tuple():
            return [plain(entry) for entry in value]
        case float():
            return value if math.isfinite(value) else None
    return value
