"""The command ``graphmi train``."""

import argparse
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser
from lightning_fabric.loggers.tensorboard import TensorBoardLogger
from rich.console import Console

from graphmi.commands.tables import metrics_table, result_tables
from graphmi.config import Config, experiment_parser, preset_texts, read_config
from graphmi.data import Dataset
from graphmi.experiment import Experiment, Trained
from graphmi.presets import backbone_names, preset_names
from graphmi.result import check_data, describe_data, save_run
from graphmi.run import RunFolder
from graphmi.usage import UsageError

__all__ = ["main"]

_USAGE = """graphmi train PRESET --data NAME-or-FILE [--out DIR] [--OPTION VALUE ...]
       graphmi train --config FILE [--out DIR] [--OPTION VALUE ...]
       graphmi train --out DIR --resume"""
_DESCRIPTION = (
    "Train a model and evaluate it. PRESET is a name of 'graphmi presets'; every option of it can be changed, "
    "nested ones too: --model.num_interests 8, --loss.objective SampledSoftmaxLoss, --split RandomSplit "
    "--split.seed 1. Any class on the import path can be named, classes of graphmi without their module. "
    "--model.help CLASS lists the options of a class."
)
# What a resumed run may do differently: none of it changes the epochs that are done.
_RESUMABLE = {"trainer.epochs", "trainer.patience", "trainer.accelerator", "trainer.progress"}


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
    request = _request(arguments)
    config = _config(request, parser)
    experiment = config.experiment()
    dataset = experiment.dataset()  # in several processes, none goes on before all have looked at the folder
    _begin(request, config, experiment, dataset)
    trained = _train(request, experiment, dataset)
    if experiment.trainer.leads:
        _finish(request.folder, config, experiment, dataset, trained)


@dataclass(frozen=True)
class _Request:
    """What is asked for, before options are looked at."""

    texts: list[str]
    files: list[str]
    folder: RunFolder
    resume: bool
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
        "--resume", action="store_true", help="Continue the run in the folder where it was interrupted."
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
    if known.out is None and known.resume:
        raise UsageError("'--out' is missing: name the folder of the run that is to go on")
    folder = RunFolder(known.out) if known.out is not None else _free_folder(preset or "run")
    resume = known.resume and folder.exists
    if not resume:
        folder.require_empty()
    return _Request(texts, known.config, folder, resume, options)


def _free_folder(name: str) -> RunFolder:
    """Return the first of ``runs/NAME``, ``runs/NAME-2``, ... that is free."""
    paths = (Path("runs") / (name if number == 1 else f"{name}-{number}") for number in itertools.count(1))
    return RunFolder(next(path for path in paths if not path.exists()))


def _config(request: _Request, parser: ArgumentParser) -> Config:
    texts = request.texts + [Path(file).read_text(encoding="utf-8") for file in request.files]
    if not request.resume:
        if not texts and not any(option.startswith("--model") for option in request.options):
            raise UsageError(f"name a preset ({', '.join(preset_names())}), a --config file or a --model")
        return read_config(*texts, arguments=request.options, parser=parser)
    stored = request.folder.read_config()
    config = read_config(*(texts or [stored]), arguments=request.options, parser=parser)
    before, now = (_flat(one.to_dict()) for one in (read_config(stored, parser=parser), config))
    for name in sorted(before.keys() | now.keys()):
        if before.get(name) != now.get(name) and name not in _RESUMABLE:
            raise UsageError(
                f"'--{name}' is {now.get(name)}, but the run in '{request.folder.path}' has {before.get(name)}: "
                "a resumed run keeps its options"
            )
    return config


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested options by their names on the command line."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        path = prefix if name == "init_args" else f"{prefix}.{name}".lstrip(".")
        flat |= _flat(value, path) if isinstance(value, dict) and value else {path: value}
    return flat


def _begin(request: _Request, config: Config, experiment: Experiment, dataset: Dataset) -> None:
    folder, data = request.folder, describe_data(experiment, dataset)
    if request.resume:
        check_data(folder, data)
    if experiment.trainer.leads:
        if not request.resume:
            folder.write_result(data, "data.json")
        folder.write_config(config.text())


def _train(request: _Request, experiment: Experiment, dataset: Dataset) -> Trained:
    folder = request.folder
    logger = TensorBoardLogger(folder.path, name="tensorboard", version="")
    try:
        return experiment.train(dataset, folder, resume=request.resume, loggers=[logger])
    except KeyboardInterrupt:
        state = folder.read_state()
        done = f"the state after epoch {state['history']['epochs']} is kept" if state else "no epoch was finished"
        raise KeyboardInterrupt(
            f"interrupted: {done}; continue with: graphmi train --out {folder.path} --resume"
        ) from None
    except Exception:
        if experiment.trainer.leads and folder.read_state() is None:
            folder.discard()  # an argument was wrong: the same folder can be named again
        raise
    finally:
        logger.finalize("")


def _finish(folder: RunFolder, config: Config, experiment: Experiment, dataset: Dataset, trained: Trained) -> None:
    """Write what the run came to, and show it."""
    result = save_run(folder, experiment, dataset, trained, config.to_dict())
    console = Console()
    console.print(metrics_table(experiment.data, {"validation": result["valid_metrics"], "test": result["metrics"]}))
    for table in result_tables(result, experiment.trainer.monitor):
        console.print(table)
    console.print(_summary(folder, result), highlight=False, markup=False, soft_wrap=True)


def _summary(folder: RunFolder, result: Mapping[str, Any]) -> str:
    timings, where = result["timings"], f"in '{folder.path}'"
    if not result["epochs"]:
        return f"Nothing to train; the run is {where}."
    return (
        f"Best of {result['epochs']} epochs on validation: {result['best_epoch']}. Training took "
        f"{timings['train_seconds']:.1f} s ({timings['pairs_per_second']:,.0f} pairs/s). The run is {where}."
    )
