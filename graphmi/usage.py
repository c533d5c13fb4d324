"""Mistakes on the command line, answered with one sentence and the nearest valid names."""

import difflib
import inspect
import re
from collections.abc import Iterable, Sequence
from importlib import import_module
from typing import Any

from jsonargparse import ArgumentError, ArgumentParser, Namespace

__all__ = ["UsageError", "nearest", "parse", "require_name"]


class UsageError(ValueError):
    """What was asked for cannot be understood; the message says what would be."""


def nearest(name: str, names: Iterable[str], what: str = "there are") -> str:
    """Return ``did you mean ...?``, or a few or all of the names where none is near."""
    names = list(dict.fromkeys(names))
    lower = {known.lower(): known for known in reversed(names)}
    if close := difflib.get_close_matches(name.lower(), lower, n=3, cutoff=0.6):
        return f"did you mean {' or '.join(lower[match] for match in close)}?"
    return f"{what} {', '.join(names)}"


def require_name(name: str, names: Iterable[str], what: str) -> None:
    """Check that a name is known.

    Raises:
        UsageError: If it is not; the message has the nearest names.
    """
    names = list(names)
    if name not in names:
        raise UsageError(f"no {what} is named '{name}' ({nearest(name, names)})")


def parse(parser: ArgumentParser, arguments: Sequence[str], names: Iterable[str] = ()) -> Namespace:
    """Parse arguments.

    Args:
        parser: Made with ``exit_on_error=False``.
        arguments: The words of the command line.
        names: Class names that may be given without their module.

    Raises:
        UsageError: If they cannot be understood.
    """
    try:
        return parser.parse_args(list(arguments))
    except (ArgumentError, TypeError) as error:  # TypeError: jsonargparse iterates over what should be a list
        raise UsageError(_explain(str(error), parser, list(names))) from None


def _explain(message: str, parser: ArgumentParser, names: list[str]) -> str:
    """Turn a message of jsonargparse, which can be many lines, into one sentence."""
    options = [option for option in parser._option_string_actions if option.startswith("--") and "+" not in option]
    if found := re.search(r"unrecognized arguments: (--[^\s=]+)", message):
        return f"there is no option '{found[1]}' ({nearest(found[1], options, 'options are')})"
    if found := re.search(r"unrecognized arguments: (.+)", message):
        return f"'{found[1]}' is one word too many"
    if found := re.search(r"arguments are required: (.+)", message):
        return f"'{_option(found[1])}' is missing"
    keys = re.findall(r'[Pp]arser key "([\w.]+)"', message)
    path = ".".join(keys)
    if found := re.search(r"Option '([\w.]+)' is not accepted", message):
        known = _class_options(message) or [option.removeprefix("--") for option in options]
        name = ".".join([*keys, found[1]])
        return f"there is no option '{_option(name)}' ({nearest(found[1], known, 'options are')})"
    if found := re.search(
        r"has no attribute '(\w+)'|Expected a dot import path string: (\w+)|[Nn]o module named '([\w.]+)'"
        r"|class_path '?([\w.]+)'? |subclass.* for name '?(\w+)'?",
        message,
    ):
        name = next(group for group in found.groups() if group)
        return f"'{_option(path)}' names no class that can be imported: '{name}' ({nearest(name, names)})"
    text = re.sub(r"\s+", " ", re.sub(r'^[Pp]arser key "[\w.]+":\s*', "", message)).strip()
    text = re.sub(r"<class '([\w.]+)'>", r"\1", text)
    return f"'{_option(path)}': {text}" if path else text


def _option(name: str) -> str:
    return name if name.startswith("-") else f"--{name}"


def _class_options(message: str) -> list[str]:
    """Return the options of the class that refused one."""
    found = re.search(r"class_path '([\w.]+)':\s+Option '", message)
    found = found or re.search(r"is not accepted\. Got value: Namespace\(class_path='([\w.]+)'", message)
    if not found:
        return []
    module, _, name = found[1].rpartition(".")
    cls: Any = getattr(import_module(module), name)
    return [parameter for parameter in inspect.signature(cls).parameters if parameter != "graph"]
