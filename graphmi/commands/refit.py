"""The command ``graphmi refit``."""

from collections.abc import Sequence

from graphmi.commands import train
from graphmi.commands.place import Place
from graphmi.config import read_config
from graphmi.restore import located, require_data
from graphmi.result import check_data, describe_data
from graphmi.run import RunFolder
from graphmi.usage import UsageError, command_parser, parse

__all__ = ["main"]


def main(arguments: Sequence[str]) -> None:
    """Run the command.

    Args:
        arguments: The words after ``graphmi refit``.

    Raises:
        UsageError: If an option is unknown, or the run is a refit with this seed.
        FileNotFoundError: If the run has not ended, or its data has moved.
        FileExistsError: If the folder holds a run already.
        ValueError: If the data is not that of the run.
        KeyboardInterrupt: If it was interrupted; the message says how to continue.
    """
    parser = command_parser(
        "refit",
        "Train the model of a run again on training and validation items together, for as many epochs as validation "
        "found best, and test it. What is to be found in the test stays the same, but more was learned from: do so "
        "with all models of a comparison, or with none. With --all train on the test items, too: a model to be served, "
        "of which nothing is measured.",
    )
    parser.add_argument("run", type=str, help="Run folder.")
    parser.add_argument("--out", type=str, help="The new run folder; RUN-refit if omitted, with --all RUN-all.")
    parser.add_argument("--all", action="store_true", help="Train on the test items, too, and test nothing.")
    parser.add_argument("--seed", type=int, help="Another seed than that of the run.")
    parser.add_argument("--resume", action="store_true", help="Continue where it was interrupted.")
    parser.add_argument("--data", type=str, help="Where the data of the run lies now, if not where it lay at training.")
    options = parse(parser, arguments)
    run = RunFolder(options.run)
    path, epochs = run.require().path, run.read_result()["best_epoch"]
    refit = "all" if options.all else True
    out = options.out or f"{path.resolve() if path.name in ('', '..') else path}-{'all' if options.all else 'refit'}"
    place = Place.of(out, options.resume)  # before the data is read
    text, words = located(run.read_config(), options.data)
    experiment = read_config(text, arguments=words).experiment()
    if experiment.refit == refit and options.seed is None:
        raise UsageError(f"'{path}' is a refit already, and would come out as it is: refit the run that it was made of")
    require_data(run, experiment)
    interactions = experiment.interactions()
    check_data(run, describe_data(experiment, experiment.dataset(interactions)))
    words += ["--refit", str(refit).lower()]
    if epochs:
        words += ["--trainer.epochs", str(epochs)]
    if options.seed is not None:
        words += ["--seed", str(options.seed)]
    train.run(read_config(text, arguments=words), place, interactions)
