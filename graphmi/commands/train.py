"""The command ``graphmi train``."""

import argparse
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser
from lightning_fabric.loggers.tensorboard import TensorBoardLogger
from rich.console import Console

from graphmi.commands.parts import help_asked, show_help
from graphmi.commands.place import Place
from graphmi.commands.resuming import check_epochs, check_options
from graphmi.commands.tables import metrics_table, result_tables, say
from graphmi.config import Config, config_text, preset_texts, read_config
from graphmi.data import Dataset, Interactions
from graphmi.experiment import Experiment, Fitted
from graphmi.experiment_parser import experiment_parser
from graphmi.presets import backbone_names, preset_names
from graphmi.restore import located, require_data
from graphmi.result import check_data, describe_data, is_whole, save_run
from graphmi.run import RunFolder
from graphmi.usage import UsageError

__all__ = ["main", "run"]

_USAGE = """graphmi train PRESET --data NAME-or-FILE [--out DIR] [--OPTION VALUE ...]
       graphmi train --config FILE [--out DIR] [--OPTION VALUE ...]
       graphmi train --out DIR --resume"""
_DESCRIPTION = (
    "Train a model and evaluate it. PRESET is a name of 'graphmi presets'; every option of it can be changed, "
    "nested ones too: --model.num_interests 8, --loss.objective SampledSoftmaxLoss, --split RandomSplit "
    "--split.seed 1. Any class on the import path can be named, classes of graphmi without their module. "
    "'graphmi parts' lists the classes, and --model.help CLASS the options of one."
)


def main(arguments: Sequence[str]) -> None:
    """Run the command.

    Args:
        arguments: The words after ``graphmi train``.

    Raises:
        UsageError: If an option is unknown or missing.
        FileExistsError: If the folder holds a run already.
        ValueError: If the data or an argument cannot be used.
        KeyboardInterrupt: If it was interrupted; the message says how to continue.
    """
    parser = _parser()
    if {"-h", "--help"} & set(arguments):
        parser.print_help()
        return
    if asked := help_asked(arguments):
        show_help(*asked)
        return
    request = _request(arguments)
    run(_config(request, parser), request.place)


def run(config: Config, place: Place, interactions: Interactions | None = None) -> None:
    """Train and evaluate, or go on with it, leave a run folder, and show what came out.

    Args:
        config: What to do.
        place: The run folder.
        interactions: The data, where it has been read.

    Raises:
        UsageError: If a run that is to go on has other options.
        FileExistsError: If the folder holds a run already.
        FileNotFoundError: If the data of a run that is to go on has moved.
        ValueError: If the data or an argument cannot be used.
        KeyboardInterrupt: If it was interrupted; the message says how to continue.
    """
    experiment = config.experiment()
    if place.resume:
        check_options(place.folder, read_config(_located(place.folder, config)), config)
        check_epochs(place.folder, experiment)
        require_data(place.folder, experiment)
    dataset = experiment.dataset(interactions)  # of several processes, none goes on before all have seen the folder
    data = describe_data(experiment, dataset)
    if place.resume:
        check_data(place.folder, data)
        as_it_was = place.folder.read_config() == config.text()
        if as_it_was and is_whole(place.folder, tested=experiment.refit != "all"):
            if experiment.trainer.leads:
                _show(place.folder, experiment, place.folder.read_result())
            return
    folder = _begin(place, config, experiment, data)
    trained = _train(folder, place.resume, experiment, dataset)
    if experiment.trainer.leads:
        _show(folder, experiment, save_run(folder, experiment, dataset, trained, config.to_dict()))


@dataclass(frozen=True)
class _Request:
    """What is asked for, before options are looked at.

    Attributes:
        texts: The YAML of the preset.
        files: Configuration files over it.
        place: Where the run goes.
        options: All other words.
    """

    texts: list[str]
    files: list[str]
    place: Place
    options: list[str]


def _parser() -> ArgumentParser:
    parser = experiment_parser()
    parser.add_argument(
        "--backbone",
        type=str,
        help=f"Put another backbone under the preset of a sequence model: {', '.join(backbone_names())}.",
    )
    parser.add_argument("--out", type=str, help="The run folder; it must be new or empty. runs/PRESET if omitted.")
    parser.add_argument(
        "--resume",
        action="store_true",
        help="Continue the run in the folder where it was interrupted; a new one begins where there is none.",
    )
    parser.prog, parser.usage, parser.description = "graphmi train", _USAGE, _DESCRIPTION
    return parser


def _request(arguments: Sequence[str]) -> _Request:
    preset = arguments[0] if arguments and not arguments[0].startswith("-") else None
    flags = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    flags.add_argument("--backbone")
    flags.add_argument("--config", action="append", default=[])
    flags.add_argument("--out")
    flags.add_argument("--resume", action="store_true")
    try:
        known, options = flags.parse_known_args(list(arguments[preset is not None :]))
    except argparse.ArgumentError as error:
        raise UsageError(str(error)) from None
    if known.backbone is not None and preset is None:
        raise UsageError(f"'--backbone {known.backbone}' goes under a preset: name one before it")
    texts = [] if preset is None else preset_texts(preset, known.backbone)
    return _Request(texts, known.config, Place.of(known.out, known.resume, preset or "run"), options)


def _config(request: _Request, parser: ArgumentParser) -> Config:
    texts, folder = request.texts + [config_text(Path(file)) for file in request.files], request.place.folder
    if request.place.resume and not texts:
        named = read_config(folder.read_config(), arguments=request.options, parser=parser)
        texts = [_located(folder, named)]
    elif not texts and not any(option.startswith("--model") for option in request.options):
        if request.place.resumable:
            folder.require()
        raise UsageError(f"name a preset ({', '.join(preset_names())}), a --config file or a --model")
    return read_config(*texts, arguments=request.options, parser=parser)


def _located(folder: RunFolder, config: Config) -> str:
    """Return the configuration of a run with its files where they are, seen from the data of another."""
    return located(folder.read_config(), config.to_dict()["data"])[0]


def _begin(place: Place, config: Config, experiment: Experiment, data: Mapping[str, Any]) -> RunFolder:
    """Return the folder of the run, which one of several processes has begun."""
    folder = place.folder
    if experiment.trainer.leads:
        if place.resume:
            folder.reopen()
        else:
            folder = place.claim()
        folder.write_result(data, "data.json")
        folder.write_config(config.text())
    return experiment.trainer.fabric.broadcast(folder)


def _train(folder: RunFolder, resume: bool, experiment: Experiment, dataset: Dataset) -> Fitted:
    logger = TensorBoardLogger(folder.path, name="tensorboard", version="")
    try:
        train = experiment.fit if experiment.refit == "all" else experiment.train
        return train(dataset, folder, resume=resume, loggers=[logger])
    except KeyboardInterrupt:
        state = folder.read_state()
        done = f"the state after epoch {state['history']['epochs']} is kept" if state else "no epoch was finished"
        raise KeyboardInterrupt(
            f"interrupted: {done}; continue with: graphmi train --out {shlex.quote(str(folder.path))} --resume"
        ) from None
    except Exception:
        if experiment.trainer.leads and not resume and folder.read_state() is None:
            folder.discard()  # an argument was wrong: the same folder can be named again
        raise
    finally:
        logger.finalize("")


def _show(folder: RunFolder, experiment: Experiment, result: Mapping[str, Any]) -> None:
    if "metrics" in result:
        parts = {"validation": result["valid_metrics"], "test": result["metrics"]}
        accuracy = metrics_table(experiment.data, {name: found for name, found in parts.items() if found})
        Console().print(accuracy, *result_tables(result, experiment.trainer.monitor))
    say(_summary(folder, result))


def _summary(folder: RunFolder, result: Mapping[str, Any]) -> str:
    timings, where = result["timings"], f"in '{folder.path}'"
    if not result["epochs"]:
        return f"Nothing to train; the run is {where}."
    kept = f"Best of {result['epochs']} epochs on validation: {result['best_epoch']}."
    if not result["valid_metrics"]:
        kept = f"The last of {result['epochs']} epochs on {result['protocol']['trained on']}."
    return (
        f"{kept} Training took {timings['train_seconds']:.1f} s ({timings['pairs_per_second']:,.0f} pairs/s). "
        f"The run is {where}."
    )
