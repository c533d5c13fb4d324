"""A search for the best options of a configuration, on validation alone."""

import gc
import time
from collections.abc import Mapping
from pathlib import Path

import optuna
import torch
import yaml
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState

from graphmi.config import Config, completed, read_config, settings
from graphmi.processes import launched
from graphmi.ranges import at_least
from graphmi.tuning.options import get_option, with_options
from graphmi.tuning.orphans import end_orphans, mark, try_again
from graphmi.tuning.progress import SearchProgress
from graphmi.tuning.same import Space, require_same, require_same_space, require_searchable
from graphmi.tuning.storage import open_storage
from graphmi.usage import UsageError

__all__ = ["Search"]

_FAILURES = 3  # so many in a row are no accident


class Search:
    """Trials of the options of one configuration, kept in a storage.

    Every trial trains once and is measured on validation by the metric that training monitors; the test is not
    evaluated. The configuration's own values are the first trial. Trials that validation shows to be worse than the
    median of the others at the same epoch are ended early, unless the spread is searched too. A trial that fails, for
    lack of memory for instance, is recorded with its error and passed over. Several processes can work on one search
    through a common storage, and one that was interrupted or killed goes on when it is run again.

    Args:
        config: Where the search begins, with the data, of :func:`graphmi.config.read_config`.
        space: Distribution of each option by its name on the command line; of those of
            :mod:`optuna.distributions`. Entries of a list are named by their class:
            ``"loss.regularizers.EmbeddingNorm.weight"``.
        out: Folder of what the search leaves behind.
        storage: A file (Optuna's journal) or the URL of a database; ``out/journal.log`` when omitted.
        spread: Also search for a small spread of the metric over the groups of users: the standard deviation over
            groups of interest diversity at equal activity.
        seed: Seed of the sampler, at least 0; every trial trains with the seed of the configuration.

    Raises:
        DataError: If the data cannot be used, or has no categories for groups by them; nothing is left behind then.
        ValueError: If ``seed`` is negative.
        UsageError: If the configuration has no such option, an option of the data is to be searched, a spread has no
            groups, or the storage has a search of another configuration, of other ranges or of other data.

    Example:
        >>> config = read_config(*preset_texts("lightgcn"), arguments=["--data", "ml-100k"])  # doctest: +SKIP
        >>> ranges = {"trainer.learning_rate": FloatDistribution(1e-4, 1e-2, log=True)}  # doctest: +SKIP
        >>> search = Search(config, ranges, "studies/lightgcn")  # doctest: +SKIP
        >>> search.run(trials=20, minutes=60)  # doctest: +SKIP
    """

    def __init__(
        self,
        config: Config,
        space: Space,
        out: str | Path,
        *,
        storage: str | None = None,
        spread: bool = False,
        seed: int = 0,
    ) -> None:
        if launched() > 1:  # its processes would train one model, and each has a trial of its own
            raise UsageError("a search trains in one process: start it several times instead of with torchrun")
        at_least(0, seed=seed)
        self.values, self.space, self.out = config.to_dict(), dict(space), Path(out)
        self.metric, self.spread, self.seed = str(self.values["trainer"]["monitor"]), spread, seed
        require_searchable(self.values, self.space)
        experiment = config.experiment()
        self._dataset = experiment.dataset()  # first: what is wrong with it leaves no search behind
        # The same for every trial. The test has groups too: those that cannot be are found missing before the search.
        grouped = spread or experiment.groups.by == "categories"
        self._diversity = experiment.groups.values(self._dataset.train) if grouped else None
        if spread and self._diversity is not None and self._diversity.isnan().all():
            raise UsageError("a small spread needs groups of users, and there are none: choose 'groups.by'")
        opened = open_storage(storage or str(self.out / "journal.log"))
        kept_names = [] if storage else optuna.get_all_study_names(opened)  # its folder may have been renamed
        self.study = optuna.create_study(
            study_name=kept_names[0] if kept_names else self.out.name,
            storage=opened,
            directions=["maximize", "minimize"] if spread else ["maximize"],
            pruner=optuna.pruners.MedianPruner(n_startup_trials=5, n_min_trials=3),
            load_if_exists=True,
        )
        if (kept := len(self.study.directions)) != 1 + spread:
            raise UsageError(f"the search in '{self.out}' has {kept} objectives, and {1 + spread} are asked for")
        own = settings(self.values)
        require_same(self.study, self.out, "config", own, completed=lambda old: settings(completed(old)))
        require_same_space(self.study, self.out, self.space)
        require_same(self.study, self.out, "fingerprint", {"data": self._dataset.fingerprint()})

    @property
    def first(self) -> dict[str, object]:
        """Return the configuration's own values, those that lie in their ranges."""
        own = {name: get_option(self.values, name) for name in self.space}
        return {name: value for name, value in own.items() if _contains(self.space[name], value)}

    def run(self, trials: int = 20, *, minutes: float | None = None, progress: bool = True) -> None:
        """Run trials until the search has this many, those of other processes and earlier runs included.

        Args:
            trials: Number of trials, at least 1.
            minutes: No trial begins after so many minutes, and one that runs ends at its next validation, unless it
                is the first; no limit when omitted.
            progress: Whether to show progress bars on a terminal or in a notebook.

        Raises:
            ValueError: If ``trials`` is below 1, or three trials in a row fail; the message has the last error.
            KeyboardInterrupt: If it was interrupted; the message says how to go on.
        """
        at_least(1, trials=trials)
        end_orphans(self.study)
        if not self.study.trials:
            self.study.enqueue_trial(self.first)
        until = None if minutes is None else time.monotonic() + 60 * minutes
        with SearchProgress(trials, self.metric, enabled=progress) as shown:
            while (begun := _begun(self.study)) < trials and not (until and begun and time.monotonic() > until):
                shown.begin(begun)
                shown.end(self._one(begun, shown, until), self.best_trial)
                self._check_failures()

    @property
    def best_trial(self) -> FrozenTrial | None:
        """Return the trial with the best metric so far; ``None`` before the first is complete."""
        complete = self.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        return max(complete, key=lambda trial: trial.values[0], default=None)

    @property
    def front(self) -> list[FrozenTrial]:
        """Return the trials that no other one beats: the best, or the Pareto front, by falling metric."""
        return sorted(self.study.best_trials, key=lambda trial: -trial.values[0])

    def config(self, params: Mapping[str, object]) -> Config:
        """Return the configuration with these options.

        Raises:
            UsageError: If they do not go together.
        """
        return read_config(yaml.safe_dump(with_options(self.values, params)))

    def _one(self, begun: int, shown: SearchProgress, until: float | None) -> FrozenTrial:
        """Run one trial after those that have begun, and return it."""
        # A sampler for each trial that counts: a search that was interrupted draws what it would have drawn.
        self.study.sampler = optuna.samplers.TPESampler(seed=(self.seed + begun) % 2**32)  # what numpy takes
        trial = self.study.ask()
        try:
            mark(trial)
            for name, distribution in self.space.items():  # after the mark: a trial that cannot be drawn ends, too
                trial._suggest(name, distribution)
            values = self._measure(trial, shown, until)
        except optuna.TrialPruned:
            return self.study.tell(trial, state=TrialState.PRUNED)
        except KeyboardInterrupt:
            trial.set_user_attr("killed", True)
            try_again(self.study, self.study.tell(trial, state=TrialState.FAIL))
            raise KeyboardInterrupt(
                f"interrupted: {_begun(self.study)} trials are kept in '{self.out}'; the same command goes on"
            ) from None
        except Exception as error:
            trial.set_user_attr("error", f"{type(error).__name__}: {error}".splitlines()[0])
            return self.study.tell(trial, state=TrialState.FAIL)
        finally:  # what the trial held must not be there when the next begins
            gc.collect()
            torch.cuda.empty_cache()
        return self.study.tell(trial, values)

    def _measure(self, trial: optuna.Trial, shown: SearchProgress, until: float | None) -> list[float]:
        """Train with the options of a trial, and return its values."""
        experiment = self.config(trial.params).experiment()
        experiment.trainer.progress = False

        def report(epoch: int, metrics: Mapping[str, float]) -> None:
            shown.epoch(epoch, experiment.trainer.epochs, metrics[self.metric])
            if not self.spread:
                trial.report(metrics[self.metric], epoch)
            late = until is not None and time.monotonic() > until and self.best_trial is not None
            if late or (not self.spread and trial.should_prune()):
                raise optuna.TrialPruned

        fitted = experiment.fit(self._dataset, on_epoch=report)
        history = fitted.history
        for name, value in {"seconds": history.seconds, "best_epoch": history.best_epoch, **fitted.valid}.items():
            trial.set_user_attr(name, value)
        values = [fitted.valid[self.metric]]
        if self.spread:
            found = experiment.evaluate(fitted.model, self._dataset, "valid", diversity=self._diversity)
            values.append(found.groups[f"diversity-controlled/{self.metric}"].std)
        return values

    def _check_failures(self) -> None:
        finished = [trial for trial in self.study.get_trials(deepcopy=False) if trial.state.is_finished()]
        last = finished[-_FAILURES:]
        errors = [trial.user_attrs["error"] for trial in last if "error" in trial.user_attrs]
        if len(errors) == _FAILURES:
            raise ValueError(f"the last {_FAILURES} trials failed, the latest with: {errors[-1]}")


def _begun(study: optuna.Study) -> int:
    """Count the trials that are done or being done; what was killed is done again."""
    trials = study.get_trials(deepcopy=False)
    return sum(trial.state != TrialState.WAITING and "killed" not in trial.user_attrs for trial in trials)


def _contains(distribution: BaseDistribution, value: object) -> bool:
    """Tell whether a value lies in the range of a distribution."""
    try:
        return bool(distribution._contains(distribution.to_internal_repr(value)))
    except ValueError:
        return False
