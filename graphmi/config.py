"""From YAML files and words of the command line to an :class:`~graphmi.experiment.Experiment`, and back.

Constructors' own type hints and docstrings are the configuration: nothing is declared twice.
"""

import inspect
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
import yaml
from jsonargparse import ArgumentParser, Namespace

from graphmi.class_names import full_name, full_names, short_names, tell_replaced
from graphmi.data import SOURCES
from graphmi.experiment import Experiment, Trained
from graphmi.experiment_parser import own_parser
from graphmi.presets import backbone_names, backbone_text, preset_names, preset_text
from graphmi.result import describe_data, save_run
from graphmi.run import RunFolder
from graphmi.seeds import seeded
from graphmi.usage import UsageError, parse, require_concrete, require_name, require_values
from graphmi.words import words_of

__all__ = [
    "Config",
    "completed",
    "config_text",
    "experiment",
    "preset_config",
    "preset_texts",
    "read_config",
    "settings",
]

_TORCH = (*torch.optim.__all__, *torch.optim.lr_scheduler.__all__)  # which options can name, too


class Config:
    """A complete configuration.

    Args:
        values: What was parsed, with nothing left out.
    """

    def __init__(self, values: Namespace) -> None:
        self._values = values

    def text(self) -> str:
        """Return the configuration as YAML; :func:`read_config` understands it."""
        return self._text

    @cached_property
    def _text(self) -> str:
        text: str = own_parser().dump(self._values, skip_unset=False, skip_validation=True)  # parsing has
        return text

    def to_dict(self) -> dict[str, Any]:
        """Return the configuration as plain dictionaries, lists, text and numbers."""
        values: dict[str, Any] = yaml.safe_load(self.text())
        return values

    def experiment(self) -> Experiment:
        """Return the experiment.

        Raises:
            ValueError: If an argument is out of its range.
        """
        try:
            with seeded(self._values.seed, "loss"):  # a loss can have parameters
                parts = own_parser().instantiate(self._values)
        except ValueError as error:
            raise _own_words(error) from None
        return Experiment(**{name: parts[name] for name in _options()})

    def run(self, folder: RunFolder) -> Trained:
        """Train and test as ``graphmi train`` does, and leave a whole run folder, which every command takes.

        If it is interrupted, ``graphmi train --out FOLDER --resume`` goes on. In several processes all must call it.

        Args:
            folder: Must be new or empty.

        Raises:
            FileExistsError: If the folder has content.
            DataError: If the data is unknown or cannot be used.
            ValueError: As :meth:`Experiment.train <graphmi.experiment.Experiment.train>`.
            FloatingPointError: If a loss term is not finite.
        """
        experiment = self.experiment()
        dataset = experiment.dataset()
        if experiment.trainer.leads:
            folder.claim().write_result(describe_data(experiment, dataset), "data.json")
            folder.write_config(self.text())
        try:
            trained = experiment.train(dataset, folder)
        except Exception:
            if experiment.trainer.leads and folder.read_state() is None:
                folder.discard()  # so that the folder is free for another try
            raise
        if experiment.trainer.leads:
            save_run(folder, experiment, dataset, trained, self.to_dict())
        return trained


def read_config(*texts: str, arguments: Sequence[str] = (), parser: ArgumentParser | None = None) -> Config:
    """Read a configuration.

    Args:
        texts: YAML, the later one over the earlier.
        arguments: Words of the command line such as ``"--trainer.epochs", "5"``, over all of them.
        parser: An :func:`~graphmi.experiment_parser.experiment_parser` with further options, if there are some.

    Raises:
        UsageError: If an option, a class or a value is unknown; the message has the nearest names.
    """
    parser = own_parser() if parser is None else parser
    files = [word for text in texts for word in ("--config", full_names(text))]
    words = [full_name(word) for word in arguments]
    values = parse(parser, [*files, *words], [*short_names(), *_TORCH])
    require_concrete(values)
    if texts[1:] or any(word.startswith(("--model", "--sampler", "--loss", "--loader")) for word in words):
        with suppress(UsageError):  # a file need not be complete
            tell_replaced(values, parse(parser, [*files[:2], "--data", values.data]))
    values.columns = {name: str(value) for name, value in values.columns.items()}  # however they came
    for name in set(vars(values)) - set(_options()):  # such as the configuration files themselves
        values.pop(name)
    require_values(parser, values)
    for name in ("data", "split"):
        values[name] = _absolute(values[name])
    if attributes := values.columns.get("attributes"):
        values.columns["attributes"] = _absolute(attributes)
    return Config(values)


def config_text(path: Path) -> str:
    """Return what a configuration file holds.

    Raises:
        UsageError: If it is not text in UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise UsageError(f"'{path}' is not UTF-8 text: save it as UTF-8") from None


def completed(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration that was written down, with the options that are new since then at their defaults.

    Args:
        values: Of :meth:`Config.to_dict`.

    Raises:
        UsageError: If it names a class that is not there any more.
    """
    return read_config(yaml.safe_dump(dict(values))).to_dict()


def settings(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return what decides a run: a configuration, of :meth:`Config.to_dict`, without its description and paper."""
    return {name: value for name, value in values.items() if name not in ("description", "paper")}


def preset_config(preset: str, data: str | os.PathLike[str], *, backbone: str | None = None, **options: Any) -> Config:
    """Return the configuration of a preset, for scripts and studies.

    Args:
        preset: A name of ``graphmi presets``.
        data: A name of ``graphmi data list``, or a file.
        backbone: Put under the preset of a sequence model: ``"comirec-sa"``, ``"comirec-dr"``, ``"mind"``, ``"remi"``.
        options: Further options; two underscores stand for a dot: ``trainer__epochs=5``, ``model__num_interests=2``,
            ``k=[5, 20]``. A class is given by its name.

    Raises:
        UsageError: If an option, the preset or the backbone is unknown.
    """
    words = [word for name, value in options.items() for word in words_of(name, value)]
    return read_config(*preset_texts(preset, backbone), arguments=["--data", os.fspath(data), *words])


def experiment(preset: str, data: str | os.PathLike[str], *, backbone: str | None = None, **options: Any) -> Experiment:
    """Return the experiment of a preset: that of :func:`preset_config`, whose arguments it takes."""
    return preset_config(preset, data, backbone=backbone, **options).experiment()


def preset_texts(preset: str, backbone: str | None = None) -> list[str]:
    """Return the YAML of a preset, and over it that of a backbone.

    Args:
        preset: A name of ``graphmi presets``.
        backbone: What goes under it; only the presets of sequence models take one.

    Raises:
        UsageError: If one of them is unknown, or they do not go together.
    """
    require_name(preset, preset_names(), "preset")
    texts = [preset_text(preset)]
    if backbone is not None:
        require_name(backbone, backbone_names(), "backbone")
        if "class_path: SequenceModel" not in texts[0]:
            raise UsageError(
                f"'--backbone {backbone}' goes under the preset of a sequence model, and '{preset}' is none"
            )
        texts.append(backbone_text(backbone))
    return texts


def _options() -> list[str]:
    return list(inspect.signature(Experiment).parameters)


def _own_words(error: ValueError) -> ValueError:
    """Return what a part said, which jsonargparse wraps with all that was given where the part may be left out."""
    while "Union subtypes" in str(error) and isinstance(error.__cause__, ValueError):
        error = error.__cause__
    return error


def _absolute(value: Any) -> Any:
    """Make paths independent of the working folder, so that a run can be repeated from any."""
    match value:
        case Namespace():
            return Namespace({name: _absolute(entry) for name, entry in vars(value).items()})  # type: ignore[no-untyped-call]
        case str() if value and value not in SOURCES and Path(value).exists():  # Path("") is this folder
            path = Path(value)
            return str(path.resolve() if ".." in path.parts else path.absolute())
    return value
