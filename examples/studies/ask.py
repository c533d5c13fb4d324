"""The command line of a study."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from answers import show, wide_console
from question import Options, Study
from runs import Runs

from graphmi.cli import answer
from graphmi.usage import UsageError, require_name


def main(study: Study, description: str) -> int:
    """Run the command line of a study and return the exit status."""
    return answer(lambda: _ask(study, _parser(study, description).parse_args()))


def _parser(study: Study, description: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    names = ", ".join(study.questions)
    parser.add_argument("question", nargs="*", metavar="QUESTION", help=f"of {names}; all of them when omitted")
    parser.add_argument("--data", default="ml-100k", help="name of 'graphmi data list', or a file")
    parser.add_argument("--option", action="append", default=[], metavar="NAME=VALUE", help="an option of every cell")
    parser.add_argument("--cell", action="append", default=[], metavar="CELL", help="train only these of the cells")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--full", action="store_true", help="the full budget per cell")
    parser.add_argument("--show", action="store_true", help="only show what is there")
    parser.add_argument("--out", type=Path, help="folder of the runs, runs/STUDY/DATA if omitted")
    return parser


def _ask(study: Study, arguments: argparse.Namespace) -> int:
    names = arguments.question or list(study.questions)
    for name in names:
        require_name(name, list(study.questions), "question")
    if arguments.seeds < 1:
        raise UsageError(f"'--seeds' must be at least 1 (got {arguments.seeds})")
    name = f"{study.name}-full" if arguments.full else study.name  # small and full budgets are kept apart
    out = arguments.out or folder_of(name, arguments.data)
    runs = Runs(study, arguments.data, out, arguments.full, given_options(arguments.option))
    console = wide_console()
    cells = {cell: study.cells()[cell] for name in names for cell in study.questions[name].cells}
    for cell in arguments.cell:
        require_name(cell, list(cells), "cell")
    train = [] if arguments.show else arguments.cell or list(cells)
    todo = [(cell, seed) for seed in range(arguments.seeds) for cell in train]
    for number, (cell, seed) in enumerate(todo, 1):  # the first seed of all cells before the second of any
        outcome = runs.train(cell, cells[cell], seed)
        console.print(f"{number}/{len(todo)}  {cell}, seed {seed}: {outcome}", markup=False, highlight=False)
    for name in names:
        show(runs, name, console)
    return 0


def folder_of(name: str, data: str) -> Path:
    """Return where the runs of a study on some data are kept, when nothing else is said."""
    return Path("runs") / name / Path(data).name.split(".")[0].split(":")[0]


def given_options(words: Sequence[str]) -> Options:
    """Return options from words NAME=VALUE.

    Raises:
        UsageError: If a word is something else.
    """
    for word in words:
        if "=" not in word:
            raise UsageError(f"'--option {word}' is not NAME=VALUE")
    return dict(word.split("=", 1) for word in words)
