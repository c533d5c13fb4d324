"""Comparisons as files: all numbers for programs, the table for papers and pages."""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate, groupby, pairwise
from pathlib import Path

import polars as pl

from graphmi.atomic import replacing
from graphmi.commands.comparing import Cell, Comparison
from graphmi.commands.paper_table import PaperTable

__all__ = ["FORMATS", "write_table"]

Shown = Comparison | PaperTable

_MARKDOWN_STYLES = "**{}**", "<u>{}</u>", "{}"
_LATEX_STYLES = r"\textbf{{{}}}", r"\underline{{{}}}", "{}"

_LATEX = {
    **{sign: rf"\{sign}" for sign in "&%$#_{}"},
    **{"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"},
    **{"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", "±": r"$\pm$"},
    **{"†": r"$^{\dagger}$", "\N{EN DASH}": "--"},
}


def write_table(table: Shown, path: Path) -> None:
    """Write a table in the format of the file's ending.

    ``.csv`` and ``.json`` hold a line per row and model of each data set, not rounded; ``.md`` and ``.tex`` (of LaTeX's
    booktabs) hold the table as it is shown.

    Raises:
        OSError: If it cannot be written.
    """
    with replacing(path) as part:
        part.write_text(FORMATS[path.suffix](table), encoding="utf-8")


def _csv(table: Shown) -> str:
    return pl.DataFrame(table.records(), infer_schema_length=None).write_csv()


def _json(table: Shown) -> str:
    content = {
        "title": table.title,
        "compared to": table.compared_to,
        "caption": table.caption,
        "rows": table.records(),
    }
    return json.dumps(content, indent=1, allow_nan=False) + "\n"


def _markdown(table: Shown) -> str:
    header = [(f"{above} {name}".strip(), 2) for above, name in table.columns()]
    lines = [_markdown_row(header), "|---" + "|---:" * (len(header) - 1) + "|"]
    for part, rows in table.grid():
        lines += [f"| **{part}** " + "| " * (len(header) - 1) + "|"] if part else []
        lines += map(_markdown_row, rows)
    return "\n".join([f"{table.title}\n", *lines, f"\n{table.caption}\n"])


def _markdown_row(cells: Iterable[Cell]) -> str:
    texts = [_MARKDOWN_STYLES[place].format(re.sub(r"([|<*_`\\])", r"\\\1", text)) for text, place in cells]
    return "| " + " | ".join(texts) + " |"


def _latex(table: Shown) -> str:
    columns = table.columns()
    lines = [rf"\begin{{tabular}}{{l{'r' * (len(columns) - 1)}}}", r"\toprule", *_latex_above(columns)]
    lines.append(_latex_row((name, 2) for _, name in columns))
    for part, rows in table.grid():
        lines.append(r"\midrule")
        lines += [rf"\multicolumn{{{len(columns)}}}{{l}}{{{_latex_text(part)}}} \\"] if part else []
        lines += map(_latex_row, rows)
    comments = [f"% {' '.join(text.split())}" for text in (table.title, table.caption)]
    return "\n".join([*comments, *lines, r"\bottomrule", r"\end{tabular}", ""])


def _latex_above(columns: Sequence[tuple[str, str]]) -> Iterator[str]:
    """Yield the line above the names of the columns, and the rules below it; nothing where it would be empty."""
    spans = [(above, len(list(names))) for above, names in groupby(above for above, _ in columns)][1:]
    ends = list(accumulate((width for _, width in spans), initial=1))
    if spans:
        cells = "".join(rf" & \multicolumn{{{width}}}{{c}}{{{_latex_text(above)}}}" for above, width in spans)
        yield rf"{cells} \\"
        yield "".join(rf"\cmidrule(lr){{{start + 1}-{end}}}" for start, end in pairwise(ends))


def _latex_row(cells: Iterable[Cell]) -> str:
    return " & ".join(_LATEX_STYLES[place].format(_latex_text(text)) for text, place in cells) + r" \\"


def _latex_text(text: str) -> str:
    """Escape what LaTeX would read as a command; signs of numbers stand in formulas, where a minus is one."""
    if re.fullmatch(r"[-+<]\d*\.\d+( \[.+\])?", text):
        return re.sub(r"[-+<]\d*\.\d+", r"$\g<0>$", text)
    return "".join(_LATEX.get(sign, sign) for sign in text)


FORMATS: dict[str, Callable[[Shown], str]] = {".csv": _csv, ".md": _markdown, ".tex": _latex, ".json": _json}
