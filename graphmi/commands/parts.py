"""The command ``graphmi parts``."""

import inspect
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from importlib import import_module
from pkgutil import resolve_name
from typing import Any, NamedTuple

from jsonargparse import ArgumentParser
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from torch import nn

from graphmi.class_names import short_names
from graphmi.help import Help, plain
from graphmi.mistakes import nearest
from graphmi.usage import UsageError, command_parser, parse

__all__ = ["SECTIONS", "Section", "help_asked", "main", "members", "sentence", "show_help"]


class Section(NamedTuple):
    """Parts of a kind.

    Attributes:
        packages: Where they are public.
        modules: Where they are defined.
        option: The option of ``graphmi train`` that takes one; none for what the command does not choose.
        given: Arguments that come from the experiment, such as the training graph: names, or how many of the first.
    """

    packages: tuple[str, ...]
    modules: tuple[str, ...]
    option: str | None = None
    given: tuple[str | int, ...] = ()


SECTIONS = {
    "What parts exchange": Section(("typing",), ("typing",)),
    "Models": Section(("models",), ("models",), "--model", (1,)),
    "Edge weights": Section(("nn",), ("nn.conv.weights",), "--model.weight"),
    "Encoders of histories": Section(("nn",), ("nn.encode",), "--model.encoder", (2,)),
    "Extractors of interests": Section(("nn",), ("nn.extract",), "--model.extractor", (2,)),
    "Item towers": Section(("nn",), ("nn.item_tower",), "--model.item_tower", (2,)),
    "Graph convolutions": Section(("nn",), ("nn.conv",)),
    "Tables and sparse products": Section(("nn",), ("nn",)),
    "Losses": Section(("losses",), ("losses",), "--loss"),
    "Readouts: scores from several interests": Section(("nn",), ("nn.readout",), "--loss.readout"),
    "Selectors: which interest answers": Section(("nn",), ("nn.select", "nn.inactive"), "--loss.readout.selector"),
    "Similarities": Section(("nn",), ("nn.similarity",), "--loss.readout.similarity"),
    "Objectives": Section(("losses",), ("losses.objectives", "losses.softmax", "losses.gbce"), "--loss.objective"),
    "Weightings of negatives": Section(("losses",), ("losses.weighting",), "--loss.weighting"),
    "Regularizers": Section(("losses",), ("losses.regularizers",), "--loss.regularizers.regularizer"),
    "Samplers of negatives": Section(("samplers",), ("samplers",), "--sampler", (1,)),
    "Splits": Section(("data",), ("data.split", "data.given_split"), "--split"),
    "Batches": Section(
        ("data",), ("data.loader", "data.prefix_loader", "data.target_loader"), "--loader", (1, "generator", "device")
    ),
    "Optimizers, besides those of torch": Section(
        ("optim",), ("optim",), "--trainer.optimizer", ("params", "lr", "weight_decay")
    ),
    "Diversity and groups of users": Section(
        ("data",), ("data.diversity", "data.groups", "data.communities", "data.ego")
    ),
    "Data": Section(("data",), ("data",)),
    "Sampled neighbourhoods": Section(("neighbors",), ("neighbors",)),
    "Metrics, besides those of PyG": Section(("metrics",), ("metrics",)),
    "Retrieval": Section(("retrieval",), ("retrieval",)),
    "Experiments and runs": Section(
        ("config", "experiment_parser", "experiment", "trainer", "run", "restore"),
        ("config", "experiment_parser", "experiment", "trainer", "history", "run", "restore"),
    ),
    "Evaluation, explanation, serving": Section(
        ("evaluator", "explain", "program", "recommendation", "recommender", "vectors"),
        ("evaluator", "evaluation", "explain", "attribution", "program", "recommendation", "recommender", "vectors"),
    ),
    "Reports and searches": Section(("report", "tuning"), ("report", "tuning")),
}
_MADE_OTHERWISE = {"SideBySide", "TowerTable", "Weighted"}


def main(arguments: Sequence[str]) -> None:
    """Run the command.

    Args:
        arguments: The words after ``graphmi parts``.

    Raises:
        UsageError: If there is no such class.
    """
    parser = command_parser("parts", "List the parts that an experiment can be made of, or the options of one.")
    parser.add_argument("part", type=str, nargs="?", help="A class of graphmi, or one of yours by its import path.")
    show_help(None, parse(parser, arguments).part)


def show_help(option: str | None, name: str | None) -> None:
    """Print the options of a class, or the classes that an option takes.

    Args:
        option: An option of ``graphmi train`` that takes a class; all of them when omitted.
        name: The class; all that the option takes when omitted.

    Raises:
        UsageError: If there is no such class, or it is not clear which option takes it.
    """
    if name is not None:
        _print_options(option, _resolve(name))
        return
    options = {title: section.option for title, section in SECTIONS.items() if section.option}
    chosen = [title for title, taking in options.items() if option in (None, taking)]
    chosen = chosen or [title for title, taking in options.items() if taking.startswith(f"{option}.")]
    if not chosen:
        raise UsageError(f"'{option}.help' needs a class: see 'graphmi parts'")
    for title in chosen:
        _print_section(title)


def help_asked(arguments: Sequence[str]) -> tuple[str, str | None] | None:
    """Return option and class of a word such as ``--loss.readout.help`` and what follows; ``None`` if there is none."""
    for word, following in zip(arguments, [*arguments, "-"][1:], strict=True):
        if found := re.fullmatch(r"(--\w[\w.]*)\.help(?:=(.*))?", word):
            return found[1], found[2] or (None if following.startswith("-") else following)
    return None


def members(title: str) -> Iterator[tuple[str, Any]]:
    """Yield the public classes and functions of a section with their names, and packages where there are several."""
    packages = SECTIONS[title].packages
    for package in packages:
        module = import_module(f"graphmi.{package}")
        for name in module.__all__:
            part = getattr(module, name)
            if (inspect.isclass(part) or inspect.isfunction(part)) and _section(part) == title:
                yield name if len(packages) == 1 else f"{package}.{name}", part


def sentence(part: Any) -> str:
    """Return the first paragraph of a docstring as one line."""
    return " ".join((inspect.getdoc(part) or "").partition("\n\n")[0].split())


def _section(part: Any) -> str | None:
    """Return the section whose modules are nearest to where a class or function is defined."""
    defined = f"{part.__module__}."
    near = {
        title: len(module)
        for title, section in SECTIONS.items()
        for module in section.modules
        if defined.startswith(f"graphmi.{module}.")
    }
    return max(near, key=near.__getitem__) if near else None


def _print_section(title: str) -> None:
    option = SECTIONS[title].option
    table = Table(title=f"{title} [dim]{option}[/dim]", title_justify="left", show_header=False, expand=True)
    table.add_column(no_wrap=True)
    table.add_column(ratio=1, overflow="fold")
    for name, part in members(title):
        if inspect.isclass(part) and _can_be_chosen(part):
            table.add_row(name, escape(plain(sentence(part))))
    Console().print(table)


def _can_be_chosen(part: type) -> bool:
    return not (inspect.isabstract(part) or issubclass(part, tuple) or part.__name__ in _MADE_OTHERWISE)


def _print_options(option: str | None, part: type) -> None:
    titles = [title for title, section in SECTIONS.items() if option and section.option == option]
    titles += [title for kind in part.__mro__ if (title := _section(kind))]
    titles += ["Models"] if issubclass(part, nn.Module) else []  # of somebody else
    section = SECTIONS[titles[0]] if titles else Section((), ())
    option = option or section.option
    if option is None or not _can_be_chosen(part):
        raise UsageError(f"no option is known to take '{part.__name__}': name one, graphmi train --OPTION.help CLASS")
    short = short_names().get(part.__name__, "").rpartition(".")[0]
    name = part.__name__ if short and part.__module__.startswith(short) else f"{part.__module__}.{part.__qualname__}"
    parser = ArgumentParser(description=plain(sentence(part)), add_help=False, formatter_class=Help)
    parser.usage = f"graphmi train ... {option} {name} [OPTIONS]"
    taken = inspect.signature(part).parameters
    given = {each for each in (*section.given, "optimizer") if isinstance(each, int) or each in taken}
    parser.add_class_arguments(part, option.removeprefix("--"), as_group=False, skip=given)
    parser.print_help()


def _resolve(name: str) -> type:
    names = short_names()
    part = None
    for path in (names.get(name, name), f"torch.optim.{name}", f"torch.optim.lr_scheduler.{name}"):
        with suppress(ImportError, AttributeError, ValueError):
            part = resolve_name(path)
            break
    if not inspect.isclass(part):
        hint = nearest(name, names).replace("--help", "'graphmi parts'")
        raise UsageError(f"no class is named '{name}' ({hint})")
    return part
