"""Presets: papers as YAML files, for ``graphmi train PRESET``."""

from importlib import resources

__all__ = ["preset_names", "preset_text"]


def preset_names() -> list[str]:
    """Return the names of all presets, sorted."""
    files = resources.files(__name__).iterdir()
    return sorted(file.name.removesuffix(".yaml") for file in files if file.name.endswith(".yaml"))


def preset_text(name: str) -> str:
    """Return the YAML text of a preset.

    Raises:
        ValueError: If there is no such preset.
    """
    if name not in preset_names():
        raise ValueError(f"no preset is named '{name}' (there are {', '.join(preset_names())})")
    return (resources.files(__name__) / f"{name}.yaml").read_text(encoding="utf-8")
