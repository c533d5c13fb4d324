"""Metrics of rankings (PyG's, by user group, in paired comparison), of lists beyond accuracy, and of interests.

The metrics are those of :mod:`torch_geometric.metrics` and are given here by their own names.
"""

from torch_geometric.metrics import (
    LinkPredAveragePopularity,
    LinkPredCoverage,
    LinkPredDiversity,
    LinkPredF1,
    LinkPredHitRatio,
    LinkPredMAP,
    LinkPredMetricCollection,
    LinkPredMRR,
    LinkPredNDCG,
    LinkPredPersonalization,
    LinkPredPrecision,
    LinkPredRecall,
)

from graphmi.metrics.catalogue import Catalogue
from graphmi.metrics.diagnostics import InterestDiagnostics, interest_values
from graphmi.metrics.geometry import alignment, interest_cosine, uniformity
from graphmi.metrics.grouped import GroupedResult, Interval, by_group
from graphmi.metrics.grouped_metric import GroupedMetric
from graphmi.metrics.interests import (
    as_shares,
    dead_interests,
    effective_interests,
    idle_interests,
    interest_balance,
    interest_counts,
    interest_share,
    rank_correlation,
    share_counts,
)
from graphmi.metrics.lists import calibration, category_distribution, gini, list_entropy, list_values, novelty
from graphmi.metrics.paired import PairedResult, corrected, holm, paired_tests
from graphmi.metrics.paired_spread import SpreadDifference, paired_spread
from graphmi.metrics.ranking import METRICS, ranking_metrics, values_per_user
from graphmi.metrics.routing import routing_collapse, routing_entropy

__all__ = [
    "METRICS",
    "Catalogue",
    "GroupedMetric",
    "GroupedResult",
    "InterestDiagnostics",
    "Interval",
    "LinkPredAveragePopularity",
    "LinkPredCoverage",
    "LinkPredDiversity",
    "LinkPredF1",
    "LinkPredHitRatio",
    "LinkPredMAP",
    "LinkPredMRR",
    "LinkPredMetricCollection",
    "LinkPredNDCG",
    "LinkPredPersonalization",
    "LinkPredPrecision",
    "LinkPredRecall",
    "PairedResult",
    "SpreadDifference",
    "alignment",
    "as_shares",
    "by_group",
    "calibration",
    "category_distribution",
    "corrected",
    "dead_interests",
    "effective_interests",
    "gini",
    "holm",
    "idle_interests",
    "interest_balance",
    "interest_cosine",
    "interest_counts",
    "interest_share",
    "interest_values",
    "list_entropy",
    "list_values",
    "novelty",
    "paired_spread",
    "paired_tests",
    "rank_correlation",
    "ranking_metrics",
    "routing_collapse",
    "routing_entropy",
    "share_counts",
    "uniformity",
    "values_per_user",
]
