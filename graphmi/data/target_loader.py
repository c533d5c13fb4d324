"""One target per user and epoch, with the history before it."""

from collections.abc import Iterator

import torch

from graphmi.data.interactions import Interactions
from graphmi.data.loader import BatchLoader, left_out
from graphmi.data.sequence import Histories, check_length
from graphmi.data.transfer import to_device
from graphmi.ranges import at_least
from graphmi.typing import Batch

__all__ = ["TargetLoader"]


class TargetLoader(BatchLoader):
    """Every user once per epoch, with one item at a random position as the target and the items before it as history.

    This is how MIND (https://arxiv.org/abs/1904.08030), ComiRec (https://arxiv.org/abs/2005.09347) and what builds on
    them train. *Published*, but for the epochs: the reference code of ComiRec draws the users of every batch anew.

    Args:
        train: Training interactions.
        batch_size: Users per batch, at least 1; the last batch of an epoch may be smaller.
        max_length: Most items of a history, at least 1; that of the model when omitted, which the experiment sets.
        min_history: Least items before a target, at least 1; users with fewer are left out. ComiRec has 4.
        generator: Source of users and positions, on the CPU.
        device: Where the batches lie.

    Raises:
        ValueError: If an argument is out of its range, or no user has more than ``min_history`` items.

    Example:
        >>> from graphmi.data import planted
        >>> batch = next(iter(TargetLoader(planted(num_users=50), batch_size=16, max_length=20)))
        >>> batch.positive.shape, batch.history.shape == batch.mask.shape
        (torch.Size([16]), True)
    """

    def __init__(
        self,
        train: Interactions,
        batch_size: int = 128,
        max_length: int | None = None,
        min_history: int = 1,
        generator: torch.Generator | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        at_least(1, batch_size=batch_size, max_length=max_length, min_history=min_history)
        self.histories = Histories(train)
        self.users = torch.nonzero(self.histories.length > min_history).flatten()
        if not len(self.users):
            raise ValueError(f"no user has more than 'min_history' training items ({min_history})")
        few = f"no more than 'min_history' training items ({min_history})"
        self.left_out = left_out(self.users, self.histories.length, few)
        self.batch_size, self.max_length, self.min_history = batch_size, max_length, min_history
        self.generator, self.device = generator, device

    def __len__(self) -> int:
        return -(-len(self.users) // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        max_length, histories = check_length(self.max_length), self.histories.to(self.device)
        users = self.users[torch.randperm(len(self.users), generator=self.generator)]
        choices = histories.length[users] - self.min_history
        draw = torch.rand(len(users), generator=self.generator, dtype=torch.float64)
        positions = self.min_history + (draw * choices).long()
        for user, position in zip(
            torch.split(users, self.batch_size), torch.split(positions, self.batch_size), strict=True
        ):
            history, mask = histories.read(user, max_length, position)
            user, target = to_device(torch.stack([user, histories.rowptr[user] + position]), self.device)
            yield Batch(user=user, positive=histories.item[target], history=history, mask=mask)
