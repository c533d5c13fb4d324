"""Options of Python as words of the command line."""

import json
import os
from typing import Any

from graphmi.usage import UsageError

__all__ = ["words_of"]


def words_of(name: str, value: Any) -> list[str]:
    """Return an option as words of the command line: ``--k`` takes one per length, others a word of JSON.

    Args:
        name: Name of the option; two underscores stand for a dot.
        value: Text, a path, a number, ``None``, or lists and dictionaries of them; numbers and arrays may be those of
            numpy and torch.

    Raises:
        UsageError: If the value is something else.

    Example:
        >>> words_of("trainer__epochs", 5), words_of("k", (5, 20))
        (['--trainer.epochs=5'], ['--k', '5', '20'])
    """
    option = f"--{name.replace('__', '.')}"
    if isinstance(value, str | os.PathLike):
        return [f"{option}={os.fspath(value)}"]
    text = json.dumps(value, default=_plain)
    if name == "k" and text.startswith("["):
        return [option, *map(str, json.loads(text))]
    return [f"{option}={text}"]


def _plain(value: Any) -> Any:
    """Return what JSON does not know as what it does."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, range):
        return list(value)
    if hasattr(value, "tolist") and not isinstance(value, type):
        return value.tolist()
    raise UsageError(f"an option cannot be {value!r}: give text, numbers, or lists of them; of a class, its name")
