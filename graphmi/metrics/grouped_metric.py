"""Any metric of PyG by user group, over batches and processes."""

import math
from typing import Any, Protocol

import torch
from torch import Tensor
from torch_geometric.metrics.link_pred import LinkPredMetric
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from graphmi.metrics.grouped import GroupedResult, by_group
from graphmi.metrics.ranking import values_per_user

__all__ = ["GroupedMetric", "ListMetric"]


class ListMetric(Protocol):
    """A PyG metric of a set of lists: coverage, diversity, personalization, average popularity."""

    k: int

    def reset(self) -> None:
        """Forget all lists."""

    def update(self, pred_index_mat: Tensor, edge_label_index: Tensor, /) -> None:
        """Add lists."""

    def compute(self) -> Tensor:
        """Return the value of the lists so far."""
        ...


class GroupedMetric(Metric):
    """Any metric of PyG by user group.

    Ranking metrics such as NDCG have a value per user, and groups get their means with bootstrap intervals. Metrics of
    lists (``LinkPredCoverage``, ``LinkPredDiversity``, ``LinkPredPersonalization``, ``LinkPredAveragePopularity``) are
    computed of the lists of each group, without intervals. Users are counted in an order that depends on their values
    alone, so that batches and processes change nothing, intervals included.

    Args:
        metric: The metric, for example ``LinkPredNDCG(k=20)``.
        num_groups: At least 1; by default the highest group seen plus 1.
        replicates: Bootstrap samples for confidence intervals; 0 for none.
        level: Share of the samples within an interval.
        seed: Seed of the bootstrap.

    Example:
        >>> import torch
        >>> from torch_geometric.metrics import LinkPredRecall
        >>> metric = GroupedMetric(LinkPredRecall(k=1))
        >>> metric.update(torch.tensor([[3], [4]]), torch.tensor([[0, 1], [3, 5]]), group=torch.tensor([0, 1]))
        >>> metric.compute()["mean"]
        [1.0, 0.0]
    """

    is_differentiable = False
    full_state_update = False
    higher_is_better = None
    values: list[Tensor]
    group: list[Tensor]

    def __init__(
        self,
        metric: LinkPredMetric | ListMetric,
        *,
        num_groups: int | None = None,
        replicates: int = 0,
        level: float = 0.95,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.metric, self.num_groups = metric, num_groups
        self.replicates, self.level, self.seed = replicates, level, seed
        self.add_state("values", default=[], dist_reduce_fx="cat")
        self.add_state("group", default=[], dist_reduce_fx="cat")

    def update(
        self,
        pred_index_mat: Tensor,
        edge_label_index: Tensor,
        group: Tensor,
        edge_label_weight: Tensor | None = None,
    ) -> None:
        """Add users.

        Args:
            pred_index_mat: Item ids, best first, ``[batch, k]``; ``-1`` at the end of a shorter row.
            edge_label_index: Row and item id of the relevant items, ``[2, num_relevant]``.
            group: The group of each row, ``[batch]``; ``-1`` leaves a row out.
            edge_label_weight: How relevant they are, ``[num_relevant]``, for weighted metrics.

        Raises:
            ValueError: If a row is shorter than a metric of lists, which counts on all being equally long.
        """
        if isinstance(self.metric, LinkPredMetric):
            has_label = torch.zeros_like(group, dtype=torch.bool).index_fill(0, edge_label_index[0], True)
            group = group.masked_fill(~has_label, -1)  # only users with a target count
            values = values_per_user({"": self.metric}, pred_index_mat, edge_label_index, edge_label_weight)[""]
        else:
            values = pred_index_mat[:, : self.metric.k]
            if values.size(1) < self.metric.k or (values < 0).any():
                raise ValueError(f"{self.metric} needs {self.metric.k} items in every row")
        self.values.append(values)
        self.group.append(group)

    def sync(self, *args: Any, **kwargs: Any) -> None:
        """Gather the users of all processes, as torchmetrics does."""
        if not self.values:  # what has no users must have the shapes of what has some
            ranked = isinstance(self.metric, LinkPredMetric)
            empty = torch.empty(0) if ranked else torch.empty(0, self.metric.k, dtype=torch.int64)
            self.values.append(empty.to(self.device))
            self.group.append(torch.empty(0, dtype=torch.int64, device=self.device))
        super().sync(*args, **kwargs)

    def compute(self) -> dict[str, object]:
        """Return the result over all users so far, as :meth:`GroupedResult.to_dict`."""
        return self.result().to_dict()

    def result(self) -> GroupedResult:
        """Return what this process has seen as a :class:`GroupedResult`.

        Raises:
            ValueError: If no user has a group.
        """
        values, group = dim_zero_cat(self.values), dim_zero_cat(self.group)
        if not isinstance(self.metric, LinkPredMetric):
            return self._of_lists(values, group)
        order = values.argsort(stable=True)
        return by_group(
            values[order],
            group[order],
            num_groups=self.num_groups,
            replicates=self.replicates,
            level=self.level,
            generator=torch.Generator(values.device).manual_seed(self.seed),
        )

    def _of_lists(self, lists: Tensor, group: Tensor) -> GroupedResult:
        """Compute a metric of lists of each group."""
        count = by_group(torch.zeros_like(group), group, num_groups=self.num_groups).count
        mean = [self._of(lists[group == index]) if size else math.nan for index, size in enumerate(count.tolist())]
        return GroupedResult(torch.tensor(mean, dtype=torch.float64, device=group.device), count, {})

    def _of(self, lists: Tensor) -> float:
        self.metric.reset()
        self.metric.update(lists, lists.new_empty(2, 0))
        # The lists of all processes are here already: not the metric's own compute, which would gather once more.
        return float(type(self.metric).compute(self.metric))
