"""One HTML page that shows a search: its course, what mattered, what it came to."""

import html
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import optuna
import plotly.graph_objects as go
from optuna import visualization
from optuna.trial import FrozenTrial, TrialState

__all__ = ["page"]

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }}
table {{ border-collapse: collapse }} td {{ padding: .2rem .8rem }} .figure {{ overflow-x: auto }}</style></head>
<body><h1>{title}</h1><p>{summary}</p>{table}{figures}</body></html>
"""


def page(study: optuna.Study, metric: str, best: Mapping[str, object], test: str = "") -> str:
    """Return the page; it needs nothing from elsewhere.

    Args:
        study: The search.
        metric: What is searched for.
        best: The options that were found best.
        test: What the best configuration came to on the test, in a sentence.
    """
    trials = [trial for trial in study.get_trials(deepcopy=False) if "killed" not in trial.user_attrs]  # done again
    count = {state: sum(trial.state == state for trial in trials) for state in TrialState}
    summary = (
        f"{count[TrialState.COMPLETE]} trials complete, {count[TrialState.PRUNED]} ended early, "
        f"{count[TrialState.FAIL]} failed; chosen on validation by {metric}. {test}"
    )
    rows = "".join(f"<tr><td>{html.escape(name)}</td><td>{html.escape(str(best[name]))}</td></tr>" for name in best)
    parts: list[str] = []
    for title, figure in _figures(study, metric):
        figure.update_layout(title=None, template="plotly_white", margin={"t": 20})
        script = "inline" if not parts else False  # the library once, so that the page works offline
        drawn = figure.to_html(full_html=False, include_plotlyjs=script, config={"displaylogo": False})
        parts.append(f"<h2>{title}</h2><div class='figure'>{drawn}</div>")
    return _PAGE.format(
        title=html.escape(study.study_name),
        summary=html.escape(summary),
        table=f"<h2>Best options</h2><table>{rows}</table>",
        figures="".join(parts),
    )


def _figures(study: optuna.Study, metric: str) -> Iterator[tuple[str, go.Figure]]:
    """Yield what the trials are enough for."""
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if not complete:
        return
    several = len(study.directions) > 1
    target: dict[str, Any] = {"target": _metric} if several else {}
    if several:
        yield "Accuracy and spread", visualization.plot_pareto_front(study, target_names=[metric, "spread"])
    yield "Course", visualization.plot_optimization_history(study, target_name=metric, **target)
    if complete[0].params and len({trial.values[0] for trial in complete}) > 1:
        with warnings.catch_warnings():  # of a target, that its low values are taken for good: see _loss
            warnings.simplefilter("ignore", UserWarning)
            weighed: dict[str, Any] = {"target": _loss} if several else {}
            importances = visualization.plot_param_importances(study, target_name=metric, **weighed)
        yield "What mattered", importances
        yield "Option by option", visualization.plot_slice(study, target_name=metric, **target)
    if not several:
        yield "Epoch by epoch", visualization.plot_intermediate_values(study)


def _metric(trial: FrozenTrial) -> float:
    return float(trial.values[0])


def _loss(trial: FrozenTrial) -> float:
    """Return what is low for good trials."""
    return -_metric(trial)
