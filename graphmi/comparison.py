"""Runs side by side: which may stand beside each other, what they are called, and which are seeds of one model."""

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from graphmi.config import completed, settings
from graphmi.mistakes import nearest
from graphmi.run import RunFolder
from graphmi.run_names import path_but_seed, unique_tails
from graphmi.usage import UsageError

__all__ = [
    "Model",
    "NamedRun",
    "averaged",
    "by_seed",
    "check_comparable",
    "choose_metric",
    "has_seeds",
    "models_of",
    "named",
    "shared_interests",
    "shared_lists",
    "shared_metrics",
]


@dataclass(frozen=True)
class NamedRun:
    """A run under the name by which people tell it from the others.

    Attributes:
        name: The end of its path, as much of it as makes it unique.
        folder: Where it lies.
    """

    name: str
    folder: RunFolder

    @cached_property
    def result(self) -> dict[str, Any]:
        """The content of ``result.json``.

        Raises:
            FileNotFoundError: If the run has not ended.
            ValueError: If it was not tested, because it was trained on all items.
        """
        result = self.folder.read_result()
        if "metrics" not in result and result["config"].get("refit") == "all":
            raise ValueError(
                f"'{self.folder.path}' was trained on the test items, too, so that nothing of it was measured: name a "
                "run that was not, such as the one that it was made of"
            )
        return result

    @cached_property
    def per_user(self) -> dict[str, Tensor]:
        """The test metrics of every user, by name."""
        return self.folder.read_tensors("per_user")

    @cached_property
    def epochs(self) -> list[dict[str, float]]:
        """The rows of ``metrics.csv`` without their empty entries; none where nothing was trained."""
        return self.folder.read_metrics()


@dataclass(frozen=True)
class Model:
    """Runs that differ by their seeds at most.

    Attributes:
        name: Their name.
        runs: At least one.
    """

    name: str
    runs: Sequence[NamedRun]

    @property
    def first(self) -> NamedRun:
        """The run that stands for all in what a seed does not change."""
        return self.runs[0]

    @property
    def seeds(self) -> str:
        """How many seeds it has, in words."""
        return "1 seed" if len(self.runs) == 1 else f"{len(self.runs)} seeds"

    def each(self, part: str, name: str) -> list[Any]:
        """Return an entry of a part of ``result.json``, such as a metric of ``"metrics"``, of each run."""
        return [run.result[part][name] for run in self.runs]

    def of_users(self, metric: str) -> Tensor:
        """Return a test metric of every user, averaged over the seeds, ``[num_users]``."""
        return self.of_runs(metric).mean(0)

    def of_runs(self, metric: str) -> Tensor:
        """Return a test metric of every user in each run, ``[num_runs, num_users]``."""
        return torch.stack([run.per_user[metric] for run in self.runs])


def named(folders: Sequence[RunFolder]) -> list[NamedRun]:
    """Return the runs with names that differ, in their order."""
    names = unique_tails([folder.path.resolve() for folder in folders])
    return [NamedRun(name, folder) for name, folder in zip(names, folders, strict=True)]


def models_of(runs: Sequence[NamedRun], *, seeds: bool = False) -> list[Model]:
    """Return every run as a model of its own; with ``seeds`` those that differ in nothing but the seed as one.

    Raises:
        FileNotFoundError: If a run has no result.
        ValueError: If a run is there twice.
    """
    return by_seed(runs) if seeds else [Model(run.name, [run]) for run in runs]


def averaged(models: Sequence[Model]) -> bool:
    """Tell whether some model has several seeds: numbers are then means over them, with intervals over them."""
    return any(len(model.runs) > 1 for model in models)


def by_seed(runs: Sequence[NamedRun]) -> list[Model]:
    """Return runs by model, in the order of their first: those whose configurations differ in nothing but the seed.

    A model is named after the path of its first run without the seed at its end: that of ``one/0`` or ``one-seed0`` is
    ``one``, and so is that of the best trial of a search, ``one/trial-3-seed1``.

    Raises:
        FileNotFoundError: If a run has no result.
        ValueError: If a run is there twice.
    """
    models = dict[str, list[NamedRun]]()
    for run in runs:
        same = models.setdefault(_config_but_seed(run), [])
        if twin := next((one for one in same if one.result["seed"] == run.result["seed"]), None):
            raise ValueError(
                f"'{twin.folder.path}' and '{run.folder.path}' are one model with one seed, {run.result['seed']}: "
                "leave one of them out"
            )
        same.append(run)
    paths = [path_but_seed(same[0].folder.path, same[0].result["seed"]) for same in models.values()]
    if len(set(paths)) < len(paths):  # several models in one folder
        paths = [same[0].folder.path.resolve() for same in models.values()]
    return [Model(name, same) for name, same in zip(unique_tails(paths), models.values(), strict=True)]


def has_seeds(runs: Sequence[NamedRun]) -> bool:
    """Tell whether some of the runs differ in nothing but the seed."""
    return len({_config_but_seed(run) for run in runs}) < len(runs)


def check_comparable(runs: Sequence[NamedRun]) -> None:
    """Refuse runs whose numbers mean different things.

    Args:
        runs: Finished runs.

    Raises:
        FileNotFoundError: If a run has no result.
        ValueError: If a run differs from the first in data, protocol or evaluated users.
    """
    for run in runs:
        run.folder.require()
    for run in runs[1:]:
        _check_protocols(runs[0], run)
        if not torch.equal(runs[0].per_user["user"], run.per_user["user"]):
            raise ValueError(f"'{runs[0].name}' and '{run.name}' cannot be compared: they evaluated different users")


def shared_metrics(runs: Sequence[NamedRun]) -> list[str]:
    """Return the test metrics that all runs have, in the order of the first."""
    return [name for name in runs[0].result["metrics"] if all(name in run.result["metrics"] for run in runs)]


def shared_lists(runs: Sequence[NamedRun], metric: str) -> list[str]:
    """Return what all runs know of their lists beyond accuracy, of lists as long as those of a metric."""
    first, *others = [run.result.get("lists", {}) for run in runs]
    length = metric.rpartition("@")[2]
    return [name for name in first if name.endswith(f"@{length}") and all(name in one for one in others)]


def shared_interests(runs: Sequence[NamedRun]) -> list[str]:
    """Return what is known of the interests of all runs; nothing where one of them has one interest."""
    first, *others = [run.result.get("interests") or {} for run in runs]
    return [name for name in first if all(name in one for one in others)]


def choose_metric(runs: Sequence[NamedRun], metric: str | None = None) -> str:
    """Return the metric by which runs are compared: the one asked for, or the one that the first run monitored.

    Raises:
        UsageError: If not every run has it, or it is one of lists or interests, beyond accuracy.
    """
    metric = metric or str(runs[0].result["config"]["trainer"]["monitor"])
    shared = shared_metrics(runs)
    if any(metric in {**run.result.get("lists", {}), **(run.result.get("interests") or {})} for run in runs):
        raise UsageError(
            f"'{metric}' is beyond accuracy, which tests and tables of papers leave out: name a metric such as "
            f"'{shared[0]}', and 'graphmi compare' without --table shows it beside"
        )
    if metric not in shared:
        raise UsageError(f"no metric of all runs is named '{metric}' ({nearest(metric, shared)})")
    return metric


def _config_but_seed(run: NamedRun) -> str:
    """Return what decides a run but for its seed; of a refit but for its epochs too, which its seed found best."""
    config = run.result["config"]
    with suppress(UsageError):  # a class of it may not be there any more
        config = completed(config)
    if config.get("refit"):
        unread = dict.fromkeys(("epochs", "patience", "validate_every"))
        config = {**config, "trainer": {**config["trainer"], **unread}}
    return json.dumps({**settings(config), "seed": None}, sort_keys=True)


def _check_protocols(first: NamedRun, other: NamedRun) -> None:
    before, now = (run.result["protocol"] for run in (first, other))
    # The lengths of the lists are part of each metric's name.
    for name in sorted((before.keys() | now.keys()) - {"k"}):
        if before.get(name) != now.get(name):
            raise ValueError(
                f"'{first.name}' and '{other.name}' cannot be compared: their protocols differ in '{name}' "
                f"({before.get(name, 'unset')} and {now.get(name, 'unset')})"
            )
    ours, theirs = (run.result["data"]["fingerprint"] for run in (first, other))
    if ours != theirs:
        raise ValueError(
            f"'{first.name}' and '{other.name}' cannot be compared: their data differ "
            f"(fingerprints {ours[:12]} and {theirs[:12]})"
        )
