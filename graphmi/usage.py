"""What a command line may hold; the answer to another is one sentence."""

import inspect
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from pkgutil import resolve_name

from jsonargparse import ArgumentError, ArgumentParser, Namespace

from graphmi.mistakes import explain, is_none, lacks, nearest

__all__ = [
    "UsageError",
    "command_parser",
    "parse",
    "require_concrete",
    "require_file",
    "require_name",
    "require_values",
]


class UsageError(ValueError):
    """What was asked for cannot be understood; the message says what would be."""


def require_name(name: str, names: Collection[str], what: str) -> None:
    """Check that a name is known.

    Raises:
        UsageError: If it is not; the message has the nearest names.
    """
    if name not in names:
        raise UsageError(f"no {what} is named '{name}' ({nearest(name, names)})")


def require_file(path: Path, endings: Iterable[str]) -> None:
    """Check that ``--out`` names a file in a known format.

    Raises:
        UsageError: If its name has another ending, or it is a folder.
    """
    *most, last = endings
    if path.suffix not in (*most, last):
        raise UsageError(f"'--out' must end with {', '.join(most)} or {last} (got {path})")
    if path.is_dir():
        raise UsageError(f"'--out' must name a file, and '{path}' is a folder")


def command_parser(command: str, description: str) -> ArgumentParser:
    """Return a parser for the words after ``graphmi COMMAND``, without abbreviations, for :func:`parse`."""
    return ArgumentParser(prog=f"graphmi {command}", description=description, exit_on_error=False, allow_abbrev=False)


def parse(parser: ArgumentParser, arguments: Sequence[str], names: Iterable[str] = ()) -> Namespace:
    """Parse arguments.

    Args:
        parser: Made with ``exit_on_error=False``.
        arguments: The words of the command line.
        names: Class names that may be given without their module.

    Raises:
        UsageError: If they cannot be understood, or ``--out`` names nothing, as an unset variable of a shell does.
    """
    try:
        values = parser.parse_args(list(arguments))
    except ArgumentError as error:
        raise UsageError(explain(str(error), parser, list(names))) from None
    if values.get("out") == "":
        raise UsageError("'--out' is empty: name a file or a folder")
    return values


def require_concrete(values: Namespace) -> None:
    """Check classes which are yet to be made; what is made at once was checked by :func:`parse`.

    Raises:
        UsageError: If one lacks a method, which the message names, or the model is another part of graphmi.
    """
    for path, part in _with_entries(values):
        for key, value in part.items():
            if key.endswith("class_path") and inspect.isabstract(resolve_name(value)):
                raise UsageError(lacks(re.sub(r"\.class_path$|\.init_args", "", path + key), value))
            if key == "model.class_path" and re.match(r"graphmi\.(?!models\.)", value):
                raise UsageError(is_none("model", value, "model"))


def require_values(parser: ArgumentParser, values: Namespace) -> None:
    """Check what is null: jsonargparse passes over it in files and in the options of classes.

    Args:
        parser: What has parsed the values.
        values: What it has parsed, without those of its options that need not be given.

    Raises:
        UsageError: If an option is null that must be something.
    """
    empty = [key for key, value in values.items() if value is None]
    outside = Namespace({key: None for key in empty if ".init_args." not in key})  # type: ignore[no-untyped-call]
    try:
        parser.validate(outside, skip_unset=False, skip_required=True)
    except TypeError as error:
        raise UsageError(explain(str(error), parser, [])) from None
    for path, part in _with_entries(values):
        for key in (key for key, value in part.items() if value is None and "init_args." in key):
            place, _, name = key.rpartition("init_args.")
            parameter = inspect.signature(resolve_name(part[f"{place}class_path"])).parameters.get(name)
            if parameter and parameter.annotation in (bool, float, int, str) and parameter.default is not None:
                option, kind = (path + key).replace(".init_args", ""), parameter.annotation.__name__
                raise UsageError(f"'--{option}' must be {kind} (got None)")


def _with_entries(values: Namespace, path: str = "") -> Iterator[tuple[str, Namespace]]:
    """Yield values and the entries of their lists, each after what stands before the names of its options."""
    yield path, values
    for key, value in values.items():
        for entry in value if isinstance(value, list) else ():
            if isinstance(entry, Namespace):
                yield from _with_entries(entry, f"{path}{key}.")
