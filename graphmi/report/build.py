"""The report: one HTML file that opens anywhere, offline."""

import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from graphmi.atomic import replacing
from graphmi.comparison import Model, NamedRun, check_comparable, choose_metric, models_of, named
from graphmi.progress import counting
from graphmi.report.explorer import Explorer, sample_users
from graphmi.report.rendering import GENERATOR, render
from graphmi.run import RunFolder

__all__ = ["build_report"]


def build_report(
    runs: Sequence[RunFolder],
    out: str | os.PathLike[str],
    *,
    metric: str | None = None,
    num_users: int = 400,
    seeds: bool = False,
    progress: bool = True,
) -> Path:
    """Write one HTML file that shows runs side by side: accuracy, fairness, interests, items and single users.

    The file loads nothing from elsewhere. The users who can be chosen in it are drawn evenly from the diversity
    groups, always the same ones.

    Args:
        runs: Finished runs on the same data and protocol, at least one; the others are compared to the first.
        out: The file; an earlier report is replaced.
        metric: The metric of groups and tests; the one that the first run monitored when omitted.
        num_users: Users who can be looked at one by one; 0 leaves out users and items, and asks no model.
        seeds: Whether runs whose configurations differ in nothing but the seed are one model, whose numbers are means.
        progress: Whether a terminal shows how far it is.

    Returns:
        The path of the file.

    Raises:
        FileExistsError: If the file is there and is no report.
        FileNotFoundError: If a run has not ended.
        UsageError: If the metric is unknown.
        ValueError: If the runs differ in data or protocol, or an argument is out of range.
    """
    path = _target(out)
    if not runs or num_users < 0:
        raise ValueError(f"'runs' must not be empty and 'num_users' at least 0 (got {len(runs)} and {num_users})")
    distinct = {run.path.resolve(): run for run in runs}  # a run that is named twice is one run
    shown = named(list(distinct.values()))
    check_comparable(shown)
    metric = choose_metric(shown, metric)
    models = models_of(shown, seeds=seeds)
    explorer = _explorer(models, num_users, progress) if num_users else None
    command = ["graphmi", "report", *(str(run.path) for run in runs), "--out", str(out), "--metric", metric]
    command += ["--num_users", str(num_users), *["--seeds"] * seeds]
    text = render(models, metric, explorer, shlex.join(command))
    with replacing(path) as part:
        part.write_bytes(text.encode(errors="backslashreplace"))  # names of files need not be UTF-8
    return path


def _target(out: str | os.PathLike[str]) -> Path:
    """Return the path of a report, where nothing else may lie."""
    path = Path(out)
    if path.is_dir():
        raise FileExistsError(f"'{path}' is a folder: name a file in it, such as '{path / 'report.html'}'")
    if path.exists():
        start = b""
        if path.is_file():  # and no device or pipe
            with path.open("rb") as file:
                start = file.read(2000)
        if f'<meta name="generator" content="{GENERATOR} '.encode() not in start:
            raise FileExistsError(
                f"'{path}' is no report of graphmi, and nothing else is overwritten: name another file"
            )
    return path


def _explorer(models: Sequence[Model], num_users: int, progress: bool) -> dict[str, Any]:
    """Ask the first run of each model, and return the data of the page's script and what is said about it."""
    runs = [NamedRun(model.name, model.first.folder) for model in models]
    users, groups = sample_users(runs[0], num_users)
    total = len(runs[0].per_user["user"])
    num_groups = 0 if groups is None else int(runs[0].per_user["group/diversity"].max()) + 1
    with counting("users", len(users) * len(runs), progress) as shown:
        explorer = Explorer(users, groups, num_groups, shown)
        for run in runs:
            explorer.add(run)
    return {
        "data": explorer.data(),
        "users_note": f"{_who(len(users), total, num_groups)} on this page; the command graphmi explain shows anyone. "
        "Shares behind “because of” say how much of a recommendation the model takes from an item that the user knows; "
        "they are left out for models that cannot say it.",
    }


def _who(count: int, total: int, num_groups: int) -> str:
    """Return which users of the test are shown, as the start of a sentence."""
    if count == total:
        return "The only user of the test is" if total == 1 else f"All {total:,} users of the test are"
    if count == 1:
        return f"1 of the {total:,} users of the test is"
    evenly = ", drawn evenly from the diversity groups," if num_groups > 1 else ""
    return f"{count:,} of the {total:,} users of the test{evenly} are"
