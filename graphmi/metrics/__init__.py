"""Metrics of rankings: PyG's, by user group, and in paired comparison.

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

from graphmi.metrics.grouped import GroupedMetric, GroupedResult, Interval, by_group
from graphmi.metrics.paired import PairedResult, holm, paired_tests
from graphmi.metrics.ranking import METRICS, ranking_metrics, values_per_user

__all__ = [
    "METRICS",
    "GroupedMetric",
    "GroupedResult",
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
    "by_group",
    "holm",
    "paired_tests",
    "ranking_metrics",
    "values_per_user",
]
