"""A multi-interest graph model beside its single-interest backbone, on MovieLens-100K: what ``make demo`` runs.

Both models are trained with the same objective on the same split, selected on validation, and compared once on the
test: accuracy, and accuracy by groups of users from narrow to broad taste. Each leaves a run folder; figures, and a
report.html that shows everything and opens in any browser, lie beside them.

    python examples/quickstart.py [--data ml-100k] [--out runs/demo]

Started again it goes on where it was interrupted.
"""

import argparse
from pathlib import Path

from rich.console import Console

from graphmi.commands.compare import compare
from graphmi.config import read_config
from graphmi.presets import preset_text
from graphmi.report import build_report, save_figures
from graphmi.result import describe_data, save_run
from graphmi.run import RunFolder

PRESETS = ("lightgcn-softmax", "interest-gcn-softmax")


def train(preset: str, arguments: argparse.Namespace) -> RunFolder:
    """Train a preset and return its run folder; every option of ``graphmi train`` would do as well."""
    options = ["--data", arguments.data, "--split", "RandomSplit"]
    if arguments.epochs is not None:
        options += ["--trainer.epochs", str(arguments.epochs)]
    config = read_config(preset_text(preset), arguments=options)
    experiment = config.experiment()
    dataset = experiment.dataset()
    folder = RunFolder(arguments.out / preset)
    folder.write_result(describe_data(experiment, dataset), "data.json")
    folder.write_config(config.text())
    trained = experiment.train(dataset, folder, resume=True)
    save_run(folder, experiment, dataset, trained, config.to_dict())
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
    main()
