"""What the studies here share: arms are tuned on validation with one budget, retrained with several seeds, tested once.

Trials and runs are kept under a folder; what is there already is not done again, so a study that was interrupted goes
on when the same command is given.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import optuna
import torch
import yaml
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from rich.console import Console
from rich.table import Table
from scipy.stats import t as student

from graphmi.experiment import Experiment
from graphmi.metrics import paired_tests
from graphmi.presets import preset_text
from graphmi.run import RunFolder

GROUPINGS = {"std": "diversity", "std, controlled": "diversity-controlled"}

Options = dict[str, object]
Space = Callable[[optuna.Trial], Options]


@dataclass(frozen=True)
class Arm:
    """A preset and what is searched in it.

    Attributes:
        preset: Name of the preset.
        space: What is searched.
        first: Values of the first trial, where the preset itself is not one.
    """

    preset: str
    space: Space
    first: Options | None = None


@dataclass(frozen=True)
class Study:
    """Arms on one data set.

    Attributes:
        title: What the table is called.
        arms: By name.
        make: Returns the experiment of an arm with some options.
        out: Where everything is kept.
        pairs: Names of arms ``(multi, single)`` to be compared user by user.
        metric: What validation selects by.
        also: What the table shows besides.
    """

    title: str
    arms: Mapping[str, Arm]
    make: Callable[[str, Options], Experiment]
    out: Path
    pairs: tuple[tuple[str, str], ...]
    metric: str = "ndcg@20"
    also: tuple[str, ...] = ("recall@20",)

    def tune(self, arm: str, trials: int) -> None:
        """Search the ranges of an arm; what was done before counts."""
        dataset = self.make(arm, {}).dataset()

        def objective(trial: optuna.Trial) -> float:
            options = self.arms[arm].space(trial)
            one = self.make(arm, {**options, "replicates": 0, "trainer__progress": False})
            trained = one.train(dataset)
            trial.set_user_attr("options", options)
            trial.set_user_attr("seconds", trained.history.seconds)
            trial.set_user_attr("best_epoch", trained.history.best_epoch)
            return trained.valid[self.metric]

        study = self.search(arm)
        if not study.trials:
            study.enqueue_trial(self.preset_values(arm))
        done = sum(trial.state == optuna.trial.TrialState.COMPLETE for trial in study.trials)
        study.optimize(objective, n_trials=max(0, trials - done), catch=(FloatingPointError,))
        Console().print(f"{arm}: validation {self.metric} {study.best_value:.4f}", study.best_trial.user_attrs)

    def preset_values(self, arm: str) -> Options:
        """Return what the preset itself has for the ranges, as the first trial."""
        if (first := self.arms[arm].first) is not None:
            return first
        trial = optuna.create_study().ask()
        self.arms[arm].space(trial)
        values: Options = {}
        for name in trial.params:
            part = yaml.safe_load(preset_text(self.arms[arm].preset))
            for key in name.split("__"):
                part = part.get("init_args", part).get(key) if isinstance(part, dict) else None
            if part is not None:
                values[name] = part
        return values

    def search(self, arm: str) -> optuna.Study:
        """Open the search of an arm."""
        self.out.mkdir(parents=True, exist_ok=True)
        storage = JournalStorage(JournalFileBackend(str(self.out / f"{arm}.journal")))
        study = optuna.create_study(study_name=arm, storage=storage, direction="maximize", load_if_exists=True)
        # A resumed search must not draw what it drew before.
        study.sampler = optuna.samplers.TPESampler(seed=len(study.trials), n_startup_trials=6)
        return study

    def test(self, arm: str, seeds: int) -> None:
        """Train the best configuration with every seed and test it."""
        best = self.search(arm).best_trial
        for seed in range(seeds):
            self.run(arm, seed, best.user_attrs["options"])

    def run(self, arm: str, seed: int, options: Options) -> None:
        """Train and test one configuration with one seed, unless that is done."""
        folder = RunFolder(self.out / f"{arm}-seed{seed}")
        if (folder.path / "result.json").exists():
            return
        one = self.make(arm, {**options, "seed": seed})
        dataset = one.dataset()
        trained = one.train(dataset, folder, resume=True)
        groups = {name: value for name, value in trained.test.to_dict()["groups"].items() if name.endswith(self.metric)}
        folder.write_tensors("per_user", {"user": trained.test.users, **trained.test.per_user})
        folder.write_result(
            {
                "options": options,
                "seed": seed,
                "fingerprint": dataset.fingerprint(),
                "valid": trained.valid,
                "metrics": trained.test.metrics,
                "groups": groups,
                "seconds": trained.history.seconds,
                "epochs": trained.history.epochs,
            }
        )

    def results(self, arm: str) -> Iterator[tuple[dict, dict[str, torch.Tensor]]]:
        """Go over the tested runs of an arm."""
        for path in sorted(self.out.glob(f"{arm}-seed*")):
            folder = RunFolder(path)
            if (path / "result.json").exists():
                yield folder.read_result(), folder.read_tensors("per_user")

    def table(self) -> None:
        """Print all arms that were tested, and the pairs; ``summary.json`` has the numbers."""
        rows = Table(title=self.title, caption="test; mean and 95 % t interval over the seeds")
        for column in ("arm", "seeds", "validation", self.metric, *self.also, *GROUPINGS, "seconds"):
            rows.add_column(column, justify="left" if column == "arm" else "right")
        per_user, summary = {}, {}
        for arm in self.arms:
            found = list(self.results(arm))
            if not found:
                continue
            values = {name: [r["metrics"][name] for r, _ in found] for name in (self.metric, *self.also)}
            for name, grouping in GROUPINGS.items():
                key = f"{grouping}/{self.metric}"
                values[name] = [r["groups"][key]["std"] for r, _ in found if key in r["groups"]]
            values["seconds"] = [r["seconds"] for r, _ in found]
            valid = [r["valid"][self.metric] for r, _ in found]
            shown = (interval(values[name]) for name in (self.metric, *self.also, *GROUPINGS))
            seconds = f"{sum(values['seconds']) / len(found):.0f}"
            rows.add_row(arm, str(len(found)), interval(valid), *shown, seconds)
            per_user[arm] = torch.stack([users[self.metric] for _, users in found]).mean(0)
            summary[arm] = {"options": found[0][0]["options"], "valid": valid, **values}
        Console().print(rows)
        for multi, single in self.pairs:
            if single in per_user and multi in per_user:
                summary[f"{multi} less {single}"] = self.compare(multi, single, per_user)
        (self.out / "summary.json").write_text(json.dumps(summary, indent=1))

    def compare(self, multi: str, single: str, per_user: Mapping[str, torch.Tensor]) -> list[float]:
        """Print and return the paired difference, its interval and the p value of Wilcoxon's test."""
        test = paired_tests(per_user[multi], per_user[single], generator=torch.Generator().manual_seed(0))["all"]
        low, high = test.interval.low, test.interval.high
        text = f"{multi} less {single}, per user, mean of the seeds: {test.difference:+.4f} [{low:+.4f}, {high:+.4f}]"
        Console().print(f"{text}, Wilcoxon p {test.wilcoxon:.3g}", markup=False, soft_wrap=True)
        return [test.difference, low, high, test.wilcoxon]


def both(*spaces: Space) -> Space:
    """Return the ranges of several spaces together."""
    return lambda trial: {name: value for space in spaces for name, value in space(trial).items()}


def interval(values: list[float]) -> str:
    """Return mean and half-width of the 95 % t interval."""
    if len(values) < 2:
        return f"{values[0]:.4f}" if values else "-"
    sample = torch.tensor(values, dtype=torch.double)
    half = float(student.ppf(0.975, len(values) - 1) * sample.std() / len(values) ** 0.5)
    return f"{float(sample.mean()):.4f} ± {half:.4f}"
