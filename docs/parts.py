"""Writes parts.md: ``python docs/parts.py`` after the name or first sentence of a public class has changed."""

import inspect
import re
from pathlib import Path
from typing import Any

from graphmi.commands.parts import SECTIONS, members, sentence

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "parts.md"
HEAD = """# All parts

Public classes and functions, each with the first sentence of its docstring. The rest of a docstring has shapes, ranges, errors and the
paper, and mostly a short example. An option takes a class by its name, and the arguments of the class are options too: `graphmi train
bam --data ml-100k --loss.readout LogSumExpReadout --loss.readout.temperature 0.2`. `graphmi parts` lists the classes, and `graphmi parts
LogSumExpReadout` the options of one. Classes of your own go by their import path. Regularizers are a list: `--loss.regularizers+ Weighted
--loss.regularizers.weight 0.1 --loss.regularizers.regularizer InterestRepulsion` adds one.

This page is written by [parts.py](parts.py).
"""  # noqa: E501


def page() -> str:
    """Return the page."""
    return HEAD + "".join(f"\n## {title}\n\n{_table(title)}" for title in SECTIONS)


def _table(title: str) -> str:
    section = SECTIONS[title]
    where = ", ".join(f"`graphmi.{package}`" for package in section.packages)
    where += f", `{section.option}`" if section.option else ""
    rows = [f"| [`{name}`](../{_file(part)}) | {_markdown(sentence(part))} |" for name, part in members(title)]
    return "\n".join([where, "", "| | |", "|---|---|", *rows]) + "\n"


def _file(part: Any) -> str:
    return Path(inspect.getfile(inspect.unwrap(part))).relative_to(ROOT).as_posix()


def _markdown(text: str) -> str:
    text = re.sub(r":math:`([^`]*)`", r"$\1$", text)
    text = re.sub(r":\w+:`(?:~[\w.]*\.|graphmi\.)?([\w.]+)`", r"`\1`", text)
    text = re.sub(r"`([^`<]+) <([^>]+)>`_", r"[\1](\2)", text)
    return text.replace("``", "`").replace("|", r"\|")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
