"""What an evaluation finds."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from graphmi.metrics import GroupedResult

__all__ = ["Evaluation"]


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """How well a model ranks, and what its lists and interests are like.

    Attributes:
        metrics: Means over the users with a target, by keys such as ``"ndcg@20"``.
        groups: Results by user group, by keys such as ``"diversity/ndcg@20"``.
        per_user: The values behind the means, ``[num_users]`` float32 on the CPU, for paired tests.
        users: The ids of these users, ``[num_users]``, ascending.
        protocol: The conventions; only results of one protocol can be compared.
        lists: The lists beyond accuracy, by keys such as ``"coverage@10"``: see :mod:`graphmi.metrics.lists`. Empty
            where the evaluator was not given the training interactions.
        interests: What several interests do, as :class:`graphmi.metrics.InterestDiagnostics` says, and
            ``"effective-diversity correlation"``, plain and ``", controlled"`` for activity; empty for a model with one
            interest.
        interest_share: :func:`graphmi.metrics.interest_share` of the lists, ``[k, num_interests]``.
        diagnostics: Values per user behind the two before, ``[num_users]`` float32, by keys such as
            ``"interests/effective@10"`` and ``"lists/calibration@10"``; NaN for users without one.
    """

    metrics: dict[str, float]
    groups: dict[str, GroupedResult]
    per_user: dict[str, Tensor]
    users: Tensor
    protocol: dict[str, str | int | list[int]]
    lists: dict[str, float] = field(default_factory=dict)
    interests: dict[str, float] = field(default_factory=dict)
    interest_share: Tensor | None = None
    diagnostics: dict[str, Tensor] = field(default_factory=dict)

    def __repr__(self) -> str:
        metrics = ", ".join(f"{name} {value:.4f}" for name, value in self.metrics.items())
        return f"Evaluation({len(self.users):,} users: {metrics})"

    def to_dict(self) -> dict[str, object]:
        """Return everything but the values per user as plain numbers and text for JSON."""
        return {
            "metrics": self.metrics,
            "groups": {name: result.to_dict() for name, result in self.groups.items()},
            "lists": _plain(self.lists),
            "interests": _plain(self.interests),
            "interest_share": [] if self.interest_share is None else self.interest_share.tolist(),
            "num_users": len(self.users),
            "protocol": self.protocol,
        }


def _plain(values: Mapping[str, float]) -> dict[str, float | None]:
    return {name: None if math.isnan(value) else value for name, value in values.items()}
