"""A split given as files."""

from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import PurePath

import torch
from torch import Tensor

from graphmi.data.dataset import Dataset, Protocol
from graphmi.data.errors import DataError
from graphmi.data.interactions import Interactions
from graphmi.data.order import by_user, leading, share, shuffled
from graphmi.data.reading import read_interactions
from graphmi.data.sequence_file import item_lists
from graphmi.seeds import check_seed

__all__ = ["GivenSplit"]


@dataclass(frozen=True)
class GivenSplit:
    """A split that somebody published, as files of user and item ids.

    The interactions give vocabularies, times, weights and categories; those in none of the files are left
    out. Of repeated pairs the earliest row counts.

    Args:
        train: File with the training pairs.
        test: File with the test pairs.
        valid: File with the validation pairs; where there is none, a tenth of each user's training pairs is drawn, at
            least one, of users who have two.
        lists: The files have one line per user, the user and then the user's items between blanks, as those of LightGCN
            for Gowalla, Yelp2018 and Amazon-Book do.
        seed: Seed of the draw, where there is one, below 2**63.
        user: Column of user ids in the files.
        item: Column of item ids in the files.

    Raises:
        ValueError: If the seed is out of its range.
        DataError: If a pair is in two files, twice in one, or not among the interactions.

    Example:
        >>> import polars as pl
        >>> from graphmi.data import Interactions
        >>> table = pl.DataFrame({"user_id": [1, 1, 1, 2], "item_id": [7, 8, 9, 7]})
        >>> for part, rows in {"train": [0, 3], "valid": [1], "test": [2]}.items():
        ...     table[rows].write_csv(f"{part}.csv")
        >>> GivenSplit("train.csv", "test.csv", "valid.csv")(Interactions.from_frame(table))
        Dataset(train=2, valid=1, test=1; 2 users, 3 items; given)
    """

    train: str | PathLike[str]
    test: str | PathLike[str]
    valid: str | PathLike[str] | None = None
    lists: bool = False
    seed: int = 0
    user: str = "user_id"
    item: str = "item_id"

    def __post_init__(self) -> None:
        check_seed(self.seed)

    def __call__(self, interactions: Interactions) -> Dataset:
        """Split the interactions."""
        paths = [path for path in (self.train, self.valid, self.test) if path is not None]
        rows = [self._rows_of(path, interactions) for path in paths]
        part = torch.zeros(len(interactions), dtype=torch.int64)
        part.index_add_(0, torch.cat(rows), torch.ones(sum(map(len, rows)), dtype=torch.int64))
        if repeated := int((part > 1).sum()):
            names = ", ".join(fspath(path) for path in paths)
            raise DataError(f"{repeated:,} pairs come more than once in {names}; every pair belongs to one part")
        protocol: Protocol = {"split": "given", "files": ", ".join(PurePath(path).name for path in paths)}
        if self.valid is None:
            rows[:1] = self._drawn(rows[0], interactions)
            protocol |= {"valid": "a tenth of each user's training pairs", "seed": self.seed}
        train, valid, test = (torch.zeros(len(part), dtype=torch.bool).index_fill(0, row, True) for row in rows)
        return Dataset.from_rows(interactions, train=train, valid=valid, test=test, protocol=protocol)

    def _drawn(self, train: Tensor, interactions: Interactions) -> tuple[Tensor, Tensor]:
        """Return rows of training without those of validation, and these."""
        known = interactions.take(train)
        rows, rowptr = by_user(known, shuffled(known, self.seed))
        count = rowptr.diff()
        valid = leading(rows, rowptr, torch.minimum(share(count, 0.1), (count - 1).clamp(min=0)))
        return train[~valid], train[valid]

    def _rows_of(self, path: str | PathLike[str], interactions: Interactions) -> Tensor:
        given = self._read(path)
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

    def _read(self, path: str | PathLike[str]) -> Interactions:
        if self.lists:
            return Interactions.from_frame(item_lists(path))
        try:
            return read_interactions(path, user=self.user, item=self.item)
        except DataError as error:
            raise DataError(str(error).replace("--columns.", "--split.")) from None  # the split names its own columns
