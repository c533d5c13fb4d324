"""Arms that are tuned before they are compared: each is searched on validation with one budget, its best tested once.

A question (``question.py``) is asked of cells whose options are given; here a search gives them. The best trial of an
arm is a cell like any other, trained with several seeds (``runs.py``). Trials are kept beside these runs, so the same
command goes on where it was interrupted.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import optuna
import yaml
from answers import differences, table, value, wide_console
from optuna.trial import TrialState
from question import METRIC, Cell, Options, Question
from rich.console import Console
from runs import Runs

from graphmi.presets import preset_text
from graphmi.run import RunFolder
from graphmi.tuning.storage import open_storage
from graphmi.usage import UsageError

Space = Callable[[optuna.Trial], Options]
SEED = 0  # of every trial
MEASURES = {"std": "spread, plain", "std, controlled": "spread", "seconds": "seconds"}  # as :func:`value` names them


@dataclass(frozen=True)
class Arm:
    """A preset and what is searched in it.

    Attributes:
        preset: Name of the preset.
        space: Returns the options of a trial; the preset is tested as it is when omitted.
        first: Values of the first trial, where the preset itself is not one.
    """

    preset: str
    space: Space | None = None
    first: Options | None = None


@dataclass(frozen=True)
class TunedComparison:
    """Arms, and where their trials and runs are kept.

    Attributes:
        asks: The question.
        arms: By name.
        pairs: Which arm is compared with which, user by user.
        runs: The runs of the best trials; their folder has the trials too, and their options are over those of all.
        also: Test metrics that the table shows besides.
    """

    asks: str
    arms: Mapping[str, Arm]
    pairs: Mapping[str, str]
    runs: Runs
    also: tuple[str, ...] = ("recall@20",)

    def tune(self, name: str, trials: int) -> None:
        """Search an arm until it has so many trials in all; the test is not looked at, and ends the search.

        Raises:
            UsageError: If nothing is searched in this arm, or it was tested.
        """
        arm = self.arms[name]
        if arm.space is None:
            raise UsageError(f"'{name}' is tested as it is, nothing is searched in it")
        search, dataset = self._search(name), self.runs.config(Cell(arm.preset), SEED).experiment().dataset()

        def objective(trial: optuna.Trial) -> float:
            options = arm.space(trial)
            cell = Cell(arm.preset, {**options, "trainer__progress": False})
            fitted = self.runs.config(cell, SEED).experiment().fit(dataset)
            trial.set_user_attr("options", options)
            trial.set_user_attr("seconds", fitted.history.seconds)
            trial.set_user_attr("best_epoch", fitted.history.best_epoch)
            return fitted.valid[METRIC]

        missing = trials - _completed(search)
        if missing > 0 and self.runs.path(name, SEED).parent.exists():
            raise UsageError(f"'{name}' was tested, which ended its search: name another folder with --out")
        if not search.trials:
            search.enqueue_trial(first_values(arm))
        search.optimize(objective, n_trials=max(0, missing), catch=(FloatingPointError,))
        Console().print(f"{name}: validation {METRIC} {search.best_value:.4f}", search.best_trial.user_attrs)

    def test(self, name: str, seeds: int, first: int = SEED + 1) -> None:
        """Train the best configuration of an arm with several seeds and test it.

        Args:
            name: The arm.
            seeds: How many seeds.
            first: The first of them. With that of the trials the best was also lucky, so it is left out.

        Raises:
            UsageError: If the arm has no trial yet.
        """
        if (cell := self.found(name)) is None:
            raise UsageError(f"'{name}' has no trial yet: tune it first")
        for seed in range(first, first + seeds):
            outcome = self.runs.train(name, cell, seed)
            Console().print(f"{name}, seed {seed}: {outcome}", markup=False, highlight=False)

    def table(self) -> None:
        """Print the arms that were tested, and the pairs; ``summary.json`` has the numbers."""
        cells = {name: cell for name in self.arms if (cell := self.found(name)) is not None}
        columns = {name: name for name in ("valid", METRIC, *self.also)} | MEASURES
        question = Question(self.asks, cells, self.pairs, tuple(columns))
        found, console = self.runs.found(question), wide_console()
        values = {
            arm: {name: [value(run, one) for run in runs] for name, one in columns.items()}
            for arm, runs in found.items()
        }
        console.print(table(question, values, {}))
        summary: dict[str, object] = {arm: {"options": cells[arm].options, **values[arm]} for arm in found}
        for arm, test in differences(found, self.pairs).items():
            name, (low, high) = f"{arm} less {test['with']}", test["interval"]
            difference, p = test["difference"], test["wilcoxon"]
            text = f"per user, mean of the seeds: {difference:+.4f} [{low:+.4f}, {high:+.4f}], Wilcoxon p {p:.3g}"
            console.print(f"{name}, {text}", markup=False, soft_wrap=True)
            summary[name] = [difference, low, high, p]
        RunFolder(self.runs.folder).write_text("summary.json", json.dumps(summary, indent=1) + "\n")

    def found(self, name: str) -> Cell | None:
        """Return the best configuration of an arm; ``None`` while it has no trial."""
        arm = self.arms[name]
        if arm.space is None:
            return Cell(arm.preset)
        if not self._journal(name).exists():
            return None
        search = self._search(name)
        return Cell(arm.preset, search.best_trial.user_attrs["options"]) if _completed(search) else None

    def _search(self, name: str) -> optuna.Study:
        storage = open_storage(str(self._journal(name)))
        search = optuna.create_study(study_name=name, storage=storage, direction="maximize", load_if_exists=True)
        # A resumed search must not draw what it drew before.
        search.sampler = optuna.samplers.TPESampler(seed=len(search.trials), n_startup_trials=6)
        return search

    def _journal(self, name: str) -> Path:
        return self.runs.folder / f"{name}.journal"


def _completed(search: optuna.Study) -> int:
    return len(search.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)))


def first_values(arm: Arm) -> Options:
    """Return the values of the first trial: what the preset itself has, where they are not given."""
    if arm.first is not None:
        return arm.first
    trial = optuna.create_study().ask()
    arm.space(trial)
    values: Options = {}
    for name in trial.params:
        part = yaml.safe_load(preset_text(arm.preset))
        for key in name.split("__"):
            part = part.get("init_args", part).get(key) if isinstance(part, dict) else None
        if part is not None:
            values[name] = part
    return values
