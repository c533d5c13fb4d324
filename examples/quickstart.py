"""A multi-interest graph model beside its single-interest backbone, on MovieLens-100K: what ``make demo`` runs.

Both models are trained with the same objective on the same split, selected on validation, and compared once on the
test: accuracy, and accuracy by groups of users from narrow to broad taste. Each leaves a run folder; figures, and a
report.html that shows everything and opens in any browser, lie beside them.

    python examples/quickstart.py [--data ml-100k] [--out runs/demo]

Started again it goes on where it was interrupted; what is asked for must be the same.
"""

import argparse
import io
import sys
from contextlib import redirect_stdout
from pathlib import Path

from rich.console import Console

from graphmi.cli import answer
from graphmi.commands import train as train_command
from graphmi.commands.compare import compare
from graphmi.report import build_report, save_figures
from graphmi.run import RunFolder

PRESETS = ("lightgcn-softmax", "interest-gcn-softmax")


def train(preset: str, arguments: argparse.Namespace) -> RunFolder:
    """Train a preset as ``graphmi train`` does, or go on with its run, and return the run folder."""
    folder = RunFolder(arguments.out / preset)
    words = [preset, "--data", arguments.data, "--split", "RandomSplit", "--out", str(folder.path)]
    if arguments.epochs is not None:
        words += ["--trainer.epochs", str(arguments.epochs)]
    with redirect_stdout(io.StringIO()):  # the tables of single runs; progress is on standard error
        train_command.main([*words, "--resume"] if folder.exists else words)
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="ml-100k", help="a name of 'graphmi data list', or a file")
    parser.add_argument("--out", type=Path, default=Path("runs/demo"), help="where the run folders lie")
    parser.add_argument("--epochs", type=int, help="most epochs, for a quick look")
    arguments = parser.parse_args()
    console = Console()
    runs = []
    for preset in PRESETS:
        console.print(f"Training [bold]{preset}[/bold] on {arguments.data} ...")
        runs.append(train(preset, arguments))
    console.print(compare(runs))
    for path in save_figures(runs, arguments.out / "figures"):
        console.print(f"figure: {path}")
    report = build_report(runs, arguments.out / "report.html")
    console.print(f"report: {report} (open it in a browser)", soft_wrap=True)
    console.print(f"run folders: {', '.join(str(run.path) for run in runs)}", soft_wrap=True)


if __name__ == "__main__":
    sys.exit(answer(main))
