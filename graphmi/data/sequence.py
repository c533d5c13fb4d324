"""Histories in time order, laid out for a batch: the one place where padding is made."""

from collections.abc import Sequence
from copy import copy

import torch
from torch import Tensor

from graphmi.data.interactions import Interactions
from graphmi.data.order import by_user, chronological
from graphmi.data.transfer import to_device
from graphmi.ranges import at_least

__all__ = ["Histories", "check_length"]


class Histories:
    """The items of every user in time order, as one flat array in compressed rows.

    Ties in time are broken by the row; without times the rows are taken as they come. The items lie on a device, where
    histories are gathered. The few numbers that say where a history begins and ends stay on the CPU, so that nothing
    has to wait for the device to learn how long a batch is.

    Args:
        interactions: Interactions of any number of users.

    Attributes:
        rowptr: Where the items of each user begin, and where the last end, ``[num_users + 1]`` int64 on the CPU.

    Example:
        >>> from graphmi.data import planted
        >>> history, mask = Histories(planted(num_users=100)).read(torch.tensor([3, 7]), max_length=5)
        >>> history.shape, bool(mask.all())
        (torch.Size([2, 5]), True)
    """

    def __init__(self, interactions: Interactions) -> None:
        rows, self.rowptr = by_user(interactions, chronological(interactions))
        # After the last item stands the 0 that padded positions read.
        self._padded = torch.cat([interactions.item[rows], rows.new_zeros(1)])

    @classmethod
    def of(cls, items: Sequence[Tensor]) -> "Histories":
        """Return the histories of users that are given one by one, each ``[num_items]`` int64 in time order."""
        found = cls.__new__(cls)
        found.rowptr = torch.tensor([0, *map(len, items)]).cumsum(0)
        found._padded = torch.cat([*items, torch.zeros(1, dtype=torch.int64)])
        return found

    @property
    def item(self) -> Tensor:
        """Item ids, user by user, ``[num_rows]`` int64."""
        return self._padded[:-1]

    @property
    def length(self) -> Tensor:
        """The number of items of each user, ``[num_users]`` int64 on the CPU."""
        return self.rowptr.diff()

    def to(self, device: torch.device | str) -> "Histories":
        """Return the same histories with their items on this device."""
        moved = copy(self)
        moved._padded = self._padded.to(device)
        return moved

    def read(self, user: Tensor, max_length: int, end: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the last items of each user, left-aligned.

        Args:
            user: User ids, ``[batch]``; on the CPU, or the device has to be waited for.
            max_length: Most items of a history, at least 1; the latest are taken.
            end: How many items of the user come before the moment that is asked about, ``[batch]``; all when omitted.

        Returns:
            Item ids and a mask that is True where they are real, both ``[batch, length]``, where ``length`` is that of
            the longest history but at least 1. Padded positions hold item 0 and follow the real ones; who has no
            history has padded positions only.

        Raises:
            ValueError: If ``max_length`` is below 1, or ``end`` is not a position in the history of its user.
        """
        max_length, user = check_length(max_length), user.cpu()
        first, stop = self.rowptr[user], self.rowptr[user + 1]
        if end is not None:
            if ((end := end.cpu()) < 0).any() or (first + end > stop).any():
                raise ValueError("'end' must be from 0 to the number of items of each user")
            stop = first + end
        return self.between(torch.maximum(first, stop - max_length), stop)

    def rows(self, user: Tensor) -> tuple[Tensor, Tensor]:
        """Return all items of each user, in compressed rows where the items lie.

        Args:
            user: User ids, ``[batch]``; on the CPU, or the device has to be waited for.

        Returns:
            Row pointers ``[batch + 1]`` and item ids ``[num_rows]``, the latest of each user last; both int64.
        """
        user, device = user.cpu(), self._padded.device
        start, stop = self.rowptr[user], self.rowptr[user + 1]
        rowptr = torch.nn.functional.pad((stop - start).cumsum(0), (1, 0))
        place = torch.arange(int(rowptr[-1])) + (start - rowptr[:-1]).repeat_interleave(stop - start)
        return to_device(rowptr, device), self._padded[to_device(place, device)]

    def between(self, start: Tensor, stop: Tensor) -> tuple[Tensor, Tensor]:
        """Return the items from ``start`` up to before ``stop`` of the flat array as :meth:`read` does.

        Args:
            start: Positions in :attr:`item`, ``[batch]``, on the CPU.
            stop: The same.
        """
        length = max(int((stop - start).max()), 1) if len(start) else 1
        device = self._padded.device
        start, stop = to_device(torch.stack([start, stop]), device).unsqueeze(2)
        index = start + torch.arange(length, device=device)  # [batch, length]
        mask = index < stop
        index = index.where(mask, len(self._padded) - 1)
        return self._padded.index_select(0, index.flatten()).view_as(index), mask  # plain indexing takes twice as long


def check_length(max_length: int | None) -> int:
    """Return the most items of a history.

    Raises:
        ValueError: If it is not known, or below 1.
    """
    if max_length is None:
        raise ValueError("the loader needs a 'max_length': set it, or train a model that reads histories")
    at_least(1, max_length=max_length)
    return max_length
