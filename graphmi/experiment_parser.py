"""The options of an experiment, as they are declared by its constructors."""

import inspect
from functools import cached_property
from threading import local

from jsonargparse import ArgumentParser

from graphmi.class_names import short_names
from graphmi.experiment import Experiment
from graphmi.help import Help
from graphmi.trainer import Trainer

__all__ = ["experiment_parser", "own_parser"]


def experiment_parser() -> ArgumentParser:
    """Return a parser with one option for every argument of every part of an experiment."""
    short_names()  # imports the classes that help lists
    parser = ArgumentParser(exit_on_error=False, allow_abbrev=False, add_help=False, formatter_class=Help)
    parser.add_argument("--config", action="config", help="YAML file with options; several add up.")
    parser.add_class_arguments(Experiment, skip={"split", "trainer", "k"})
    split = inspect.signature(Experiment).parameters["split"].annotation
    parser.add_argument(
        "--split",
        type=split,
        default={"class_path": "graphmi.data.LeaveOneOut"},
        help="How the interactions become training, validation and test: LeaveOneOut, RandomSplit, TemporalSplit, "
        "HeldOutUsers, GivenSplit or another class.",
    )
    parser.add_argument(
        "--k", type=int, nargs="+", default=[10, 20, 50], help="Lengths of the lists that are evaluated."
    )
    parser.add_class_arguments(Trainer, "trainer")
    return parser


def own_parser() -> ArgumentParser:
    """Return the :func:`experiment_parser` of this thread: making one takes as long as parsing, which changes it."""
    return _own.parser


class _Own(local):
    @cached_property
    def parser(self) -> ArgumentParser:
        return experiment_parser()


_own = _Own()
