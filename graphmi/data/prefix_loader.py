"""All training targets, window by window: what reads a history once is asked after each of its items."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from graphmi.data.interactions import Interactions
from graphmi.data.loader import BatchLoader
from graphmi.data.sequence import Histories
from graphmi.typing import Batch

__all__ = ["PrefixLoader"]


class PrefixLoader(BatchLoader):
    """Every training item but the first of each user is a target once per epoch, in windows that share their inputs.

    A window is up to ``max_length`` items of one user; its targets are the items that follow some of them. A model
    that knows what it reads after every item of a window answers for all of its targets in one pass, as SASRec
    (https://arxiv.org/abs/1808.09781) trains. Users with more targets than ``stride`` are cut into several windows at
    random places in every epoch, so that no target always stands where little comes before it, and a window with
    fewer targets still reads as many items as it can.

    A batch is whole windows with about ``batch_size`` targets together, so every target weighs about alike. Windows
    of similar length lie together, so that little is padded.

    Args:
        train: Training interactions.
        batch_size: Targets per batch, at least 1; at least one window. Batches have about equally many.
        max_length: Most items of a window, at least 1; that of the model when omitted, which the experiment sets.
        stride: Most targets of a window, at least 1; ``max_length`` when omitted. With less, windows overlap, which
            costs time and gives every target more history.
        windows_per_user: Most windows of a user in an epoch, at least 1, drawn anew in each; all when omitted. It
            keeps the few most active users from deciding everything.
        bucket: Batches whose windows are sorted by length together, at least 1; 1 sorts nothing.
        generator: Source of windows and order, on the CPU.
        device: Where the batches lie.

    Raises:
        ValueError: If an argument is out of its range.
    """

    def __init__(
        self,
        train: Interactions,
        batch_size: int = 2048,
        max_length: int | None = None,
        stride: int | None = None,
        windows_per_user: int | None = None,
        bucket: int = 16,
        generator: torch.Generator | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        given = {"batch_size": batch_size, "max_length": max_length, "stride": stride, "bucket": bucket}
        for name, value in {**given, "windows_per_user": windows_per_user}.items():
            if value is not None and value < 1:
                raise ValueError(f"'{name}' must be at least 1 (got {value})")
        self.histories = Histories(train)
        self.users = torch.nonzero(self.histories.length > 1).flatten()
        self.batch_size, self.max_length, self.stride = batch_size, max_length, stride
        self.windows_per_user, self.bucket = windows_per_user, bucket
        self.generator, self.device = generator, device

    def __len__(self) -> int:
        """Return the number of batches; with ``windows_per_user`` it may differ by few, as windows differ in size."""
        targets, stride = self._targets().double(), self._stride()
        if self.windows_per_user is not None:
            windows = (targets / stride + 1).where(targets > stride, 1)  # on average
            targets = targets * (self.windows_per_user / windows).clamp(max=1)
        return self._num_batches(
            int(targets.sum()), int(self._targets().clamp(max=stride).max()) if len(targets) else 0
        )

    def __iter__(self) -> Iterator[Batch]:
        windows, histories = self._windows(), self.histories.to(self.device)
        for chosen in self._batches(windows):
            yield _batch(histories, windows.take(chosen))

    def _windows(self) -> "_Windows":
        """Cut all users into the windows of an epoch."""
        max_length, stride, targets = self.history_length(), self._stride(), self._targets()
        draw = torch.rand(len(self.users), generator=self.generator, dtype=torch.float64)
        head = (1 + (draw * stride).long()).where(targets > stride, targets)  # targets of the first window
        count = 1 + (targets - head + stride - 1) // stride
        row = torch.arange(len(self.users)).repeat_interleave(count)
        number = torch.arange(len(row)) - (count.cumsum(0) - count)[row]
        last = (head[row] + number * stride).minimum(targets[row])  # position of the last target
        before = torch.where(number == 0, 0, head[row] + (number - 1) * stride)
        start = self.histories.rowptr[self.users[row]]
        windows = _Windows(self.users[row], start + (last - max_length).clamp(min=0), start + last, last - before)
        if self.windows_per_user is None:
            return windows
        return windows.take(_some_of_each(row, self.windows_per_user, self.generator))

    def _batches(self, windows: "_Windows") -> list[Tensor]:
        """Return the windows of each batch, in random order."""
        total = int(windows.targets.sum())
        num_batches = self._num_batches(total, int(windows.targets.max()) if total else 0)
        order = torch.randperm(len(windows.targets), generator=self.generator)
        chunk = _parts(windows.targets[order], num_batches) // self.bucket
        if self.bucket > 1:
            by_length = torch.argsort(windows.length[order], stable=True)
            by_length = by_length[torch.argsort(chunk[by_length], stable=True)]
            order, chunk = order[by_length], chunk[by_length]
        # A batch stays within its chunk: one long window among short ones would pad them all.
        part = _parts(windows.targets[order], num_batches)
        part = part.clamp(min=chunk * self.bucket, max=chunk * self.bucket + self.bucket - 1)
        sizes = torch.unique_consecutive(part, return_counts=True)[1].tolist()
        batches = torch.split(order, sizes)
        return [batches[index] for index in torch.randperm(len(batches), generator=self.generator).tolist()]

    def _num_batches(self, total: int, longest: int) -> int:
        if not total:
            return 0
        return max(1, min(-(-total // self.batch_size), total // longest))

    def _targets(self) -> Tensor:
        return self.histories.length[self.users] - 1

    def _stride(self) -> int:
        max_length = self.history_length()
        return max_length if self.stride is None else min(self.stride, max_length)


@dataclass(frozen=True)
class _Windows:
    """Windows over the flat array of all histories; each of the four is ``[num_windows]``, on the CPU."""

    user: Tensor
    start: Tensor  # the first item that is read
    stop: Tensor  # the last target, one behind the last item that is read
    targets: Tensor  # how many

    @property
    def length(self) -> Tensor:
        return self.stop - self.start

    def take(self, index: Tensor) -> "_Windows":
        return _Windows(self.user[index], self.start[index], self.stop[index], self.targets[index])


def _batch(histories: Histories, windows: _Windows) -> Batch:
    history, mask = histories.between(windows.start, windows.stop)
    device = history.device
    row = torch.arange(len(windows.targets)).repeat_interleave(windows.targets)  # [num_targets]
    behind = windows.targets.cumsum(0)[row] - torch.arange(len(row)) - 1  # targets that follow in the window
    target = windows.stop[row] - behind
    prefix = row * history.size(1) + target - 1 - windows.start[row]
    user, target, prefix = torch.stack([windows.user[row], target, prefix]).to(device)
    return Batch(user=user, positive=histories.item[target], history=history, mask=mask, prefix=prefix)


def _parts(size: Tensor, count: int) -> Tensor:
    """Return to which of ``count`` parts of about equal total size each entry belongs, in this order."""
    end = size.cumsum(0)
    return (end - size) * count // end[-1:]


def _some_of_each(row: Tensor, most: int, generator: torch.Generator | None) -> Tensor:
    """Return ``most`` random entries of each row, all where there are fewer; ``row`` is ascending."""
    shuffled = torch.randperm(len(row), generator=generator)
    shuffled = shuffled[torch.argsort(row[shuffled], stable=True)]  # rows in order, each shuffled
    count = row.bincount()
    rank = torch.arange(len(row)) - (count.cumsum(0) - count)[row]
    return shuffled[rank < most]
