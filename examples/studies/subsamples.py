"""Controlled parts of a data set, as a split that a configuration can name: ``--split subsamples.SubSample``."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from graphmi.data import Dataset, DiversityGroups, Interactions, LeaveOneOut, quantile_groups
from graphmi.data.order import by_user, chronological

TARGETS = 3  # test, validation, and one to train on, which every user keeps


@dataclass(frozen=True)
class SubSample:
    """Leave-one-out on a part of the interactions; the targets of the users who are kept stay the same.

    Args:
        share: Chance of each interaction to be kept, in (0, 1]; the last three of a user always are.
        last: How many training interactions of a user are kept, the latest, at least 1; all when omitted.
        users: The half of the users with ``short`` or ``long`` histories, or with ``narrow`` or ``broad`` taste among
            those as active; ``all`` when omitted. Measured on all training items, before any is left out.
        seed: Seed of what is kept.

    Raises:
        ValueError: If an argument is out of its range.
    """

    share: float = 1.0
    last: int | None = None
    users: Literal["all", "short", "long", "narrow", "broad"] = "all"
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1 or (self.last is not None and self.last < 1):
            raise ValueError(f"'share' must be in (0, 1] and 'last' at least 1 (got {self.share} and {self.last})")

    def __call__(self, interactions: Interactions) -> Dataset:
        """Split the part that is kept, without the items that nobody has left."""
        age, source = _age(interactions), torch.Generator().manual_seed(self.seed)
        kept = (age < TARGETS) | (torch.rand(len(age), generator=source) < self.share)
        if self.last is not None:
            kept &= age < self.last + TARGETS - 1
        if self.users != "all":
            kept &= self._users(interactions)[interactions.user]
        return LeaveOneOut()(interactions.take(kept).compact())

    def _users(self, interactions: Interactions) -> Tensor:
        """Return which users are kept, ``[num_users]`` bool."""
        train = LeaveOneOut()(interactions).train  # the targets must not choose who is measured
        if self.users in ("short", "long"):
            half = quantile_groups(train.user.bincount(minlength=train.num_users).double(), 2)
        else:
            half = DiversityGroups(num_groups=2)(train)["diversity-controlled"]
        return half == (self.users in ("long", "broad"))


def _age(interactions: Interactions) -> Tensor:
    """Return how many interactions of its user come after each, ``[num_rows]`` int64."""
    rows, rowptr = by_user(interactions, chronological(interactions).flip(0))
    place = torch.arange(len(rows)) - rowptr[:-1].repeat_interleave(rowptr.diff())
    return torch.empty_like(place).index_copy_(0, rows, place)
