"""Options of a resolved configuration by their names on the command line, those inside lists too."""

import copy
from collections.abc import Mapping
from typing import Any

from graphmi.mistakes import nearest
from graphmi.usage import UsageError

__all__ = ["difference", "get_option", "with_options"]


def get_option(values: Mapping[str, Any], name: str) -> Any:
    """Return an option.

    Args:
        values: A configuration, as :meth:`graphmi.config.Config.to_dict` returns it.
        name: As on the command line, ``"trainer.learning_rate"``. Entries of a list are named by their class:
            ``"loss.regularizers.EmbeddingNorm.weight"``.

    Returns:
        The value; the name of the class, without its module, where the option is one.

    Raises:
        UsageError: If there is no such option; the message has the nearest names.
    """
    part, key = _find(values, name)
    value = part[key]
    return value["class_path"].rpartition(".")[2] if isinstance(value, dict) and "class_path" in value else value


def with_options(values: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the configuration with some options changed.

    Classes come first, so that an option can belong to a class that is chosen in the same call, and has a value then
    although the configuration did not have it.

    Args:
        values: A configuration, as :meth:`graphmi.config.Config.to_dict` returns it.
        options: New values by name, as for :func:`get_option`; the name of a class stands for the class with its
            defaults.

    Raises:
        UsageError: If there is no such option.
    """
    changed = copy.deepcopy(dict(values))
    for name in sorted(options, key=lambda name: name.count(".")):
        part, key = _find(changed, name, new=True)
        before, value = part.get(key), options[name]
        if isinstance(before, dict) and "class_path" in before and isinstance(value, str):
            if before["class_path"].rpartition(".")[2] != value:
                part[key] = {"class_path": value}
        else:
            part[key] = value
    return changed


def difference(before: Mapping[str, Any], now: Mapping[str, Any], prefix: str = "") -> str | None:
    """Return the name of the first option in which two configurations differ; ``None`` where they are the same."""
    for name in {**before, **now}:
        path, (old, new) = f"{prefix}{name}", (before.get(name), now.get(name))
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            if found := difference(old, new, prefix if name == "init_args" else f"{path}."):
                return found
        elif old != new and not (path.startswith("columns.") and str(old) == str(new)):  # once they were numbers
            return path.removesuffix(".class_path")
    return None


def _find(values: Mapping[str, Any], name: str, *, new: bool = False) -> tuple[dict[str, Any], str]:
    """Return the dictionary that holds an option, and its key there."""
    *way, last = name.split(".")
    part: Any = values
    for key in way:
        part = _step(part, key, name)
    part = _arguments(part)
    if not isinstance(part, dict) or (last not in part and not new):
        raise _unknown(part, last, name)
    return part, last


def _step(part: Any, key: str, name: str) -> Any:
    if isinstance(part, list):
        found = [entry for entry in part if key in _classes(entry)]
        if len(found) > 1:
            raise UsageError(f"the configuration has no option '{name}': {len(found)} entries are named '{key}'")
        if not found:
            raise _unknown({short: None for entry in part for short in _classes(entry)}, key, name)
        return found[0]
    part = _arguments(part)
    if not isinstance(part, dict) or key not in part:
        raise _unknown(part, key, name)
    return part[key]


def _arguments(part: Any) -> Any:
    """Return the arguments of a class, where it is one."""
    return part.setdefault("init_args", {}) if isinstance(part, dict) and "class_path" in part else part


def _classes(entry: Any) -> set[str]:
    """Return the class of an entry of a list and those right inside it, without their modules."""
    parts = [entry, *entry.values()] if isinstance(entry, dict) else []
    return {part["class_path"].rpartition(".")[2] for part in parts if isinstance(part, dict) and "class_path" in part}


def _unknown(part: Any, key: str, name: str) -> UsageError:
    hint = nearest(key, part) if isinstance(part, dict) and part else "it has none"
    return UsageError(f"the configuration has no option '{name}': '{key}' is not there ({hint})")
