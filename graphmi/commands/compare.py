"""The command ``graphmi compare``."""

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jsonargparse import ArgumentParser
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from torch import Tensor

from graphmi.commands.tables import group_names, number
from graphmi.metrics import PairedResult, paired_tests
from graphmi.run import RunFolder
from graphmi.usage import UsageError, nearest, parse

__all__ = ["compare", "main"]


def main(arguments: Sequence[str]) -> None:
    """Run the command.

    Args:
        arguments: The words after ``graphmi compare``.

    Raises:
        UsageError: If an option or the metric is unknown, or there are fewer than two runs.
        FileNotFoundError: If a run has no result.
        ValueError: If the runs cannot be compared.
    """
    parser = ArgumentParser(
        prog="graphmi compare",
        exit_on_error=False,
        allow_abbrev=False,
        description="Put runs side by side: accuracy, fairness by user group, and each run against the first by "
        "paired tests on the same users.",
    )
    parser.add_argument("runs", type=str, nargs="+", help="Run folders; the first is what the others are compared to.")
    parser.add_argument(
        "--metric", type=str, help="The metric of groups and tests; the first run's monitor when omitted."
    )
    options = parse(parser, arguments)
    if len(options.runs) < 2:
        raise UsageError("name at least two run folders")
    Console().print(compare([RunFolder(run) for run in options.runs], options.metric))


@dataclass(frozen=True)
class _Run:
    name: str
    result: dict[str, Any]
    per_user: dict[str, Tensor]


def compare(folders: Sequence[RunFolder], metric: str | None = None) -> Table:
    """Return one table of several runs.

    Args:
        folders: At least two runs on the same data and protocol.
        metric: The metric of groups and tests; the one that the first run monitored when omitted.

    Raises:
        FileNotFoundError: If a run has no result.
        UsageError: If the metric is unknown.
        ValueError: If the runs differ in data or protocol.
    """
    runs = [
        _Run(folder.path.name, folder.require().read_result(), folder.read_tensors("per_user")) for folder in folders
    ]
    for run in runs[1:]:
        _check_comparable(runs[0], run)
    metric = metric or str(runs[0].result["config"]["trainer"]["monitor"])
    shared = [name for name in runs[0].result["metrics"] if all(name in run.result["metrics"] for run in runs)]
    if metric not in shared:
        raise UsageError(f"no metric of all runs is named '{metric}' ({nearest(metric, shared)})")
    table = Table(title=f"{runs[0].result['data']['name']}, test", caption=_caption(runs[0].name))
    table.add_column("")
    for run in runs:
        table.add_column(_header(run.name, 12), justify="right")
    for run in runs[1:]:
        table.add_column(_header(f"{run.name} less {runs[0].name}", 22), justify="right", min_width=22)
        table.add_column("p", justify="right")
    for rows in (_accuracy(runs, shared, metric), *(_fairness(runs, kind, metric) for kind in _kinds(runs))):
        for row in rows:
            table.add_row(*row)
        table.add_section()
    return table


def _header(name: str, width: int) -> str:
    """Break a long name at its hyphens, so that the table stays narrow."""
    return escape("\n".join(textwrap.wrap(name, width)))


def _caption(first: str) -> str:
    return (
        f"Differences from {first} with 95 % bootstrap intervals; p: Wilcoxon signed-rank test on the same users, "
        "within groups after Holm's correction."
    )


def _check_comparable(first: _Run, other: _Run) -> None:
    """Refuse runs whose numbers mean different things."""
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


def _accuracy(runs: Sequence[_Run], shared: Sequence[str], metric: str) -> Iterator[list[str]]:
    for name in shared:
        if name == metric or name.startswith(("ndcg@", "recall@")):
            tests = [_paired(runs[0], run, name)["all"] for run in runs[1:]]
            yield [name, *(number(run.result["metrics"][name]) for run in runs), *_differences(tests)]


def _kinds(runs: Sequence[_Run]) -> list[str]:
    return [
        kind for kind in group_names(runs[0].result["groups"]) if all(f"group/{kind}" in run.per_user for run in runs)
    ]


def _fairness(runs: Sequence[_Run], kind: str, metric: str) -> Iterator[list[str]]:
    results = [run.result["groups"][f"{kind}/{metric}"] for run in runs]
    tests = [_paired(runs[0], run, metric, runs[0].per_user[f"group/{kind}"]) for run in runs[1:]]
    yield [f"[bold]{metric} by\n{kind.replace('-', chr(10))}[/bold]"]
    for index, _ in enumerate(results[0]["mean"]):
        means = (number(result["mean"][index]) for result in results)
        yield [f"group {index + 1}", *means, *_differences([test.get(str(index)) for test in tests])]
    for spread in ("std", "gap", "cv"):
        yield [spread, *(number(result[spread]) for result in results)]


def _paired(first: _Run, other: _Run, metric: str, group: Tensor | None = None) -> dict[str, PairedResult]:
    """Test the other run against the first."""
    if not torch.equal(first.per_user["user"], other.per_user["user"]):
        raise ValueError(f"'{first.name}' and '{other.name}' cannot be compared: they evaluated different users")
    draws = torch.Generator().manual_seed(0)
    return paired_tests(other.per_user[metric], first.per_user[metric], group, generator=draws)


def _differences(tests: Sequence[PairedResult | None]) -> Iterator[str]:
    for test in tests:
        if test is None:  # a group without users
            yield from ("", "")
            continue
        difference, low, high = (_signed(value) for value in (test.difference, test.interval.low, test.interval.high))
        yield f"{difference} [dim]\\[{low},{high}][/dim]"
        yield "<0.001" if test.wilcoxon_holm < 0.001 else f"{test.wilcoxon_holm:.3f}"


def _signed(value: float) -> str:
    """Return a difference in few characters, so that a table of two runs fits on a narrow terminal."""
    return f"{value:+.4f}".replace("0.", ".", 1)
