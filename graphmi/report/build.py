"""The report: one HTML file that opens anywhere, offline."""

import base64
import hashlib
import json
import os
import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from graphmi import __version__
from graphmi.comparison import NamedRun, check_comparable, choose_metric, named
from graphmi.report.explorer import Explorer, sample_users
from graphmi.report.sections import sections
from graphmi.report.summary import Summary
from graphmi.report.svg import SHAPES, mark
from graphmi.report.words import findings, lead
from graphmi.run import RunFolder

__all__ = ["build_report", "check_target"]

_GENERATOR = "graphmi"


def build_report(
    runs: Sequence[RunFolder],
    out: str | os.PathLike[str],
    *,
    metric: str | None = None,
    num_users: int = 400,
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
        progress: Whether a terminal shows how far it is.

    Returns:
        The path of the file.

    Raises:
        FileExistsError: If the file is there and is no report.
        FileNotFoundError: If a run has not ended.
        UsageError: If the metric is unknown.
        ValueError: If the runs differ in data or protocol, or an argument is out of range.
    """
    path = check_target(out)
    if not runs or num_users < 0:
        raise ValueError(f"'runs' must not be empty and 'num_users' at least 0 (got {len(runs)} and {num_users})")
    distinct = {run.path.resolve(): run for run in runs}  # a run that is named twice is one run
    shown = named(list(distinct.values()))
    check_comparable(shown)
    metric = choose_metric(shown, metric)
    explorer = _explorer(shown, num_users, progress) if num_users else None
    command = ["graphmi", "report", *(str(run.path) for run in runs), "--out", str(out), "--metric", metric]
    text = _render(shown, metric, explorer, shlex.join([*command, "--num_users", str(num_users)]))
    _write(path, text)
    return path


def check_target(out: str | os.PathLike[str]) -> Path:
    """Return the path of a report that may be written.

    Raises:
        FileExistsError: If something else is there.
    """
    path = Path(out)
    if path.is_dir():
        raise FileExistsError(f"'{path}' is a folder: name a file in it, such as '{path / 'report.html'}'")
    if path.is_file():
        with path.open("rb") as file:
            start = file.read(2000)
        if f'<meta name="generator" content="{_GENERATOR} '.encode() not in start:
            raise FileExistsError(
                f"'{path}' is no report of graphmi, and nothing else is overwritten: name another file"
            )
    return path


def _render(runs: Sequence[NamedRun], metric: str, explorer: dict[str, Any] | None, command: str) -> str:
    environment = Environment(
        loader=PackageLoader("graphmi.report", "page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(cell=_cell, zip=zip)
    summary = Summary(runs, metric)
    script = _file("script.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        environment.get_template("template.html")
        .render(
            title=_title(runs),
            subtitle="How accurate, how fair between users of narrow and broad taste, and what the interests do",
            generator=f"{_GENERATOR} {__version__}",
            style=Markup(_file("style.css")),  # noqa: S704  (files of the package)
            script=Markup(script),  # noqa: S704
            script_hash=f"sha256-{digest}",
            lead=lead(summary),
            findings=list(findings(summary)),
            caption=_caption(runs),
            summary=summary,
            marks=[mark(n) for n in range(len(runs))],
            sections=list(sections(runs, metric)),
            explorer=explorer,
            facts=_facts(runs),
            configs=[yaml.safe_dump(run.result["config"], sort_keys=False) for run in runs],
            command=command,
        )
        .lstrip()
    )


def _title(runs: Sequence[NamedRun]) -> str:
    names = [run.name for run in runs]
    named = names if len(names) < 4 else [*names[:2], f"{len(names) - 2} more"]
    subject = " and ".join(filter(None, [", ".join(named[:-1]), named[-1]]))
    return f"{subject} on {runs[0].result['data']['name']}"


def _caption(runs: Sequence[NamedRun]) -> str:
    text = "Test metrics, in brackets 95 % bootstrap intervals over users. "
    if len(runs) > 1:
        text += (
            f"p: Wilcoxon signed-rank test against {runs[0].name} on the same users, after Holm's correction for the "
            "number of runs; significant where p < 0.05 and the interval does not hold zero. "
        )
    text += "Spread: standard deviation between diversity groups, less is more even."
    return text if len(runs) == 1 else f"{text} Best is the best number, whether or not it is significantly so."


def _facts(runs: Sequence[NamedRun]) -> dict[str, dict[str, str]]:
    """Return what numbers depend on, by heading."""
    first = runs[0].result
    lengths = ", ".join(map(str, first["protocol"].get("k", [])))
    return {
        "Protocol": {**{name: str(value) for name, value in first["protocol"].items()}, "k": lengths},
        "Data": {name: _cell(value) for name, value in first["data"].items()},
        "Runs": {
            run.name: f"{run.folder.path}; seed {run.result['seed']}; {run.result['device']}; {_versions(run)}"
            for run in runs
        },
    }


def _versions(run: NamedRun) -> str:
    return ", ".join(f"{name} {version}" for name, version in run.result["versions"].items())


def _cell(value: object) -> str:
    """Return a number as people read it."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4f}" if abs(value) < 100 else f"{value:,.1f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _explorer(runs: Sequence[NamedRun], num_users: int, progress: bool) -> dict[str, Any]:
    """Ask the models, and return the data of the page's script and what is said about it."""
    users, groups = sample_users(runs[0], num_users)
    total = len(runs[0].per_user["user"])
    num_groups = 0 if groups is None else int(groups.max()) + 1
    with _progress(len(users) * len(runs), progress) as advance:
        explorer = Explorer(users, groups, num_groups, advance)
        for run in runs:
            explorer.add(run)
    evenly = " drawn evenly from the diversity groups," if num_groups > 1 else ""
    everyone = (
        f"All {total:,} users of the test are"
        if len(users) == total
        else (f"{len(users):,} of the {total:,} users of the test,{evenly} are")
    )
    return {
        "json": Markup(_json(explorer.data())),  # noqa: S704  (no character of HTML is left in it)
        "users_note": f"{everyone} on this page; the command graphmi explain shows anyone. Shares behind “because of” "
        "say how much of a recommendation the model takes from an item that the user knows; they are left out for "
        "models that cannot say it.",
    }


def _json(data: dict[str, Any]) -> str:
    """Return JSON that can stand in a script element, whatever the titles hold."""
    text = json.dumps({**data, "shapes": SHAPES}, separators=(",", ":"), allow_nan=False)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


@contextmanager
def _progress(total: int, enabled: bool) -> Iterator[Callable[[int], None]]:
    """Show how many users are explained; silent where nobody watches."""
    console = Console(stderr=True)
    columns = (TextColumn("asking the models"), BarColumn(bar_width=24), MofNCompleteColumn(), TimeRemainingColumn())
    hidden = not (enabled and console.is_terminal)
    with Progress(*columns, console=console, disable=hidden, transient=True) as bars:
        task = bars.add_task("", total=total)
        yield lambda count: bars.advance(task, count)


def _file(name: str) -> str:
    return (files("graphmi.report") / "page" / name).read_text(encoding="utf-8")


def _write(path: Path, text: str) -> None:
    """Write beside the final name and move into place, so that there is never half a page."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)
