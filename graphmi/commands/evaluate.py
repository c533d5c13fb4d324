"""The command ``graphmi evaluate``."""

from collections.abc import Sequence

from rich.console import Console

from graphmi.commands.beside import add_runs, restore_runs, weights_beside
from graphmi.commands.tables import metrics_table, result_tables
from graphmi.data.dataset import Part
from graphmi.result import describe_evaluation
from graphmi.usage import command_parser, parse

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
    parser = command_parser(
        "evaluate",
        "Evaluate the model of a run again, and write evaluation-SPLIT.json to its folder, with runs "
        "beside it evaluation-SPLIT-beside.json.",
    )
    add_runs(parser)
    parser.add_argument("--split", type=Part, default="test", help="What to predict.")
    parser.add_argument("--k", type=int, nargs="+", help="Lengths of the lists; those of the run when omitted.")
    options = parse(parser, arguments)
    run = restore_runs(options)
    experiment, dataset = run.experiment, run.dataset
    evaluation = experiment.evaluate(run.model, dataset, options.split, options.k)
    if not experiment.trainer.leads:
        return
    result = describe_evaluation(experiment, dataset, evaluation)
    name = f"evaluation-{options.split}"
    if beside := weights_beside(options):
        result["beside"] = [{"run": path, "weight": weight} for path, weight in beside]
        name = f"{name}-beside"
    run.folder.write_result(result, f"{name}.json")
    metric = experiment.trainer.monitor
    metric = metric if metric in evaluation.metrics else next(iter(evaluation.metrics))
    accuracy = metrics_table(" + ".join([options.run, *options.beside]), {options.split: result["metrics"]})
    Console().print(accuracy, *result_tables(result, metric))
