"""The options ``--beside`` and ``--weights``: models of several runs as one."""

from dataclasses import replace

from jsonargparse import ArgumentParser, Namespace

from graphmi.models import SideBySide
from graphmi.restore import Restored, restore, restore_model
from graphmi.run import RunFolder
from graphmi.usage import UsageError

__all__ = ["add_runs", "restore_runs", "weights_beside"]


def add_runs(parser: ArgumentParser) -> None:
    """Add a run, and runs beside it, to the arguments of a command."""
    parser.add_argument("run", type=str, help="The run folder.")
    parser.add_argument(
        "--data",
        type=str,
        help="Where the data of the run lies now, if not where it lay at training; attributes of items and files of a "
        "given split may have moved along with it.",
    )
    parser.add_argument(
        "--beside", type=str, nargs="+", default=[], help="Runs on the same data; the scores of all models add up."
    )
    parser.add_argument("--weights", type=float, nargs="+", help="Weight of the scores of each run beside; 1 each.")


def weights_beside(options: Namespace) -> list[tuple[str, float]]:
    """Return the runs beside, and the weight of each.

    Raises:
        UsageError: If there are not as many weights as runs.
    """
    weights = options.weights or [1.0] * len(options.beside)
    if len(weights) != len(options.beside):
        raise UsageError(
            f"give each run of '--beside' a weight (got {len(options.beside)} runs and {len(weights)} weights)"
        )
    return list(zip(options.beside, weights, strict=True))


def restore_runs(options: Namespace) -> Restored:
    """Return the run that was named; with runs beside it, its model is that of all, side by side.

    Args:
        options: What the parser has read.

    Raises:
        UsageError: If there are not as many weights as runs beside.
        FileNotFoundError: If there is no trained model.
        ValueError: If the data is not that of the runs, or a weight is not positive.
    """
    beside = weights_beside(options)
    run = restore(RunFolder(options.run), options.data)
    if not beside:
        return run
    models = [restore_model(RunFolder(path), run) for path, _ in beside]
    return replace(run, model=SideBySide([run.model, *models], weights=[1.0, *(weight for _, weight in beside)]))
