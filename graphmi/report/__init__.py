"""Pictures of runs and the page that shows them, from their folders alone."""

from graphmi.report.build import build_report
from graphmi.report.figures import (
    interest_heat_map,
    interests_against_diversity,
    metric_by_group,
    routing_collapse,
    save_figures,
    training_curves,
    utility_against_spread,
)

__all__ = [
    "build_report",
    "interest_heat_map",
    "interests_against_diversity",
    "metric_by_group",
    "routing_collapse",
    "save_figures",
    "training_curves",
    "utility_against_spread",
]
