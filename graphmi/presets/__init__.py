"""Presets: papers as YAML files, for ``graphmi train PRESET``; and backbones, which go under a preset.

A scheme such as BaM or REMI trains any backbone. Presets say which backbone their paper has first; another one is the
preset with the few lines of a file of ``backbones`` over it.
"""

from collections.abc import Iterator
from importlib import resources
from importlib.resources.abc import Traversable

__all__ = ["backbone_names", "backbone_text", "preset_names", "preset_text"]


def preset_names() -> list[str]:
    """Return the names of all presets, sorted."""
    return sorted(_names(_presets()))


def preset_text(name: str) -> str:
    """Return the YAML text of a preset.

    Raises:
        ValueError: If there is no such preset.
    """
    return _text(_presets(), name, "preset")


def backbone_names() -> list[str]:
    """Return the names of all backbones, sorted."""
    return sorted(_names(_presets() / "backbones"))


def backbone_text(name: str) -> str:
    """Return the YAML text of a backbone: what it changes in the preset of a sequence model.

    Raises:
        ValueError: If there is no such backbone.
    """
    return _text(_presets() / "backbones", name, "backbone")


def _presets() -> Traversable:
    return resources.files(__name__)


def _names(folder: Traversable) -> Iterator[str]:
    return (file.name.removesuffix(".yaml") for file in folder.iterdir() if file.name.endswith(".yaml"))


def _text(folder: Traversable, name: str, kind: str) -> str:
    names = sorted(_names(folder))
    if name not in names:
        raise ValueError(f"no {kind} is named '{name}' (there are {', '.join(names)})")
    return (folder / f"{name}.yaml").read_text(encoding="utf-8")
