"""Runs side by side: which may stand beside each other, and how they differ on the same users."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from graphmi.metrics import Interval, PairedResult, by_group, paired_tests
from graphmi.run import RunFolder
from graphmi.usage import UsageError, nearest

__all__ = ["NamedRun", "check_comparable", "choose_metric", "mean_interval", "named", "paired", "shared_metrics"]


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
        """
        return self.folder.read_result()

    @cached_property
    def per_user(self) -> dict[str, Tensor]:
        """The test metrics of every user, by name."""
        return self.folder.read_tensors("per_user")

    @cached_property
    def epochs(self) -> list[dict[str, float]]:
        """The rows of ``metrics.csv`` without their empty entries; none where nothing was trained."""
        return self.folder.read_metrics()


def named(folders: Sequence[RunFolder]) -> list[NamedRun]:
    """Return the runs with names that differ, in their order."""
    paths = [folder.path.resolve() for folder in folders]
    depth, names = 1, _tails(paths, 1)
    while len(set(names)) < len(set(paths)):
        depth += 1
        names = _tails(paths, depth)
    return [NamedRun(name, folder) for name, folder in zip(names, folders, strict=True)]


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


def choose_metric(runs: Sequence[NamedRun], metric: str | None = None) -> str:
    """Return the metric by which runs are compared: the one asked for, or the one that the first run monitored.

    Raises:
        UsageError: If not every run has it.
    """
    metric = metric or str(runs[0].result["config"]["trainer"]["monitor"])
    shared = shared_metrics(runs)
    if metric not in shared:
        raise UsageError(f"no metric of all runs is named '{metric}' ({nearest(metric, shared)})")
    return metric


def paired(first: NamedRun, other: NamedRun, metric: str, group: Tensor | None = None) -> dict[str, PairedResult]:
    """Test the other run against the first on the same users, see :func:`graphmi.metrics.paired_tests`."""
    draws = torch.Generator().manual_seed(0)
    return paired_tests(other.per_user[metric], first.per_user[metric], group, generator=draws)


def mean_interval(run: NamedRun, metric: str) -> Interval:
    """Return the 95 % bootstrap interval of a test metric over the users."""
    values = run.per_user[metric]
    everyone = torch.zeros(len(values), dtype=torch.int64)
    draws = torch.Generator().manual_seed(0)
    return by_group(values, everyone, replicates=1000, generator=draws).intervals["0"]


def _tails(paths: Sequence[Path], depth: int) -> list[str]:
    return [Path(*path.parts[-depth:]).as_posix() for path in paths]


def _check_protocols(first: NamedRun, other: NamedRun) -> None:
    before, now = (run.result["protocol"] for run in (first, other))
    # The lengths of the lists are part of each metric's name.
    for name in sorted((before.keys() | now.keys()) - {"k"}):
        if before.get(name) != now.get(name):
            raise ValueError(
                f"'{first.name}' and '{other.name}' cannot be compared: their protocols differ in '{name}' "
                f"({before.get(name)} and {now.get(name)})"
            )
    ours, theirs = (run.result["data"]["fingerprint"] for run in (first, other))
    if ours != theirs:
        raise ValueError(
            f"'{first.name}' and '{other.name}' cannot be compared: their data differ "
            f"(fingerprints {ours[:12]} and {theirs[:12]})"
        )
