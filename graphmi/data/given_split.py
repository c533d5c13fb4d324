"""A split given as files."""

from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import PurePath

import torch
from torch import Tensor

from graphmi.data.dataset import Dataset, Protocol
from graphmi.data.errors import DataError
from graphmi.data.interactions import Interactions
from graphmi.data.reading import read_interactions

__all__ = ["GivenSplit"]


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
        return Dataset.from_rows(interactions, train=train, valid=valid, test=test, protocol=protocol)


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
