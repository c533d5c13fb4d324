"""Ranking metrics of PyG by their short names, and their values per user."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor
from torch_geometric.metrics import (
    LinkPredHitRatio,
    LinkPredMAP,
    LinkPredMRR,
    LinkPredNDCG,
    LinkPredPrecision,
    LinkPredRecall,
)
from torch_geometric.metrics.link_pred import LinkPredMetric, LinkPredMetricData

__all__ = ["METRICS", "ranking_metrics", "values_per_user"]

METRICS: Mapping[str, type[LinkPredMetric]] = {
    "ndcg": LinkPredNDCG,
    "recall": LinkPredRecall,
    "hit": LinkPredHitRatio,
    "mrr": LinkPredMRR,
    "precision": LinkPredPrecision,
    "map": LinkPredMAP,
}
"""The metrics of a full ranking. The ideal of NDCG and MAP at k holds min(k, number of relevant items).

F1 is not among them: it follows from precision and recall. ``Evaluator(metrics=...)`` takes it and others.
"""


def ranking_metrics(k: Iterable[int]) -> dict[str, LinkPredMetric]:
    """Return :data:`METRICS` by keys such as ``"ndcg@20"``, for rankings of these lengths, each at least 1.

    Raises:
        ValueError: If a length is below 1.
    """
    return {f"{name}@{length}": metric(length) for name, metric in METRICS.items() for length in k}


@torch.no_grad()
def values_per_user(
    metrics: Mapping[str, LinkPredMetric],
    pred_index_mat: Tensor,
    edge_label_index: Tensor,
    edge_label_weight: Tensor | None = None,
) -> dict[str, Tensor]:
    """Return each metric's value of each row; all metrics share one relevance matrix.

    Args:
        metrics: Metrics on the device of the predictions.
        pred_index_mat: Item ids, best first, ``[batch, k]``; ``-1`` at the end of a row that is shorter.
        edge_label_index: Row and item id of the relevant items, ``[2, num_relevant]``, each pair once.
        edge_label_weight: How relevant they are, ``[num_relevant]``, above 0; for weighted metrics, which need it.

    Returns:
        Float32 values, ``[batch]`` per metric; zero for a row without relevant items.

    Raises:
        ValueError: If a metric is longer than the ranking: its value would be that of a shorter one. If a weighted
            metric gets no weights.
    """
    for name, metric in metrics.items():
        if metric.k > pred_index_mat.size(1):
            raise ValueError(
                f"'{name}' needs {metric.k} predictions a row (got {pred_index_mat.size(1)}); "
                "fill a shorter ranking with -1."
            )
        if metric.weighted and edge_label_weight is None:
            raise ValueError(f"'{name}' is weighted: it needs 'edge_label_weight'.")
    filled = fill_missing(pred_index_mat, edge_label_index)
    data = {
        False: LinkPredMetricData(filled, edge_label_index),
        True: LinkPredMetricData(filled, edge_label_index, edge_label_weight),
    }
    return {name: metric._compute(data[metric.weighted]).float() for name, metric in metrics.items()}


def fill_missing(pred_index_mat: Tensor, edge_label_index: Tensor) -> Tensor:
    """Replace ``-1`` by an id that is no label: PyG would match it with the last item of the row before."""
    last = torch.cat([pred_index_mat.flatten(), edge_label_index[1], edge_label_index.new_zeros(1)]).amax()
    return torch.where(pred_index_mat < 0, last + 1, pred_index_mat)
