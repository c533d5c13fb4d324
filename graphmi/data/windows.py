"""Stretches of histories whose items are read once and asked about many times."""

from dataclasses import dataclass

import torch
from torch import Tensor

from graphmi.data.sequence import Histories
from graphmi.data.transfer import to_device
from graphmi.typing import Batch

__all__ = ["Windows"]


@dataclass(frozen=True)
class Windows:
    """Windows over the flat array of histories; every entry is ``[num_windows]`` int64 on the CPU.

    Attributes:
        user: Whose items they are.
        start: Position of the first item that is read.
        stop: Position of the last target, which follows the last item that is read.
        targets: The number of targets, the last of them at ``stop``.
    """

    user: Tensor
    start: Tensor
    stop: Tensor
    targets: Tensor

    @classmethod
    def cut(
        cls, histories: Histories, users: Tensor, max_length: int, stride: int, generator: torch.Generator | None
    ) -> "Windows":
        """Cut all targets of these users, every item but the first, into windows.

        Args:
            histories: The histories.
            users: Users with two items or more, ``[batch]``.
            max_length: Most items that a window reads; it reads the latest before its last target.
            stride: Most targets of a window. Who has more gets a first window of random size.
            generator: Source of these sizes.
        """
        targets = histories.length[users] - 1
        draw = torch.rand(len(users), generator=generator, dtype=torch.float64)
        head = (1 + (draw * stride).long()).where(targets > stride, targets)  # targets of the first window
        count = 1 + -(-(targets - head) // stride)
        row = torch.arange(len(users)).repeat_interleave(count)
        number = torch.arange(len(row)) - (count.cumsum(0) - count)[row]  # of the window among those of its user
        last = torch.minimum(head[row] + number * stride, targets[row])
        before = (head[row] + (number - 1) * stride).clamp(min=0)  # the last target of the window before it
        user = users[row]
        first = histories.rowptr[user]
        return cls(user, first + (last - max_length).clamp(min=0), first + last, last - before)

    def __len__(self) -> int:
        return len(self.user)

    @property
    def length(self) -> Tensor:
        """How many items each window reads."""
        return self.stop - self.start

    def take(self, index: Tensor) -> "Windows":
        """Return these windows."""
        return Windows(self.user[index], self.start[index], self.stop[index], self.targets[index])

    def some_per_user(self, most: int, generator: torch.Generator | None) -> "Windows":
        """Return at most this many windows of each user, drawn at random; user by user before and after."""
        order = torch.randperm(len(self), generator=generator)
        order = order[torch.argsort(self.user[order], stable=True)]  # users together, each shuffled
        same = self.user[order]
        rank = torch.arange(len(order)) - torch.searchsorted(same, same)
        return self.take(order[rank < most])

    def batch(self, histories: Histories) -> Batch:
        """Return all targets of these windows, and what is read before them, on the device of the histories."""
        history, mask = histories.between(self.start, self.stop)
        row = torch.arange(len(self)).repeat_interleave(self.targets)  # [num_targets]
        following = self.targets.cumsum(0)[row] - 1 - torch.arange(len(row))  # targets behind it in its window
        target = self.stop[row] - following
        prefix = row * history.size(1) + target - 1 - self.start[row]
        user, target, prefix = to_device(torch.stack([self.user[row], target, prefix]), history.device)
        return Batch(
            user=user, positive=histories.item.index_select(0, target), history=history, mask=mask, prefix=prefix
        )
