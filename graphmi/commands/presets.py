"""The command ``graphmi presets``."""

from collections.abc import Sequence

import yaml
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from graphmi.presets import preset_names, preset_text
from graphmi.usage import command_parser, parse

__all__ = ["main"]


def main(arguments: Sequence[str]) -> None:
    """Print the presets, what each is and where it was published.

    Args:
        arguments: The words after ``graphmi presets``; there are none but ``--help``.

    Raises:
        UsageError: If there is another.
    """
    parse(command_parser("presets", "List the presets."), arguments)
    table = Table("preset", title="Presets", show_lines=True)
    table.add_column("what it is and where it was published", overflow="fold")
    for name in preset_names():
        preset = yaml.safe_load(preset_text(name))
        paper = f"\n[dim]{escape(preset['paper'])}[/dim]" if preset.get("paper") else ""
        table.add_row(name, f"{escape(preset['description'])}{paper}")
    Console().print(table)
