"""What several interests do for users, as torchmetrics over batches."""

import math
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from graphmi.metrics.geometry import alignment, interest_cosine, uniformity
from graphmi.metrics.interests import (
    dead_interests,
    effective_interests,
    idle_interests,
    interest_balance,
    interest_counts,
)
from graphmi.metrics.routing import routing_collapse, routing_entropy
from graphmi.ranges import at_least
from graphmi.typing import Representations

__all__ = ["InterestDiagnostics", "interest_values"]

_NAMES = ("collapse", "routing entropy", "cosine", "balance", "effective", "idle", "alignment")
_AT_K = ("balance", "effective", "idle")


@torch.no_grad()
def interest_values(
    out: Representations, interest: Tensor | None = None, edge_label_index: Tensor | None = None
) -> dict[str, Tensor]:
    """Return what can be said of the interests of each user.

    Args:
        out: The model's output.
        interest: The interest that each recommended item came from, ``[batch, k]``; ``-1`` for none.
        edge_label_index: Row and item id of the relevant items, ``[2, num_relevant]``.

    Returns:
        ``"cosine"``, with routing weights ``"collapse"`` and ``"routing entropy"``, with ``interest`` ``"balance"``,
        ``"effective"`` and ``"idle"``, with relevant items ``"alignment"``; each ``[batch]``, NaN where not defined.
    """
    active, size = out.interest_mask, out.interests.size(1)
    values = {"cosine": interest_cosine(out.interests, active)}
    if out.routing is not None:
        values["collapse"] = routing_collapse(out.routing, out.mask, active)
        values["routing entropy"] = routing_entropy(out.routing, out.mask, active)
    if interest is not None:
        values["balance"] = interest_balance(interest, size, active)
        values["effective"] = effective_interests(interest, size)
        values["idle"] = idle_interests(interest, size, active)
    if edge_label_index is not None:
        values["alignment"] = alignment(out.interests, out.items, edge_label_index, active)
    return values


class InterestDiagnostics(Metric):
    """Do several interests do something for users? Means over the users for whom a value is defined.

    ===================== ==================================== =====================================================
    key                   function                             how to read it
    ===================== ==================================== =====================================================
    ``collapse``          :func:`routing_collapse`             share of interests that rest on one item; 0 is good
    ``routing entropy``   :func:`routing_entropy`              0: from one item, 1: the mean of the history
    ``cosine``            :func:`interest_cosine`              1: all interests of a user are one, 0: unrelated
    ``balance@k``         :func:`interest_balance`             1: all interests give equal parts of the list
    ``effective@k``       :func:`effective_interests`          number of interests that the list comes from
    ``idle@k``            :func:`idle_interests`               share of a user's interests without an item in the list
    ``dead@k``            :func:`dead_interests`               share of interests without an item in any list
    ``alignment``         :func:`alignment`                    distance to relevant items, low is good
    ``uniformity``        :func:`uniformity`                   spread of all interests, low is good
    ===================== ==================================== =====================================================

    Only what the model and the arguments of :meth:`update` allow is there: a graph model has no routing weights. All
    states are sums and a bounded sample, so memory does not grow with the users, and several processes give the
    result of one (as long as the sample holds all interests; else up to the draw).

    Args:
        num_interests: Interests per user, at least 1.
        k: Length of the lists, at least 1.
        num_sample: How many interests, drawn at random, the uniformity is computed of; 0 leaves it out.
        seed: Seed of that draw.
        sync_on_compute: Whether other processes' users count too, where there are any.

    Raises:
        ValueError: If an argument is out of range.

    Example:
        >>> import torch
        >>> metric = InterestDiagnostics(num_interests=2, k=2)
        >>> out = Representations(torch.eye(2).expand(3, 2, 2), torch.eye(2))
        >>> metric.update(out, torch.tensor([[0, 1], [1, 0], [1, 1]]))
        >>> round(metric.compute()["balance@2"], 3)
        0.667
    """

    is_differentiable = False
    full_state_update = False
    higher_is_better = None
    total: Tensor
    count: Tensor
    used: Tensor
    active: Tensor
    sample: list[Tensor]
    priority: list[Tensor]

    def __init__(
        self,
        num_interests: int,
        *,
        k: int = 10,
        num_sample: int = 2048,
        seed: int = 0,
        sync_on_compute: bool = True,
    ) -> None:
        super().__init__(sync_on_compute=sync_on_compute)
        at_least(1, num_interests=num_interests, k=k)
        at_least(0, num_sample=num_sample, seed=seed)
        self.num_interests, self.k, self.num_sample, self.seed = num_interests, k, num_sample, seed
        for name in ("total", "count"):
            self.add_state(name, torch.zeros(len(_NAMES), dtype=torch.float64), dist_reduce_fx="sum")
        for name in ("used", "active"):
            self.add_state(name, torch.zeros(num_interests, dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("sample", [], dist_reduce_fx="cat")
        self.add_state("priority", [], dist_reduce_fx="cat")

    def update(
        self, out: Representations, interest: Tensor | None = None, edge_label_index: Tensor | None = None
    ) -> None:
        """Add users.

        Args:
            out: The model's output.
            interest: The interest that each recommended item came from, ``[batch, k or more]``, ``-1`` for none; as
                :func:`graphmi.retrieval.top_k` gives it. Without it, nothing is said about lists.
            edge_label_index: Row and item id of the relevant items, ``[2, num_relevant]``, for the alignment.

        Raises:
            ValueError: If the interests have more or fewer dimensions than those before.
        """
        interest = None if interest is None else interest[:, : self.k]
        active = _active(out)
        for name, values in interest_values(out, interest, edge_label_index).items():
            index, defined = _NAMES.index(name), ~values.isnan()
            self.total[index] += values[defined].double().sum()
            self.count[index] += defined.sum()
        if interest is not None:
            self.used += interest_counts(interest, self.num_interests).sum(dim=0)
            self.active += active.sum(dim=0)
        if self.num_sample:
            self._add_to_sample(out.interests.detach()[active])

    def compute(self) -> dict[str, float]:
        """Return what is defined, by the keys of the table above."""
        means = zip(_NAMES, (self.total / self.count).tolist(), strict=True)
        values = {f"{name}@{self.k}" if name in _AT_K else name: mean for name, mean in means}
        values[f"dead@{self.k}"] = dead_interests(self.used, self.active)
        values["alignment"] = values.pop("alignment")  # the list first, then where interests lie
        values["uniformity"] = float(uniformity(self._smallest()[0])) if len(self.sample) else math.nan
        return {name: value for name, value in values.items() if not math.isnan(value)}

    def merge_state(self, incoming_state: dict[str, Any] | Metric) -> None:
        """Add the users of another metric; the sample is one of all of them."""
        super().merge_state(incoming_state)
        self._shorten()

    def _add_to_sample(self, vectors: Tensor) -> None:
        """Keep the vectors with the smallest random numbers: a uniform sample, wherever it was drawn."""
        dim = vectors.size(1)
        if len(self.sample) and len(self.sample[0]) != len(self.priority[0]) * dim:
            before = len(self.sample[0]) // len(self.priority[0])
            raise ValueError(f"interests must have as many dimensions in every batch (got {dim} after {before})")
        draws = torch.Generator().manual_seed(self.seed + self.update_count)
        self.sample.append(vectors.float().flatten())  # flat, so that processes without users can take part
        self.priority.append(torch.rand(len(vectors), generator=draws).to(vectors.device))
        self._shorten()

    def _shorten(self) -> None:
        if len(self.sample):
            sample, priority = self._smallest()
            self.sample, self.priority = [sample.flatten()], [priority]

    def _smallest(self) -> tuple[Tensor, Tensor]:
        """Return the sample ``[num_sample, dim]``, and its random numbers."""
        priority = dim_zero_cat(self.priority)
        sample = dim_zero_cat(self.sample).view(len(priority), -1) if len(priority) else priority.view(0, 1)
        if len(priority) <= self.num_sample:
            return sample, priority
        kept = priority.argsort(stable=True)[: self.num_sample]
        return sample[kept], priority[kept]


def _active(out: Representations) -> Tensor:
    if out.interest_mask is not None:
        return out.interest_mask
    return torch.ones(out.interests.shape[:2], dtype=torch.bool, device=out.interests.device)
