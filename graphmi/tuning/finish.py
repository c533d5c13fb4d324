"""What follows a search: the best configuration as a file, trained with several seeds and tested once."""

import io
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
from optuna.trial import FrozenTrial
from rich.console import Console
from rich.table import Table
from scipy import stats

from graphmi.commands import train
from graphmi.ranges import at_least
from graphmi.run import RunFolder
from graphmi.tuning.page import page
from graphmi.tuning.search import Search

__all__ = ["finish", "mean_and_interval", "write_best"]


def finish(search: Search, seeds: int = 3) -> Path:
    """Write the best configuration, train it with several seeds, test it, and write a page that shows all.

    The runs are ordinary run folders, ``trial-N-seedS``. What is there from an earlier call with the same best trial
    is not done again; a run that was interrupted is resumed.

    Args:
        search: A search with a complete trial.
        seeds: Number of seeds, from 0 on; with none only configuration and page are written.

    Returns:
        The page, ``study.html`` in the folder of the search.

    Raises:
        ValueError: If no trial is complete, or ``seeds`` is negative.
    """
    at_least(0, seeds=seeds)
    best = write_best(search)
    runs = [_train(search, best, seed) for seed in range(seeds)]
    tested = ""
    if runs:
        values = {name: [run["metrics"][name] for run in runs] for name in runs[0]["metrics"]}
        Console().print(_table(best, values))
        mean, half = mean_and_interval(values[search.metric])
        tested = f"Test of trial {best.number} over {seeds} seeds: {search.metric} {mean:.4f} ± {half:.4f}."
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
    for trial in search.front if search.spread else []:
        folder.write_text(f"front-{trial.number}.yaml", search.config(trial.params).text())
    return best


def mean_and_interval(values: Sequence[float]) -> tuple[float, float]:
    """Return the mean and half the width of its 95 % t interval; NaN for fewer than two values."""
    half = stats.t.ppf(0.975, len(values) - 1) * stats.sem(values) if len(values) > 1 else np.nan
    return float(np.mean(values)), float(half)


def _train(search: Search, best: FrozenTrial, seed: int) -> dict[str, Any]:
    """Return the result of the best configuration with a seed; train it if it is not there."""
    folder = RunFolder(search.out / f"trial-{best.number}-seed{seed}")
    if not (folder.path / "result.json").exists():
        words = ["--config", str(search.out / "best.yaml"), "--out", str(folder.path), "--seed", str(seed)]
        with redirect_stdout(io.StringIO()):  # the tables of single runs; progress is on standard error
            train.main([*words, "--resume"] if folder.exists else words)
    return folder.read_result()


def _table(best: FrozenTrial, values: Mapping[str, Sequence[float]]) -> Table:
    table = Table(title=f"Test of trial {best.number}", caption="mean and 95 % t interval over the seeds")
    table.add_column("metric")
    table.add_column("value", justify="right")
    for name, found in values.items():
        if not name.startswith(("ndcg", "recall")):
            continue
        mean, half = mean_and_interval(found)
        table.add_row(name, f"{mean:.4f} ± {half:.4f}" if len(found) > 1 else f"{mean:.4f}")
    return table
