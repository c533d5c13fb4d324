"""The page as HTML, from its template, style and script."""

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from graphmi import __version__
from graphmi.commands.tables import LISTS
from graphmi.comparison import Model, NamedRun
from graphmi.report.sections import sections
from graphmi.report.summary import Summary
from graphmi.report.svg import SHAPES, mark
from graphmi.report.words import findings, lead

__all__ = ["GENERATOR", "render"]

GENERATOR = "graphmi"  # begins what the page says of its origin, by which a report is known


def render(models: Sequence[Model], metric: str, explorer: Mapping[str, Any] | None, command: str) -> str:
    """Return the page as text.

    Everything that comes from a run or its data is escaped, and the page may run no script but its own.

    Args:
        models: Models whose runs may be compared.
        metric: The metric of groups and tests.
        explorer: The data of users and items and what is said of it, ``None`` to leave them out.
        command: The command that makes the page.
    """
    environment = Environment(
        loader=PackageLoader("graphmi.report", "page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(cell=_cell, zip=zip)
    summary = Summary(models, metric)
    script = _file("script.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        environment.get_template("template.html")
        .render(
            title=_title(summary),
            subtitle="How accurate, how fair between users of narrow and broad taste, and what the interests do",
            generator=f"{GENERATOR} {__version__}",
            style=Markup(_file("style.css")),  # noqa: S704  (files of the package)
            script=Markup(script),  # noqa: S704
            script_hash=f"sha256-{digest}",
            lead=_together(lead(summary)),
            findings=[_together(sentence) for sentence in findings(summary)],
            caption=_together(_caption(summary)),
            lists_caption=_lists_caption(summary),
            summary=summary,
            marks=[mark(n) for n in range(len(models))],
            sections=list(sections(summary)),
            explorer=None if explorer is None else {**explorer, "json": _json(explorer["data"])},
            facts=_facts(summary.runs),
            configs=[_yaml(model.first.result["config"]) for model in models],
            command=command,
        )
        .lstrip()
    )


def _title(summary: Summary) -> str:
    names = [model.name for model in summary.models]
    named = names if len(names) < 4 else [*names[:2], f"{len(names) - 2} more"]
    subject = " and ".join(filter(None, [", ".join(named[:-1]), named[-1]]))
    return f"{subject} on {summary.data_name}"


def _together(text: str) -> str:
    """Keep numbers and their percent signs on one line."""
    return text.replace(" %", "\N{NO-BREAK SPACE}%")


def _caption(summary: Summary) -> str:
    kind, leaning = "runs", "; its interval leans upwards in small groups and may lie above it"
    text = ["Test metrics, in brackets 95 % bootstrap intervals over users."]
    if summary.averaged:
        kind, leaning = "models", ""
        text = [f"Test metrics, means over seeds ± 95 % t intervals ({summary.seeds})."]
    if len(summary.models) > 1:
        text.append(
            f"p: Wilcoxon signed-rank test against {summary.first.name} on the same users, after Holm's correction for "
            f"the number of {kind}; significant where p < 0.05 and the interval does not hold zero."
        )
    if summary.grouping:
        text.append(f"Spread: standard deviation between diversity groups, less is more even{leaning}.")
    if len(summary.models) > 1:
        text.append("Best is the best number, whether or not it is significantly so.")
    return " ".join(text)


def _lists_caption(summary: Summary) -> str:
    """Return how to read what is known of the lists."""
    how = "; ".join(f"{key} ({LISTS[key]})" for name in summary.lists if (key := name.partition("@")[0]) in LISTS)
    return f"The lists beyond accuracy: {how}."


def _facts(runs: Sequence[NamedRun]) -> dict[str, dict[str, str]]:
    """Return what numbers depend on, by heading."""
    first = runs[0].result
    lengths = ", ".join(map(str, first["protocol"]["k"]))
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


def _yaml(config: Mapping[str, Any]) -> str:
    text: str = yaml.safe_dump(config, sort_keys=False, allow_unicode=True)
    return text


def _json(data: Mapping[str, Any]) -> Markup:
    """Return JSON that can stand in a script element, whatever the titles hold."""
    text = json.dumps({**data, "shapes": SHAPES}, separators=(",", ":"), allow_nan=False)
    text = text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
    return Markup(text)  # noqa: S704  (no character of HTML is left in it)


def _file(name: str) -> str:
    return (files("graphmi.report") / "page" / name).read_text(encoding="utf-8")
