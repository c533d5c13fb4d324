"""Pictures of runs, from their folders alone."""

from graphmi.report.figures import metric_by_group, save_figures, training_curves, utility_against_spread

__all__ = ["metric_by_group", "save_figures", "training_curves", "utility_against_spread"]
