"""Splits: small values that turn interactions into a dataset when called."""

from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import PurePath

import torch
from torch import Tensor

from graphmi.data.dataset import Dataset
from graphmi.data.errors import DataError
from graphmi.data.interactions import Interactions
from graphmi.data.order import chronological, rank_per_user, shuffled
from graphmi.data.reading import read_interactions

__all__ = ["GivenSplit", "HeldOutUsers", "LeaveOneOut", "RandomSplit", "Split", "TemporalSplit"]

Protocol = dict[str, str | int | float]


@dataclass(frozen=True)
class LeaveOneOut:
    """The last item of each user is the test, the one before it validation, the rest training.

    The order is that of time, ties by row of the source; of the rows alone where there are no times. Users
    with fewer than 3 interactions stay in training.

    Raises:
        DataError: If pairs are repeated, or no user has 3 interactions.
    """

    def __call__(self, interactions: Interactions) -> Dataset:
        """Split the interactions."""
        _require_distinct(interactions)
        rank, count = rank_per_user(interactions, chronological(interactions))
        from_end = torch.where(count >= 3, count - rank, count + 3)  # 1 is the last row
        order = "row" if interactions.time is None else "time"
        protocol: Protocol = {"split": "leave-one-out", "order": order}
        return _in_matrix(interactions, from_end == 2, from_end == 1, protocol)


@dataclass(frozen=True)
class RandomSplit:
    """A random share of each user's interactions is validation, another the test, the rest training.

    A user with n interactions gives ``floor(n * ratio)`` of them to validation and test, but at least one;
    users with fewer than 3 stay in training.

    Args:
        ratios: Shares of training, validation and test; they add up to 1.
        seed: Seed of the draw.

    Raises:
        ValueError: If the ratios are not three shares that add up to 1.
        DataError: If pairs are repeated, or no user has 3 interactions.
    """

    ratios: tuple[float, float, float] = (0.8, 0.1, 0.1)
    seed: int = 0

    def __post_init__(self) -> None:
        if len(self.ratios) != 3 or min(self.ratios) <= 0 or abs(sum(self.ratios) - 1) > 1e-6:
            raise ValueError(f"'ratios' must be three positive shares that add up to 1 (got {self.ratios})")

    def __call__(self, interactions: Interactions) -> Dataset:
        """Split the interactions."""
        _require_distinct(interactions)
        rank, count = rank_per_user(interactions, shuffled(interactions, self.seed))
        num_valid, num_test = (_share(count, ratio).where(count >= 3, 0) for ratio in self.ratios[1:])
        test = rank < num_test
        valid = ~test & (rank < num_test + num_valid)
        protocol: Protocol = {"split": "random", "ratios": "/".join(map(str, self.ratios)), "seed": self.seed}
        return _in_matrix(interactions, valid, test, protocol)


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
    """

    valid: float = 0.1
    test: float = 0.1

    def __post_init__(self) -> None:
        _check_shares(self.valid, self.test)

    def __call__(self, interactions: Interactions) -> Dataset:
        """Split the interactions."""
        if interactions.time is None:
            raise DataError("a temporal split needs times; name their column, or use another split")
        _require_distinct(interactions)
        ordered = interactions.time.sort().values
        first_valid = ordered[int(len(ordered) * (1 - self.valid - self.test))]
        first_test = ordered[int(len(ordered) * (1 - self.test))]
        later = interactions.time >= first_valid
        trained = (~later).new_zeros(interactions.num_users).index_fill(0, interactions.user[~later], True)
        test = interactions.time >= first_test
        cold = later & ~trained[interactions.user]
        protocol: Protocol = {"split": "temporal", "valid": self.valid, "test": self.test}
        protocol["cold_user_interactions_removed"] = int(cold.sum())
        kept = interactions.take(~cold)
        return _in_matrix(kept, (later & ~test)[~cold], test[~cold], protocol)


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
        seed: Seed of the draw of users.

    Raises:
        ValueError: If the shares leave nothing for training.
        DataError: If a user has fewer than 2 interactions, or there are too few users.
    """

    valid: float = 0.1
    test: float = 0.1
    history: float = 0.8
    seed: int = 0

    def __post_init__(self) -> None:
        _check_shares(self.valid, self.test)
        if not 0 < self.history < 1:
            raise ValueError(f"'history' must be in (0, 1) (got {self.history})")

    def __call__(self, interactions: Interactions) -> Dataset:
        """Split the interactions."""
        by_time = interactions.time is not None
        order = chronological(interactions) if by_time else shuffled(interactions, self.seed)
        rank, count = rank_per_user(interactions, order)
        if len(short := torch.unique(interactions.user[count < 2])):
            raise DataError(f"{len(short):,} users have only 1 interaction and cannot be held out; use k_core")
        part = self._draw(interactions)[interactions.user]
        known = rank < _share(count, self.history)
        protocol: Protocol = {"split": "held-out-users", "valid": self.valid, "test": self.test}
        protocol |= {"history": self.history, "order": "time" if by_time else "random", "seed": self.seed}
        return _dataset(
            interactions,
            part == 0,
            (part == 1) & ~known,
            (part == 2) & ~known,
            (part == 1) & known,
            (part == 2) & known,
            protocol,
        )

    def _draw(self, interactions: Interactions) -> Tensor:
        users = torch.unique(interactions.user)
        users = users[torch.randperm(len(users), generator=torch.Generator().manual_seed(self.seed))]
        num_valid, num_test = (max(1, round(len(users) * share)) for share in (self.valid, self.test))
        part = torch.zeros(interactions.num_users, dtype=torch.int64)
        part[users[:num_valid]] = 1
        part[users[num_valid : num_valid + num_test]] = 2
        return part


@dataclass(frozen=True)
class GivenSplit:
    """A split that somebody published, as three files of user and item ids.

    The interactions give vocabularies, times, weights and categories; those in none of the files are left
    out. Of repeated pairs the earliest row counts.

    Args:
        train: File with the training pairs, columns ``user_id`` and ``item_id``.
        valid: File with the validation pairs.
        test: File with the test pairs.

    Raises:
        DataError: If a pair is in two files, twice in one, or not among the interactions.
    """

    train: str | PathLike[str]
    valid: str | PathLike[str]
    test: str | PathLike[str]

    def __call__(self, interactions: Interactions) -> Dataset:
        """Split the interactions."""
        paths = (self.train, self.valid, self.test)
        rows = [_rows_of(path, interactions) for path in paths]
        part = torch.zeros(len(interactions), dtype=torch.int64)
        part.index_add_(0, torch.cat(rows), torch.ones(sum(map(len, rows)), dtype=torch.int64))
        if repeated := int((part > 1).sum()):
            names = ", ".join(fspath(path) for path in paths)
            raise DataError(f"{repeated:,} pairs come more than once in {names}; every pair belongs to one part")
        train, valid, test = (torch.zeros(len(part), dtype=torch.bool).index_fill(0, row, True) for row in rows)
        protocol: Protocol = {"split": "given", "files": ", ".join(PurePath(path).name for path in paths)}
        return _dataset(interactions, train, valid, test, train, train | valid, protocol)


Split = LeaveOneOut | RandomSplit | TemporalSplit | HeldOutUsers | GivenSplit


def _in_matrix(interactions: Interactions, valid: Tensor, test: Tensor, protocol: Protocol) -> Dataset:
    train = ~valid & ~test
    return _dataset(interactions, train, valid, test, train, train | valid, protocol)


def _dataset(
    interactions: Interactions,
    train: Tensor,
    valid: Tensor,
    test: Tensor,
    valid_history: Tensor,
    test_history: Tensor,
    protocol: Protocol,
) -> Dataset:
    for name, rows in (("training", train), ("validation", valid), ("test", test)):
        if not rows.any():
            users = len(torch.unique(interactions.user))
            raise DataError(
                f"the {protocol['split']} split of {len(interactions):,} interactions of {users:,} users "
                f"leaves nothing for {name}; use more data or another split"
            )
    return Dataset(
        train=interactions.take(train),
        valid=interactions.take(valid),
        test=interactions.take(test),
        valid_history=interactions.take(valid_history),
        test_history=interactions.take(test_history),
        protocol=protocol,
    )


def _share(count: Tensor, ratio: float) -> Tensor:
    # the small number keeps 10 * 0.1 from falling below 1
    return (count * ratio + 1e-9).floor().long().clamp(min=1)


def _check_shares(valid: float, test: float) -> None:
    if min(valid, test) <= 0 or valid + test >= 1:
        raise ValueError(f"'valid' and 'test' must be positive and add up to less than 1 (got {valid} and {test})")


def _require_distinct(interactions: Interactions) -> None:
    if repeated := len(interactions) - len(torch.unique(interactions.pairs())):
        raise DataError(f"{repeated:,} rows repeat a user-item pair, so a target could be known; use deduplicate")


def _rows_of(path: str | PathLike[str], interactions: Interactions) -> Tensor:
    given = read_interactions(path)
    try:
        user = interactions.users.encode(given.users.ids)[given.user]
        item = interactions.items.encode(given.items.ids)[given.item]
    except DataError as error:
        raise DataError(f"{fspath(path)}: {error}") from None
    wanted = user * interactions.num_items + item
    first = interactions.distinct_rows()
    pairs = interactions.pairs()[first]  # sorted
    position = torch.searchsorted(pairs, wanted).clamp(max=len(pairs) - 1)
    if missing := int((pairs[position] != wanted).sum()):
        raise DataError(f"{fspath(path)}: {missing:,} of {len(wanted):,} pairs are not among the interactions")
    return first[position]
