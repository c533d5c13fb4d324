"""Splits: small values that turn interactions into a dataset when called."""

from dataclasses import dataclass

import torch
from torch import Tensor

from graphmi.data.dataset import Dataset, Protocol
from graphmi.data.errors import DataError, given_as
from graphmi.data.given_split import GivenSplit
from graphmi.data.interactions import Interactions
from graphmi.data.order import by_user, chronological, leading, share, shuffled
from graphmi.seeds import check_seed
from graphmi.sorting import num_distinct, sort_rows

__all__ = ["GivenSplit", "HeldOutUsers", "LeaveOneOut", "RandomSplit", "Split", "TemporalSplit"]


@dataclass(frozen=True)
class LeaveOneOut:
    """The last item of each user is the test, the one before it validation, the rest training.

    The order is that of time, ties by row of the source; of the rows alone where there are no times. Users
    with fewer than 3 interactions stay in training.

    Raises:
        DataError: If pairs are repeated, or no user has 3 interactions.

    Example:
        >>> from graphmi.data import planted
        >>> dataset = LeaveOneOut()(planted(num_users=50, num_items=40, num_clusters=4))
        >>> len(dataset.valid), len(dataset.test)  # one item of each user
        (50, 50)
    """

    def __call__(self, interactions: Interactions) -> Dataset:
        """Split the interactions."""
        _require_distinct(interactions)
        rows, rowptr = by_user(interactions, chronological(interactions))
        _require_three(rowptr.diff())
        end = rowptr[1:][rowptr.diff() >= 3]
        valid, test = torch.zeros(2, len(rows), dtype=torch.bool)
        valid[rows[end - 2]] = test[rows[end - 1]] = True
        order = "row" if interactions.time is None else "time"
        protocol: Protocol = {"split": "leave-one-out", "order": order}
        return Dataset.from_rows(interactions, valid=valid, test=test, protocol=protocol)


@dataclass(frozen=True)
class RandomSplit:
    """A random share of each user's interactions is validation, another the test, the rest training.

    A user with n interactions gives ``floor(n * ratio)`` of them to validation and test, but at least one, and
    keeps at least one in training; users with fewer than 3 stay in training.

    Args:
        ratios: Shares of training, validation and test; they add up to 1.
        seed: Seed of the draw, below 2**63.

    Raises:
        ValueError: If the ratios are not three shares that add up to 1, or the seed is out of its range.
        DataError: If pairs are repeated, or no user has 3 interactions.

    Example:
        >>> from graphmi.data import planted
        >>> dataset = RandomSplit(seed=1)(planted(num_users=50, num_items=40, num_clusters=4))
        >>> dataset.graph()["user", "interacts", "item"].edge_index.shape[1] == len(dataset.train)
        True
    """

    ratios: tuple[float, float, float] = (0.8, 0.1, 0.1)
    seed: int = 0

    def __post_init__(self) -> None:
        if not (len(self.ratios) == 3 and min(self.ratios) > 0 and abs(sum(self.ratios) - 1) <= 1e-6):
            raise ValueError(f"'ratios' must be three positive shares that add up to 1 (got {self.ratios})")
        check_seed(self.seed)

    def __call__(self, interactions: Interactions) -> Dataset:
        """Split the interactions."""
        _require_distinct(interactions)
        rows, rowptr = by_user(interactions, shuffled(interactions, self.seed))
        count = rowptr.diff()
        _require_three(count)
        num_test = torch.minimum(share(count, self.ratios[2]), count - 2)
        num_valid = torch.minimum(share(count, self.ratios[1]), count - 1 - num_test)  # one stays in training
        test = leading(rows, rowptr, num_test.where(count >= 3, 0))
        valid = leading(rows, rowptr, (num_test + num_valid).where(count >= 3, 0)) & ~test
        protocol: Protocol = {"split": "random", "ratios": "/".join(map(str, self.ratios)), "seed": self.seed}
        return Dataset.from_rows(interactions, valid=valid, test=test, protocol=protocol)


@dataclass(frozen=True)
class TemporalSplit:
    """Two points in time cut all interactions into training, validation and test.

    Interactions of one moment stay together, with the later part. Validation and test interactions of users
    without training interactions are left out; the protocol says how many.

    Args:
        valid: Share of validation, in (0, 1).
        test: Share of the test, the latest interactions, in (0, 1).

    Raises:
        ValueError: If the shares leave nothing for training.
        DataError: If there are no times, pairs are repeated, or a part is empty.

    Example:
        >>> import polars as pl
        >>> from graphmi.data import Interactions
        >>> table = pl.DataFrame({"user_id": [1] * 10, "item_id": range(10), "time": range(10)})
        >>> dataset = TemporalSplit()(Interactions.from_frame(table))
        >>> dataset.valid.time, dataset.test.time
        (tensor([8]), tensor([9]))
    """

    valid: float = 0.1
    test: float = 0.1

    def __post_init__(self) -> None:
        _check_shares(self.valid, self.test)

    def __call__(self, interactions: Interactions) -> Dataset:
        """Split the interactions."""
        if interactions.time is None:
            raise DataError(
                f"a temporal split needs times; name their column with {given_as('time', 'NAME')}, or use another split"
            )
        _require_distinct(interactions)
        ordered = sort_rows(interactions.time)[0]
        size = torch.tensor(len(ordered))
        first_valid = ordered[-share(size, self.valid + self.test)]
        first_test = ordered[-share(size, self.test)]
        later = interactions.time >= first_valid
        trained = (~later).new_zeros(interactions.num_users).index_fill(0, interactions.user[~later], True)
        test = interactions.time >= first_test
        cold = later & ~trained[interactions.user]
        protocol: Protocol = {"split": "temporal", "valid": self.valid, "test": self.test}
        protocol["cold_user_interactions_removed"] = int(cold.sum())
        valid, test = later & ~test & ~cold, test & ~cold
        return Dataset.from_rows(interactions, train=~later, valid=valid, test=test, protocol=protocol)


@dataclass(frozen=True)
class HeldOutUsers:
    """Training, validation and test have different users, as in ComiRec.

    Training holds all interactions of its users. The history of a held-out user is the first part of the
    interactions in time order (in random order where there are no times), the targets are the rest.

    Args:
        valid: Share of users held out for validation, in (0, 1).
        test: Share of users held out for the test, in (0, 1).
        history: Share of a held-out user's interactions that is known, in (0, 1); the number is rounded down,
            but at least 1.
        seed: Seed of the draw of users, below 2**63.

    Raises:
        ValueError: If the shares leave nothing for training, or the seed is out of its range.
        DataError: If pairs are repeated, a user has fewer than 2 interactions, or there are too few users.

    Example:
        >>> from graphmi.data import planted
        >>> dataset = HeldOutUsers()(planted(num_users=50, num_items=40, num_clusters=4))
        >>> [len(part.user.unique()) for part in (dataset.train, dataset.valid, dataset.test)]
        [40, 5, 5]
    """

    valid: float = 0.1
    test: float = 0.1
    history: float = 0.8
    seed: int = 0

    def __post_init__(self) -> None:
        _check_shares(self.valid, self.test)
        if not 0 < self.history < 1:
            raise ValueError(f"'history' must be in (0, 1) (got {self.history})")
        check_seed(self.seed)

    def __call__(self, interactions: Interactions) -> Dataset:
        """Split the interactions."""
        _require_distinct(interactions)
        by_time = interactions.time is not None
        order = chronological(interactions) if by_time else shuffled(interactions, self.seed)
        rows, rowptr = by_user(interactions, order)
        count = rowptr.diff()
        if short := int((count == 1).sum()):
            raise DataError(
                f"{short:,} users have only 1 interaction and cannot be held out; use k_core (by the "
                "command, --filter.k_core 2)"
            )
        part = self._draw(count)[interactions.user]
        known = leading(rows, rowptr, share(count, self.history).where(count > 0, 0))
        protocol: Protocol = {"split": "held-out-users", "valid": self.valid, "test": self.test}
        protocol |= {"history": self.history, "order": "time" if by_time else "random", "seed": self.seed}
        return Dataset.from_rows(
            interactions,
            train=part == 0,
            valid=(part == 1) & ~known,
            test=(part == 2) & ~known,
            valid_history=(part == 1) & known,
            test_history=(part == 2) & known,
            protocol=protocol,
        )

    def _draw(self, count: Tensor) -> Tensor:
        users = count.nonzero().squeeze(1)
        users = users[torch.randperm(len(users), generator=torch.Generator().manual_seed(self.seed))]
        num_valid, num_test = (max(1, round(len(users) * share)) for share in (self.valid, self.test))
        part = torch.zeros_like(count)
        part[users[:num_valid]] = 1
        part[users[num_valid : num_valid + num_test]] = 2
        return part


Split = LeaveOneOut | RandomSplit | TemporalSplit | HeldOutUsers | GivenSplit


def _check_shares(valid: float, test: float) -> None:
    if not (min(valid, test) > 0 and valid + test < 1):
        raise ValueError(f"'valid' and 'test' must be positive and add up to less than 1 (got {valid} and {test})")


def _require_distinct(interactions: Interactions) -> None:
    if repeated := len(interactions) - num_distinct(interactions.pairs()):
        raise DataError(f"{repeated:,} rows repeat a user-item pair, so a target could be known; use deduplicate")


def _require_three(count: Tensor) -> None:
    if not (count >= 3).any():
        most = int(count.max()) if len(count) else 0
        raise DataError(f"no user has the 3 interactions that this split needs (the most is {most}); use more data")
