"""The command ``graphmi compare``."""

import textwrap
from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from graphmi.commands.tables import group_names, number
from graphmi.comparison import NamedRun, check_comparable, choose_metric, named, paired, shared_metrics
from graphmi.metrics import PairedResult
from graphmi.run import RunFolder
from graphmi.usage import UsageError, command_parser, parse

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
    parser = command_parser(
        "compare",
        "Put runs side by side: accuracy, fairness by user group, and each run against the first by "
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
    runs = named(folders)
    check_comparable(runs)
    metric, shared = choose_metric(runs, metric), shared_metrics(runs)
    title = Text(f"{runs[0].result['data']['name']}, test", "table.title")
    table = Table(title=title, caption=_caption(runs[0].name))
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


def _header(name: str, width: int) -> Text:
    """Break a long name at its hyphens, so that the table stays narrow."""
    return Text("\n".join(textwrap.wrap(name, width)))


def _caption(first: str) -> Text:
    return Text(
        f"Differences from {first} with 95 % bootstrap intervals; p: Wilcoxon signed-rank test on the same users, "
        "within groups after Holm's correction.",
        "table.caption",
    )


def _accuracy(runs: Sequence[NamedRun], shared: Sequence[str], metric: str) -> Iterator[list[str]]:
    for name in shared:
        if name == metric or name.startswith(("ndcg@", "recall@")):
            tests = [paired(runs[0], run, name)["all"] for run in runs[1:]]
            yield [name, *(number(run.result["metrics"][name]) for run in runs), *_differences(tests)]


def _kinds(runs: Sequence[NamedRun]) -> list[str]:
    return [
        kind for kind in group_names(runs[0].result["groups"]) if all(f"group/{kind}" in run.per_user for run in runs)
    ]


def _fairness(runs: Sequence[NamedRun], kind: str, metric: str) -> Iterator[list[str]]:
    results = [run.result["groups"][f"{kind}/{metric}"] for run in runs]
    tests = [paired(runs[0], run, metric, runs[0].per_user[f"group/{kind}"]) for run in runs[1:]]
    yield [f"[bold]{metric} by\n{kind.replace('-', chr(10))}[/bold]"]
    for index, _ in enumerate(results[0]["mean"]):
        means = (number(result["mean"][index]) for result in results)
        yield [f"group {index + 1}", *means, *_differences([test.get(str(index)) for test in tests])]
    for spread in ("std", "gap", "cv"):
        yield [spread, *(number(result[spread]) for result in results)]


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
