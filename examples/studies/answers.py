"""What the runs of a question say: a table, tests user by user, a figure, and all numbers as JSON."""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from figures import interval, save
from question import METRIC, Question
from rich.box import MARKDOWN, SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from runs import Runs

from graphmi.comparison import NamedRun, check_comparable
from graphmi.metrics import holm, paired_tests
from graphmi.run import RunFolder

Values = Mapping[str, Mapping[str, Sequence[float | None]]]


def value(run: NamedRun, name: str) -> float | None:
    """Return a number of a run, ``None`` where it has none.

    Args:
        run: The run.
        name: A test metric; ``valid`` (validation :data:`METRIC`), ``spread`` (standard deviation over groups of
            diversity at equal activity), ``spread, plain``, ``lowest group`` and ``highest group`` (mean of the least
            and of the most diverse users at equal activity), ``seconds`` of training, ``parameters``, ``epochs``,
            ``best epoch``; ``interests/...``, ``lists/...``; or what the study measures.
    """
    result = run.result
    groups = {plain: result["groups"].get(f"diversity{plain}/{METRIC}") for plain in ("", "-controlled")}
    controlled = groups["-controlled"]
    known = {
        **result["metrics"],
        **{f"interests/{key}": one for key, one in result["interests"].items()},
        **{f"lists/{key}": one for key, one in result["lists"].items()},
        "valid": result["valid_metrics"][METRIC],
        "seconds": result["timings"]["train_seconds"],
        "parameters": result["num_parameters"],
        "epochs": result["epochs"],
        "best epoch": result["best_epoch"],
    }
    known |= {f"spread{', plain' * (not key)}": one["std"] for key, one in groups.items() if one}
    if controlled:
        known |= {"lowest group": controlled["mean"][0], "highest group": controlled["mean"][-1]}
    if (run.folder.path / "measured.json").exists():
        known |= run.folder.read_result("measured.json")
    return known.get(name)


def differences(found: Mapping[str, list[NamedRun]], pairs: Mapping[str, str]) -> dict[str, dict[str, object]]:
    """Return how cells differ from others, user by user and averaged over the seeds, with Wilcoxon's test after Holm.

    Args:
        found: The runs of each cell.
        pairs: Which cell is compared with which; cells without runs are left out.
    """
    users = {name: torch.stack([run.per_user[METRIC] for run in runs]).mean(0) for name, runs in found.items()}
    tests = {}
    for name, other in pairs.items():
        if name in found and other in found:
            check_comparable([found[other][0], found[name][0]])
            draws = torch.Generator().manual_seed(0)
            tests[name] = paired_tests(users[name], users[other], generator=draws)["all"]
    corrected = holm([test.wilcoxon for test in tests.values()])
    return {
        name: {
            "with": pairs[name],
            "difference": test.difference,
            "interval": [test.interval.low, test.interval.high],
            "wilcoxon": test.wilcoxon,
            "wilcoxon, Holm": p,
        }
        for (name, test), p in zip(tests.items(), corrected, strict=True)
    }


def wide_console() -> Console:
    """Return a console that is wide enough for a table where the output is no terminal."""
    return Console() if sys.stdout.isatty() else Console(width=150)


def show(runs: Runs, name: str, console: Console) -> None:
    """Print the table of a question, and write it (``QUESTION.md``), its numbers (``.json``) and figure (``.png``)."""
    question, found = runs.study.questions[name], runs.found(runs.study.questions[name])
    if not found:
        return
    compared = differences(found, question.pairs())
    values = {
        cell: {column: [value(run, column) for run in found[cell]] for column in question.columns} for cell in found
    }
    shown = table(question, values, compared)
    console.print(shown)
    if failed := runs.failed(question):
        console.print(f"failed: {'; '.join(failed)}", markup=False)
    with (runs.folder / f"{name}.md").open("w", encoding="utf-8") as file:
        shown.box, shown.title, shown.caption = MARKDOWN, None, None
        Console(file=file, width=1000).print(shown)
    cells = {
        cell: {
            **asdict(question.cells[cell]),
            "values": values[cell],
            "compared": compared.get(cell),
            "curves": {name: [_curve(run, name) for run in found[cell]] for name in question.curves},
        }
        for cell in found
    }
    content = {
        "asks": question.asks,
        "data": Path(runs.data).name,
        "full": runs.full,
        "given": runs.given,
        "versions": next(iter(found.values()))[0].result["versions"],
        "failed": runs.failed(question),
        "against": question.against,
        "cells": cells,
    }
    RunFolder(runs.folder).write_text(f"{name}.json", json.dumps(content, indent=1) + "\n")
    save(question.figure, f"{question.asks} ({Path(runs.data).name})", cells, runs.folder / f"{name}.png")


def _curve(run: NamedRun, name: str) -> list[tuple[float, float]]:
    """Return the epochs that have a value, and it."""
    return [(row["epoch"], row[name]) for row in run.epochs if name in row]


def table(question: Question, values: Values, compared: Mapping[str, Mapping[str, Any]]) -> Table:
    """Return the table of a question.

    Args:
        question: Whose columns are shown.
        values: The values of each cell, by column, one per seed.
        compared: What :func:`differences` returned, or nothing.
    """
    shown = Table(title=question.asks, caption="test; mean and 95 % t interval over the seeds", box=SIMPLE_HEAD)
    one = question.against if isinstance(question.against, str) else None
    for column in ("cell", "seeds", *question.columns, *((f"less {one or 'other'}", "p (Holm)") if compared else ())):
        shown.add_column(column, justify="left" if column == "cell" else "right")
    for cell, columns in values.items():
        tested, last = compared.get(cell), ("", "") if compared else ()
        if tested:
            other = "" if one else f" ({tested['with']})"
            last = f"{_short(tested['difference'], '+')}{other}", f"{tested['wilcoxon, Holm']:.2g}"
        seeds = str(max(map(len, columns.values())))
        shown.add_row(cell, seeds, *(_shown(column, columns[column]) for column in columns), *last)
    return shown


def _shown(column: str, values: Sequence[float | None]) -> str:
    center, half = interval(values)
    if center != center:
        return "-"
    if column in {"seconds", "parameters", "epochs", "best epoch"}:
        return f"{center:,.0f}"
    return f"{_short(center)} ± {_short(half)}" if half else _short(center)


def _short(number: float, sign: str = "") -> str:
    """Write a number with four digits, without the zero before the point."""
    return f"{number:{sign}.4f}".replace("0.", ".", 1) if abs(number) < 1 else f"{number:{sign}.3f}"
