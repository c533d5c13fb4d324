"""Comparisons as files: all numbers for programs, the table for papers and pages."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl

from graphmi.atomic import replacing
from graphmi.commands.comparing import Comparison

__all__ = ["FORMATS", "write_comparison"]

_LATEX = {
    **{sign: rf"\{sign}" for sign in "&%$#_{}"},
    **{"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"},
    **{"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", "±": r"$\pm$"},
}


def write_comparison(comparison: Comparison, path: Path) -> None:
    """Write a comparison in the format of the file's ending.

    ``.csv`` and ``.json`` hold a line per row and model, not rounded; ``.md`` and ``.tex`` (of LaTeX's booktabs) hold
    the table as it is shown.

    Raises:
        OSError: If it cannot be written.
    """
    with replacing(path) as part:
        part.write_text(FORMATS[path.suffix](comparison), encoding="utf-8")


def _records(comparison: Comparison) -> list[dict[str, Any]]:
    return [
        {"part": row.part, "row": row.name, "run": name, **numbers}
        for row in comparison.rows
        for name, numbers in zip(comparison.models, row.numbers(), strict=True)
    ]


def _csv(comparison: Comparison) -> str:
    return pl.DataFrame(_records(comparison), infer_schema_length=None).write_csv()


def _json(comparison: Comparison) -> str:
    content = {
        "title": comparison.title,
        "compared to": comparison.models[0],
        "caption": comparison.caption,
        "rows": _records(comparison),
    }
    return json.dumps(content, indent=1, allow_nan=False) + "\n"


def _grid(comparison: Comparison) -> Iterator[tuple[str, list[list[str]]]]:
    """Yield the rows of each part as text."""
    others = range(1, len(comparison.models))
    for part, rows in comparison.parts().items():
        yield part, [row.cells(others) for row in rows]


def _markdown(comparison: Comparison) -> str:
    header = comparison.header(range(1, len(comparison.models)))
    lines = [_markdown_row(header), "|---" + "|---:" * (len(header) - 1) + "|"]
    for part, rows in _grid(comparison):
        lines += [f"| **{part}** " + "| " * (len(header) - 1) + "|"] if part else []
        lines += map(_markdown_row, rows)
    return "\n".join([f"{comparison.title}\n", *lines, f"\n{comparison.caption}\n"])


def _markdown_row(cells: list[str]) -> str:
    return "| " + " | ".join(re.sub(r"([|<*_`\\])", r"\\\1", cell) for cell in cells) + " |"


def _latex(comparison: Comparison) -> str:
    header = comparison.header(range(1, len(comparison.models)))
    lines = [rf"\begin{{tabular}}{{l{'r' * (len(header) - 1)}}}", r"\toprule", _latex_row(header)]
    for part, rows in _grid(comparison):
        lines.append(r"\midrule")
        lines += [rf"\multicolumn{{{len(header)}}}{{l}}{{{_latex_text(part)}}} \\"] if part else []
        lines += map(_latex_row, rows)
    comments = [f"% {' '.join(text.split())}" for text in (comparison.title, comparison.caption)]
    return "\n".join([*comments, *lines, r"\bottomrule", r"\end{tabular}", ""])


def _latex_row(cells: list[str]) -> str:
    return " & ".join(map(_latex_text, cells)) + r" \\"


def _latex_text(text: str) -> str:
    """Escape what LaTeX would read as a command; signs of numbers stand in formulas, where a minus is one."""
    if re.fullmatch(r"[-+<]\d*\.\d+( \[.+\])?", text):
        return re.sub(r"[-+<]\d*\.\d+", r"$\g<0>$", text)
    return "".join(_LATEX.get(sign, sign) for sign in text)


FORMATS: dict[str, Callable[[Comparison], str]] = {".csv": _csv, ".md": _markdown, ".tex": _latex, ".json": _json}
