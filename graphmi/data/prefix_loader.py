"""All training targets, window by window: what reads a history once is asked after each of its items."""

from collections.abc import Iterator

import torch
from torch import Tensor

from graphmi.data.interactions import Interactions
from graphmi.data.loader import BatchLoader, left_out
from graphmi.data.sequence import Histories, check_length
from graphmi.data.windows import Windows
from graphmi.ranges import at_least
from graphmi.typing import Batch

__all__ = ["PrefixLoader"]


class PrefixLoader(BatchLoader):
    """Every training item but the first of each user is a target once per epoch, in windows that share their inputs.

    A window is up to ``max_length`` items of one user; its targets are the items that follow some of them. A model
    that knows what it reads after every item of a window answers for all of its targets in one pass, as SASRec
    (https://arxiv.org/abs/1808.09781) trains. Users with more targets than ``stride`` are cut into windows at places
    that are random in every epoch, so no target always has little history; a window with few targets still reads as
    many items as fit.

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
        ValueError: If an argument is out of its range, or no user has two items.

    Example:
        >>> from graphmi.data import planted
        >>> loader = PrefixLoader(planted(num_users=50, interactions_per_user=9), batch_size=80, max_length=20)
        >>> [len(batch.positive) for batch in loader]
        [80, 80, 80, 80, 80]
    """

    def __init__(
        self,
        train: Interactions,
        batch_size: int = 2048,
        max_length: int | None = None,
        stride: int | None = None,
        windows_per_user: int | None = None,
        bucket: int = 32,
        generator: torch.Generator | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        at_least(1, batch_size=batch_size, max_length=max_length, stride=stride, bucket=bucket)
        at_least(1, windows_per_user=windows_per_user)
        self.histories = Histories(train)
        self.users = torch.nonzero(self.histories.length > 1).flatten()
        if not len(self.users):
            raise ValueError("no user has two training items or more, so there is no target with a history")
        self.left_out = left_out(self.users, self.histories.length, "one training item, with no history before it")
        self.batch_size, self.max_length, self.stride = batch_size, max_length, stride
        self.windows_per_user, self.bucket = windows_per_user, bucket
        self.generator, self.device = generator, device

    def __len__(self) -> int:
        """Return the number of batches; with ``windows_per_user`` that of one epoch, others may differ by few."""
        return self._num_batches(self._windows(torch.Generator().manual_seed(0)))

    def __iter__(self) -> Iterator[Batch]:
        windows, histories = self._windows(self.generator), self.histories.to(self.device)
        for chosen in self._batches(windows):
            yield windows.take(chosen).batch(histories)

    def _windows(self, generator: torch.Generator | None) -> Windows:
        max_length = check_length(self.max_length)
        windows = Windows.cut(self.histories, self.users, max_length, self._stride(), generator)
        return windows if self.windows_per_user is None else windows.some_per_user(self.windows_per_user, generator)

    def _batches(self, windows: Windows) -> list[Tensor]:
        """Return the windows of each batch, the batches in random order."""
        num_batches = self._num_batches(windows)
        size = -(-num_batches // max(1, round(num_batches / self.bucket)))  # batches per bucket, about equal
        order = torch.randperm(len(windows), generator=self.generator)
        bucket = _parts(windows.targets[order], num_batches) // size
        if size > 1:
            by_length = torch.argsort(windows.length[order], stable=True)
            by_length = by_length[torch.argsort(bucket[by_length], stable=True)]
            order, bucket = order[by_length], bucket[by_length]
        # A window on the edge stays in its bucket: the longest of one would pad all the short ones of the next.
        part = torch.minimum(_parts(windows.targets[order], num_batches), bucket * size + size - 1)
        batches = torch.split(order, torch.unique_consecutive(part, return_counts=True)[1].tolist())
        return [batches[index] for index in torch.randperm(len(batches), generator=self.generator).tolist()]

    def _num_batches(self, windows: Windows) -> int:
        """Return the number of batches; each has room for the largest window, so that none is empty."""
        largest = min(self._stride(), int(self.histories.length.max()) - 1)
        total = int(windows.targets.sum())
        return max(1, min(-(-total // self.batch_size), total // largest))

    def _stride(self) -> int:
        return min(size for size in (self.stride, self.max_length) if size is not None)


def _parts(size: Tensor, count: int) -> Tensor:
    """Return to which of ``count`` parts of about equal total size each entry belongs, in this order."""
    end = size.cumsum(0)
    return (end - size) * count // end[-1:]
