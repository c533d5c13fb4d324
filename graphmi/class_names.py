"""Names of classes in configurations: those of graphmi go without their module."""

import inspect
import math
import re
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from pkgutil import resolve_name
from types import MappingProxyType
from typing import Any

import yaml
from jsonargparse import Namespace

from graphmi.mistakes import nearest
from graphmi.usage import UsageError

__all__ = ["full_name", "full_names", "short_names", "tell_replaced"]

_DESCRIBED = ("model", "sampler", "loss", "loader")  # what the description of a preset speaks of
_COMPONENTS = (*_DESCRIBED, "split")
_GROUPS = ("filter", "groups", "trainer")  # where jsonargparse passes over anything but options
_SAID = ("config", "backbone", "out", "resume")  # what the command knows of before it reads a file


@cache
def short_names() -> Mapping[str, str]:
    """Return the classes that can be named without their module: those of graphmi."""
    modules = [import_module(f"graphmi.{name}") for name in ("models", "samplers", "losses", "nn", "data", "optim")]
    return MappingProxyType(
        {
            name: f"{module.__name__}.{name}"
            for module in reversed(modules)
            for name in module.__all__
            if inspect.isclass(getattr(module, name))
        }
    )


class _Loader(yaml.SafeLoader):
    """YAML in which ``1e-3`` is a number too."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)


def full_name(word: str) -> str:
    """Write the classes that a word of the command line names, such as ``--loss=NAME``, with their modules.

    Raises:
        UsageError: If an entry ``class_path`` names no class.
    """
    option, equals, value = word.partition("=") if word.startswith("--") else ("", "", word)
    if not value.startswith(("{", "[")):
        return f"{option}{equals}{short_names().get(value, value)}"
    try:
        entries = yaml.load(value, _Loader)  # noqa: S506 (a safe loader)
    except (yaml.YAMLError, ValueError):  # ValueError: of a date that there is not
        return word
    if (full := _walk(entries)) == entries:
        return word
    return f"{option}{equals}{yaml.safe_dump(full, default_flow_style=True, width=math.inf).strip()}"


def full_names(text: str) -> str:
    """Write the class names of a configuration with their modules: elsewhere a short name may mean another class.

    Args:
        text: YAML.

    Raises:
        UsageError: If it is not YAML, has no options or one of the command line alone, or names no class.
    """
    try:
        values = yaml.load(text, _Loader)  # noqa: S506 (a safe loader)
    except (yaml.YAMLError, ValueError) as error:
        where = getattr(error, "problem_mark", None)
        line = f" (line {where.line + 1})" if where else ""
        raise UsageError(f"a configuration is not valid YAML{line}") from None
    if not isinstance(values, dict):
        raise UsageError("a configuration consists of lines 'option: value'")
    for name in _SAID:
        if name in values:
            raise UsageError(f"'{name}' in a file decides nothing: say '--{name}' on the command line")
    for name in _GROUPS:
        if not isinstance(values.get(name, {}), dict | None):
            raise UsageError(f"'--{name}' takes no value of its own (got {values[name]}): write --{name}.NAME VALUE")
    for name in (*_GROUPS, "columns"):
        if values.get(name, {}) is None:  # all lines below are comments
            del values[name]
    full = {name: _walk(value) if name in _COMPONENTS else value for name, value in values.items()}
    if not isinstance(full.get("k", []), list):
        full["k"] = [full["k"]]  # as of the command line
    match full.get("loader"):
        case {"init_args": dict(options)}:  # older configurations have what only the experiment sets
            full["loader"]["init_args"] = {key: options[key] for key in options.keys() - {"generator", "device"}}
    dumped: str = yaml.safe_dump(full, sort_keys=False)
    return dumped


def tell_replaced(values: Namespace, first: Namespace) -> None:
    """Say in description and paper which classes of model, sampler, loss and loader are not those that they speak of.

    Args:
        values: A configuration, which is changed.
        first: The preset or file at its beginning, parsed alone.
    """
    now, before = (_classes({name: one.as_dict()[name] for name in _DESCRIBED}) for one in (values, first))
    replaced = {
        option: " + ".join(one.__name__ for one in now.get(option, [])) or "none"
        for option in {**now, **before}
        if now.get(option) != before.get(option)
    }
    for name in ("description", "paper") if replaced else ():
        if values[name] and values[name] == first[name]:
            told = re.fullmatch(r"With other parts \((.*?)\): (.*)", values[name], re.DOTALL)
            parts = {**dict(part.partition(" ")[::2] for part in told[1].split(", ")), **replaced} if told else replaced
            inside = tuple(f"{option}." for option in parts)  # of what was replaced as a whole
            shown = ", ".join(f"{option} {part}" for option, part in parts.items() if not option.startswith(inside))
            values[name] = f"With other parts ({shown}): {told[2] if told else values[name]}"


def _classes(value: Any, option: str = "") -> dict[str, list[Any]]:
    """Return the classes of a configuration by the options that name them; those of a list are together."""
    match value:
        case {"class_path": str(name)}:
            return {option: [resolve_name(name)], **_classes(value.get("init_args"), option)}
        case dict():
            parts = [_classes(entry, f"{option}.{key}".lstrip(".")) for key, entry in value.items()]
            return {key: classes for part in parts for key, classes in part.items()}
        case list():
            together = [one for entry in value for classes in _classes(entry).values() for one in classes]
            return {option: together} if together else {}
    return {}


def _walk(value: Any) -> Any:
    match value:
        case {"class_path": str(name)} if "." not in name and name not in short_names():
            raise UsageError(f"no class is named '{name}' ({nearest(name, short_names())})")
        case {"class_path": name} if not isinstance(name, str):
            raise UsageError(f"'class_path' must be the name of a class (got {name})")
        case {"class_path": name, **others} if beside := sorted(others.keys() - {"init_args", "dict_kwargs"}, key=str):
            raise UsageError(f"options of a class stand under its 'init_args', and '{beside[0]}' of {name} does not")
        case dict():
            return {key: _walk(entry) for key, entry in value.items() if (key, entry) != ("init_args", None)}
        case list():
            return [_walk(entry) for entry in value]
        case str():
            return short_names().get(value, value)
    return value
