"""The ``graphmi`` command: it finds the command asked for, and turns errors of its user into one sentence.

Commands are imported when they are asked for, so that help is there at once.
"""

import difflib
import io
import logging
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from graphmi import __version__
from graphmi.memory import lack_of_memory

__all__ = ["answer", "main"]

_OF_OTHERS = warnings.formatwarning

_HELP = f"""graphmi {__version__}: multi-interest recommendation on PyTorch and PyTorch Geometric

usage: graphmi COMMAND [OPTIONS]

  presets                      list the presets: what each is and where it was published
  parts [CLASS]                list what experiments can be made of, or the options of a class
  train PRESET --data D --out DIR
                               train and evaluate a model; DIR becomes a run folder
  refit RUN [--all] [--out DIR]
                               train the model of a run on its validation items, too, and test it; with --all
                               on the test as well, to be served
  evaluate RUN [--split test] [--k 10 20 50]
                               evaluate the model of a run folder again
  compare RUN RUN ...          put runs side by side: accuracy, fairness, paired tests
  report RUN [RUN ...] [--out report.html]
                               write one HTML file that shows them, offline
  explain RUN [--user ID]      show the interests of a user, and why each item is recommended
  recommend RUN --user ID ... | --users FILE | --history ID ... | --out FILE
                               lists for users, for somebody new, or for all in a file
  export RUN --out DIR         write the vectors of users and items, for a search engine of your own
  data list                    list the data sets that are known by name
  data fetch NAME              download a data set
  data stats NAME-or-FILE      print sizes, degrees, diversity and time span
  --version                    print the version

'evaluate', 'explain', 'recommend' and 'export' take several runs as one model, whose scores add up:

  graphmi recommend RUN --beside RUN ... [--weights W ...]

A first run:

  graphmi train lightgcn --data ml-100k --out runs/lightgcn
  graphmi train interest-gcn --data ml-100k --out runs/interest-gcn
  graphmi compare runs/lightgcn runs/interest-gcn

'graphmi COMMAND --help' lists the options of a command. GRAPHMI_TRACEBACK=1 shows where an error comes from.
"""
_COMMANDS = (
    "presets",
    "parts",
    "train",
    "refit",
    "evaluate",
    "compare",
    "report",
    "explain",
    "recommend",
    "export",
    "data",
)
# What comes with `pip install "graphmi[train]"` and is imported by some command.
_EXTRA = {
    "jinja2",
    "jsonargparse",
    "lightning_fabric",
    "matplotlib",
    "networkx",
    "polars",
    "rich",
    "safetensors",
    "scipy",
    "tensorboard",
    "torchmetrics",
    "yaml",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: The words after ``graphmi``; those of the process when omitted.

    Returns:
        The exit status: 0, 1 for data and arguments that cannot be used, 2 for what cannot be understood, 130 for
        an interruption.
    """
    warnings.filterwarnings("ignore", "`torch.jit", FutureWarning)  # what torch 2.14 says of torch-geometric
    words = list(sys.argv[1:] if arguments is None else arguments)
    return answer(lambda: _run(words))


def answer(run: Callable[[], int | None]) -> int:
    """Run a command, and turn errors of its user into one sentence; for scripts too.

    Args:
        run: Returns the exit status; nothing stands for 0.

    Returns:
        The exit status, as :func:`main`.
    """
    logging.getLogger("lightning_fabric.utilities.rank_zero").setLevel(logging.WARNING)  # it repeats the configuration
    warnings.formatwarning = _warning
    with suppress(FileNotFoundError):  # where the folder is gone
        if (here := str(Path.cwd())) not in sys.path:
            sys.path.append(here)  # classes of one's own are found beside the data, as python -m finds them
    try:
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="replace")  # not every encoding has the bars and marks of the tables
        return run() or 0
    except KeyboardInterrupt as error:
        return _say(str(error) or "interrupted", 130)
    except BrokenPipeError:  # whoever read the output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except SystemExit as stop:  # help was asked for, or rich has done as above
        if stop.code and not isinstance(stop.__context__, BrokenPipeError):
            raise
        return 0
    except (MemoryError, RuntimeError) as error:
        if (sentence := lack_of_memory(error)) and not os.environ.get("GRAPHMI_TRACEBACK"):
            return _say(sentence, 1)
        with _speaking() as heard:
            pass
        if heard:
            raise
        return 1  # another process has said what is wrong, and this one has lost the connection to it
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _EXTRA:
            raise
        return _say(f"'{error.name}' is not installed; run: pip install \"graphmi[train]\"", 1)
    except (ValueError, OSError, FloatingPointError) as error:
        if os.environ.get("GRAPHMI_TRACEBACK"):
            raise
        return _say(_sentence(error), 2 if type(error).__name__ == "UsageError" else 1)


def _run(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        sys.stdout.write(_HELP)
        return 0
    if words[0] == "--version":
        sys.stdout.write(f"graphmi {__version__}\n")
        return 0
    command, rest = words[0], words[1:]
    if command not in _COMMANDS:
        near = difflib.get_close_matches(command, _COMMANDS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(_COMMANDS)}"
        return _say(f"no command is named '{command}' ({hint})", 2)
    if command == "data":
        _data(rest)
    else:
        import_module(f"graphmi.commands.{command}").main(rest)
    return 0


def _data(words: list[str]) -> None:
    """Run a data command: its options are the arguments of the function."""
    from graphmi.commands.data import fetch, list_sources, stats
    from graphmi.usage import command_parser, parse, require_name

    actions: dict[str, Callable[..., None]] = {"list": list_sources, "fetch": fetch, "stats": stats}
    if not words or words[0] in ("-h", "--help"):
        sys.stdout.write(_HELP)
        return
    require_name(words[0], actions, "data command")
    action = actions[words[0]]
    parser = command_parser(f"data {words[0]}", (action.__doc__ or "").partition("\n")[0])
    parser.add_function_arguments(action, as_positional=True)
    action(**parser.instantiate(parse(parser, words[1:])).as_dict())


def _sentence(error: Exception) -> str:
    if isinstance(error, NotADirectoryError | FileExistsError) and error.filename:
        return f"'{error.filename}' is no folder, nor a path through folders alone: name another one"
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"'{error.filename}': {error.strerror}"
    return str(error)


def _warning(message: Warning | str, category: type[Warning], filename: str, *place: Any, **line: Any) -> str:
    """Return a warning of graphmi as a sentence; those of others have their place before them."""
    if Path(filename).is_relative_to(Path(__file__).parent):
        return f"graphmi: {message}\n"
    return _OF_OTHERS(message, category, filename, *place, **line)


def _say(sentence: str, status: int) -> int:
    """Say what is wrong; of several processes one does."""
    with _speaking() as heard:
        if heard:
            sys.stderr.write(f"graphmi: {sentence}\n")
    return status


def _speaking() -> AbstractContextManager[bool]:
    if os.environ.get("WORLD_SIZE", "1") == "1":
        return nullcontext(True)
    from graphmi.processes import speaking

    return speaking()
