"""The command ``graphmi evaluate``."""

from collections.abc import Sequence

from jsonargparse import ArgumentParser
from rich.console import Console

from graphmi.commands.tables import metrics_table, result_tables
from graphmi.data.dataset import Part
from graphmi.restore import restore
from graphmi.result import describe_evaluation
from graphmi.run import RunFolder
from graphmi.usage import parse

__all__ = ["main"]


def main(arguments: Sequence[str]) -> None:
    """Run the command.

    Args:
        arguments: The words after ``graphmi evaluate``.

    Raises:
        UsageError: If an option is unknown.
        FileNotFoundError: If there is no trained model.
        ValueError: If the data is not that of the run.
    """
    parser = ArgumentParser(
        prog="graphmi evaluate",
        exit_on_error=False,
        allow_abbrev=False,
        description="Evaluate the model of a run again, and write evaluation-SPLIT.json to its folder.",
    )
    parser.add_argument("run", type=str, help="The run folder.")
    parser.add_argument("--split", type=Part, default="test", help="What to predict.")
    parser.add_argument("--k", type=int, nargs="+", help="Lengths of the lists; those of the run when omitted.")
    options = parse(parser, arguments)
    evaluate(RunFolder(options.run), options.split, options.k)


def evaluate(folder: RunFolder, split: Part, k: Sequence[int] | None = None) -> None:
    """Evaluate the model of a run, print the result and write ``evaluation-SPLIT.json``.

    Args:
        folder: The run.
        split: What to predict, ``"valid"`` or ``"test"``.
        k: Lengths of the lists, each at least 1; those of the run when omitted.

    Raises:
        FileNotFoundError: If there is no trained model.
        ValueError: If the data is not that of the run.
    """
    run = restore(folder)
    experiment, dataset = run.experiment, run.dataset
    evaluation = experiment.evaluate(run.model, dataset, split, k)
    if not experiment.trainer.leads:
        return
    result = describe_evaluation(experiment, dataset, evaluation)
    folder.write_result(result, f"evaluation-{split}.json")
    console = Console()
    console.print(metrics_table(str(folder.path), {split: result["metrics"]}))
    metric = experiment.trainer.monitor
    metric = metric if metric in evaluation.metrics else next(iter(evaluation.metrics))
    for table in result_tables(result, metric):
        console.print(table)
