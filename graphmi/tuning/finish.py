"""What follows a search: the best configuration as a file, trained with several seeds and tested once."""

import io
import math
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial
from rich.console import Console
from rich.table import Table

from graphmi.commands import train
from graphmi.config import read_config, settings
from graphmi.estimates import seed_interval
from graphmi.ranges import at_least
from graphmi.run import RunFolder
from graphmi.tuning.orphans import others_run
from graphmi.tuning.page import page
from graphmi.tuning.search import Search
from graphmi.usage import UsageError

__all__ = ["finish", "mean_and_interval", "write_best"]


def finish(search: Search, seeds: int = 3) -> Path:
    """Write the best configuration, train it with several seeds, test it, and write a page that shows all.

    The runs are ordinary run folders, ``trial-N-seedS``. What is there from an earlier call with the same best trial
    is not done again; a run that was interrupted is resumed. The seeds are those after the one of the trials, with
    which the best was also lucky.

    Args:
        search: A search with a complete trial.
        seeds: Number of seeds, at least 0; with none only configuration and page are written.

    Returns:
        The page, ``study.html`` in the folder of the search.

    Raises:
        UsageError: If a folder of a run has one with other options or of other data.
        ValueError: If no trial is complete, or ``seeds`` is negative.
    """
    at_least(0, seeds=seeds)
    if seeds and others_run(search.study):
        Console().print("Other processes still run trials: the last of them tests the best one.", soft_wrap=True)
        seeds = 0
    best, first = write_best(search), search.values["seed"] + 1
    runs = {seed: _train(search, best, seed) for seed in range(first, first + seeds)}
    tested = ""
    if runs:
        values = {name: [run["metrics"][name] for run in runs.values()] for name in runs[first]["metrics"]}
        Console().print(_table(best, values, several=seeds > 1))
        tested = (
            f"Test of trial {best.number} with seed{'s' * (seeds > 1)} {', '.join(map(str, runs))}, which the search "
            f"did not use: {search.metric} {_shown(values[search.metric])}."
        )
    folder = RunFolder(search.out)
    folder.write_text("study.html", page(search.study, search.metric, best.params, tested))
    return folder.path / "study.html"


def write_best(search: Search) -> FrozenTrial:
    """Write the best configuration as ``best.yaml``, and of two objectives the Pareto front as ``front-N.yaml``.

    ``graphmi train --config`` takes these files.

    Returns:
        The best trial: the one with the best metric.

    Raises:
        ValueError: If no trial is complete.
    """
    best = search.best_trial
    if best is None:
        raise ValueError(f"no trial of the search in '{search.out}' is complete, so there is none to go on with")
    folder = RunFolder(search.out)
    folder.write_text("best.yaml", search.config(best.params).text())
    for beaten in folder.path.glob("front-[0-9]*.yaml"):
        beaten.unlink(missing_ok=True)
    for trial in search.front if search.spread else []:
        folder.write_text(f"front-{trial.number}.yaml", search.config(trial.params).text())
    return best


def mean_and_interval(values: Sequence[float]) -> tuple[float, float]:
    """Return the mean and half the width of its 95 % t interval; NaN for fewer than two values."""
    mean, half = (math.nan if one is None else one for one in seed_interval(values))
    return mean, half


def _train(search: Search, best: FrozenTrial, seed: int) -> dict[str, Any]:
    """Return the result of the best configuration with a seed; train it if it is not there."""
    folder = RunFolder(search.out / f"trial-{best.number}-seed{seed}")
    if folder.exists:
        _require_same(search, folder, {**best.params, "seed": seed})
    if not (folder.path / "result.json").exists():
        own = f"trial-{best.number}.yaml"  # another process may find another best one meanwhile
        RunFolder(search.out).write_text(own, search.config(best.params).text())
        words = ["--config", str(search.out / own), "--out", str(folder.path), "--seed", str(seed)]
        with redirect_stdout(io.StringIO()):  # the tables of single runs; progress is on standard error
            train.main([*words, "--resume"] if folder.exists or folder.only_claimed else words)
    return folder.read_result()


def _require_same(search: Search, folder: RunFolder, options: Mapping[str, Any]) -> None:
    """Refuse a run of another search: its trials have the same numbers."""
    one, other = (settings(config.to_dict()) for config in (read_config(folder.read_config()), search.config(options)))
    data = search.study.user_attrs["fingerprint"]["data"]
    if one != other or folder.read_result("data.json")["fingerprint"] != data:
        raise UsageError(f"'{folder.path}' has a run with other options or of other data: name another folder")


def _table(best: FrozenTrial, values: Mapping[str, Sequence[float]], *, several: bool) -> Table:
    caption = "mean and 95 % t interval over the seeds" if several else "one seed"
    table = Table(title=f"Test of trial {best.number}", caption=caption)
    table.add_column("metric")
    table.add_column("value", justify="right")
    for name, found in values.items():
        if name.startswith(("ndcg", "recall")):
            table.add_row(name, _shown(found))
    return table


def _shown(values: Sequence[float]) -> str:
    mean, half = mean_and_interval(values)
    return f"{mean:.4f} ± {half:.4f}" if len(values) > 1 else f"{mean:.4f}"
