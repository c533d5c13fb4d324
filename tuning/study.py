"""Search the options of a preset on validation, then train the best with several seeds and test it.

    python tuning/study.py lightgcn --data ml-100k --trials 20
    python tuning/study.py bam --data ml-1m --minutes 120 --out studies/bam --trainer.epochs 60
    python tuning/study.py interest-gcn --data ml-100k --spread      # also a small spread over groups of users
    python tuning/study.py lightgcn --data ml-100k --range trainer.learning_rate=1e-3,3e-3,1e-2 --grid

Ranges are in tuning/space.py, and ``--range`` stands over them. Options that are not listed below go to the preset as
in ``graphmi train``, for all trials, and stand over a ``--config``. The same command goes on where it was interrupted,
and several processes can give it at once: with a common ``--out`` on one file system, or with ``--storage`` and a
database on several machines.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import optuna
from ranges import combinations, fitting, read_range, require_values, there
from rich.console import Console
from space import SPACES, space_of

from graphmi.cli import answer
from graphmi.config import Config, config_text, preset_texts, read_config
from graphmi.tuning import Search, Space, finish
from graphmi.usage import UsageError


def parser() -> argparse.ArgumentParser:
    """Return the parser of what is not an option of ``graphmi train``."""
    made = argparse.ArgumentParser(
        prog="study.py",
        usage="study.py PRESET --data DATA [OPTIONS]",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    made.add_argument("preset", help=f"one of {', '.join(SPACES)}")
    made.add_argument("--data", required=True, help="a name of 'graphmi data list', or a file")
    made.add_argument("--backbone", help="put under the preset of a sequence model, as in graphmi train")
    made.add_argument("--config", type=Path, action="append", default=[], help="YAML over the preset; several add up")
    made.add_argument(
        "--range",
        action="append",
        default=[],
        metavar="NAME=RANGE",
        help="range of an option, over those of the preset: LOW:HIGH, LOW:HIGH:log or VALUE,VALUE; several add up",
    )
    number = made.add_mutually_exclusive_group()
    number.add_argument("--trials", type=int, default=20, help="trials in all, those of other processes included")
    number.add_argument("--grid", action="store_true", help="try all combinations of the lists of --range, and no more")
    made.add_argument("--minutes", type=float, help="no trial begins after so many minutes")
    made.add_argument("--spread", action="store_true", help="search for a small spread over groups of users too")
    made.add_argument("--seeds", type=int, default=3, help="seeds to train the best with; 0 leaves it at the search")
    made.add_argument("--seed", type=int, help="seed of the search and of every trial; as configured when omitted")
    made.add_argument("--storage", help="a file or the URL of a database; journal.log in --out when omitted")
    made.add_argument("--out", type=Path, help="folder of the study; studies/PRESET-DATA when omitted")
    return made


def configured(arguments: argparse.Namespace, options: Sequence[str]) -> Config:
    """Return the configuration of all trials: options over files over the preset."""
    texts = preset_texts(arguments.preset, arguments.backbone)
    texts += [config_text(file) for file in arguments.config]
    seed = [] if arguments.seed is None else ["--seed", str(arguments.seed)]
    return read_config(*texts, arguments=["--data", arguments.data, *seed, *options])


def searched(arguments: argparse.Namespace, config: Config) -> Space:
    """Return where to search: the ranges that are given over those of the preset, or for a grid alone.

    Raises:
        UsageError: If a range is wrong, or there is none for a grid.
    """
    given = fitting(config, dict(read_range(word) for word in arguments.range))
    if arguments.grid and not given:
        raise UsageError("'--grid' goes over lists of values: add --range NAME=VALUE,VALUE")
    require_values(config, given)
    return given if arguments.grid else {**there(config, space_of(arguments.preset)), **given}


def enqueue(study: optuna.Study, points: Sequence[dict[str, Any]]) -> int:
    """Enqueue the points that were not tried, and return how many trials there are with them."""
    for point in points:
        study.enqueue_trial(point, skip_if_exists=True)
    return sum("killed" not in trial.user_attrs for trial in study.get_trials(deepcopy=False))  # those are done again


def main() -> int:
    arguments, options = parser().parse_known_args()
    for limit, least in {"seeds": 0, "minutes": 0, "trials": 1}.items():
        value = vars(arguments)[limit]
        if value is not None and not value >= least:
            raise UsageError(f"'--{limit}' must be at least {least} (got {value})")
    config = configured(arguments, options)
    space = searched(arguments, config)
    points = combinations(space) if arguments.grid else []
    name = f"{arguments.backbone or ''}-{arguments.preset}-{Path(arguments.data).name.partition('.')[0]}".lstrip("-")
    out = arguments.out or Path("studies") / name
    seed = config.to_dict()["seed"]
    search = Search(config, space, out, storage=arguments.storage, spread=arguments.spread, seed=seed)
    trials = enqueue(search.study, points) if arguments.grid else arguments.trials
    search.run(trials, minutes=arguments.minutes)
    page = finish(search, arguments.seeds)
    Console().print(
        f"The best configuration is in '{out / 'best.yaml'}', all of the study in '{page}'.", soft_wrap=True
    )
    return 0


if __name__ == "__main__":
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sys.exit(answer(main))
