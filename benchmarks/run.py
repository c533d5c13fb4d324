"""Measure graphmi beside its alternatives: ``python benchmarks/run.py [NAME] [--out results.json]``.

Without a name all benchmarks run, those of a GPU where there is one. Ratios are to the row of ratio 1.00; times are
medians with quartiles.
"""

import argparse
import datetime
import importlib
import json
from pathlib import Path

import torch
from measure import Row, machine
from rich.console import Console
from rich.table import Table

OTHERS = ("run", "measure", "time_to_accuracy")  # the last one takes long and is run by itself
CUDA = {"gpu", "tiles"}
NAMES = sorted(path.stem for path in Path(__file__).parent.glob("*.py") if path.stem not in OTHERS)


def show(console: Console, name: str, rows: list[Row]) -> None:
    """Print the rows of one benchmark as a table."""
    table = Table(title=name, title_justify="left")
    for column in ("", "median", "quartiles", "ratio", ""):
        table.add_column(column, justify="left" if not column else "right")
    for row in rows:
        t = row.time
        table.add_row(
            row.name,
            f"{t.median * 1e3:.1f} ms",
            f"{t.low * 1e3:.1f} - {t.high * 1e3:.1f}",
            f"{row.ratio:.2f}",
            row.note,
        )
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", nargs="*", help=f"any of {', '.join(NAMES)}; all where none is named")
    parser.add_argument("--out", type=Path, help="write the numbers as JSON")
    arguments = parser.parse_args()
    if unknown := set(arguments.name) - set(NAMES):
        parser.error(f"no benchmark {sorted(unknown)}; choose from {', '.join(NAMES)}")
    here = [name for name in NAMES if name not in CUDA or torch.cuda.is_available()]
    if missing := set(arguments.name) - set(here):
        parser.error(f"the benchmarks {sorted(missing)} need a CUDA device, and there is none")
    console = Console()
    results = {"date": datetime.date.today().isoformat(), "machine": machine()}
    console.print(results["machine"])
    for name in arguments.name or here:
        rows = importlib.import_module(name).run()
        show(console, name, rows)
        results[name] = [row.to_dict() for row in rows]
    if arguments.out:
        arguments.out.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
