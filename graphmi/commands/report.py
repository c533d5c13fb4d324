"""The command ``graphmi report``."""

from collections.abc import Sequence

from graphmi.commands.tables import say
from graphmi.report import build_report
from graphmi.run import RunFolder
from graphmi.usage import command_parser, parse

__all__ = ["main"]


def main(arguments: Sequence[str]) -> None:
    """Run the command.

    Args:
        arguments: The words after ``graphmi report``.

    Raises:
        UsageError: If an option or the metric is unknown.
        FileExistsError: If the file is there and is no report.
        FileNotFoundError: If a run has not ended.
        ValueError: If the runs cannot be compared.
    """
    parser = command_parser(
        "report",
        "Write one HTML file that shows runs side by side: accuracy, fairness by user group, interests, "
        "items and single users. It opens offline and loads nothing.",
    )
    parser.add_argument("runs", type=str, nargs="+", help="Run folders; the first is what the others are compared to.")
    parser.add_argument("--out", type=str, default="report.html", help="The file; an earlier report is replaced.")
    parser.add_argument(
        "--metric", type=str, help="The metric of groups and tests; the first run's monitor when omitted."
    )
    parser.add_argument(
        "--seeds", action="store_true", help="Runs whose configurations differ in nothing but the seed are one model."
    )
    parser.add_argument(
        "--num_users",
        type=int,
        default=400,
        help="Users shown one by one; 0 leaves out users and items.",
    )
    options = parse(parser, arguments)
    runs = [RunFolder(run) for run in options.runs]
    path = build_report(runs, options.out, metric=options.metric, num_users=options.num_users, seeds=options.seeds)
    size = path.stat().st_size / 1e6
    say(f"report: {path} ({size:.1f} MB)")
