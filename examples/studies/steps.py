"""The command line of a tuned comparison: tune an arm, test its best, show the table."""

import argparse
from collections.abc import Iterable
from pathlib import Path

from ask import folder_of, given_options
from question import Options, Study
from runs import Runs
from tuned import SEED, TunedComparison

from graphmi.usage import UsageError


def parser(description: str, arms: Iterable[str], trials: int) -> argparse.ArgumentParser:
    """Return the parser of what all comparisons ask for, ``trials`` for each arm where nothing is said."""
    made = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    made.add_argument("step", choices=("tune", "test", "table"))
    made.add_argument("arm", choices=tuple(arms), nargs="?")
    made.add_argument("--data", default="ml-100k", help="name of 'graphmi data list', or a file")
    made.add_argument("--option", action="append", default=[], metavar="NAME=VALUE", help="an option of every arm")
    made.add_argument("--trials", type=int, default=trials)
    made.add_argument("--seeds", type=int, default=5, help="number of seeds that an arm is tested with")
    made.add_argument("--first-seed", type=int, default=SEED + 1, help=f"the first of them; the search uses {SEED}")
    made.add_argument("--out", type=Path, help="folder of trials and runs, runs/COMPARISON/DATA if omitted")
    return made


def runs_of(name: str, arguments: argparse.Namespace, options: Options | None = None) -> Runs:
    """Return where the runs of a comparison are kept, and the options that all of them have."""
    study = Study(name, {}, small=options or {}, full={})
    out = arguments.out or folder_of(name, arguments.data)
    return Runs(study, arguments.data, out, given=given_options(arguments.option))


def step(comparison: TunedComparison, arguments: argparse.Namespace) -> int:
    """Do what was asked for and return the exit status."""
    if arguments.step == "table":
        comparison.table()
    elif arguments.arm is None:
        raise UsageError(f"name an arm: {', '.join(comparison.arms)}")
    elif arguments.step == "tune":
        comparison.tune(arguments.arm, arguments.trials)
    else:
        comparison.test(arguments.arm, arguments.seeds, arguments.first_seed)
    return 0
