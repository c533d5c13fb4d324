"""Mini-batches of training pairs, drawn one by one or user by user."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol, Union

import torch
from torch import Tensor

from graphmi.data.interactions import Interactions
from graphmi.data.transfer import to_device
from graphmi.edges import user_item_edges
from graphmi.ranges import at_least
from graphmi.typing import Batch

if TYPE_CHECKING:
    from torch_geometric.data import HeteroData

__all__ = ["BatchLoader", "InteractionLoader", "LoaderFactory", "UserLoader", "left_out"]


class BatchLoader(ABC):
    """Training batches in an order that comes from one generator.

    Attributes:
        generator: The generator; ``None`` for torch's own. With its state put back, the same batches come again.
        device: Where the batches lie.
        max_length: Most items of a history, for loaders of histories; the experiment sets that of the model where it
            is ``None``.
        left_out: How many users train and why the others do not, as words; empty where all with training items do.
    """

    generator: torch.Generator | None
    device: torch.device | str
    max_length: int | None = None
    left_out: str = ""

    @abstractmethod
    def __iter__(self) -> Iterator[Batch]:
        """Go over the training data once."""

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of batches."""


class LoaderFactory(Protocol):
    """Makes a loader of training interactions; the classes of loaders are such.

    ``generator`` and ``device`` are no options, because the experiment sets them.
    """

    def __call__(
        self, train: Interactions, /, *, generator: torch.Generator | None = None, device: torch.device | str = "cpu"
    ) -> BatchLoader:
        """Return the loader."""
        ...


class InteractionLoader(BatchLoader):
    """All training pairs once per epoch, in a fresh random order, without a Python step per sample.

    The pairs lie on the device. The state of the generator at the start of an epoch decides its order, so
    saving that state is all that resuming needs.

    Args:
        train: Training interactions, or a graph with ``('user', 'interacts', 'item')`` edges.
        batch_size: Pairs per batch, at least 1; the last batch of an epoch may be smaller.
        generator: Source of the order; a CPU generator gives the same order on every device.
        device: Where the batches lie.

    Raises:
        ValueError: If ``batch_size`` is below 1.

    Example:
        >>> from graphmi.data import LeaveOneOut, planted
        >>> train = LeaveOneOut()(planted(num_users=50, num_items=40, num_clusters=4)).train
        >>> batch = next(iter(InteractionLoader(train, batch_size=8)))
        >>> batch.user.shape, batch.positive.shape
        (torch.Size([8]), torch.Size([8]))
    """

    def __init__(
        self,
        train: Union[Interactions, "HeteroData"],
        batch_size: int = 2048,
        generator: torch.Generator | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        at_least(1, batch_size=batch_size)
        self.user, self.item = _pairs(train)
        self.batch_size = batch_size
        self.generator, self.device = generator, device

    def __len__(self) -> int:
        return -(-len(self.user) // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        self.user, self.item = self.user.to(self.device), self.item.to(self.device)
        source = "cpu" if self.generator is None else self.generator.device
        order = torch.randperm(len(self.user), generator=self.generator, device=source).to(self.device)
        for rows in torch.split(order, self.batch_size):
            # plain indexing takes more than twice as long on the CPU
            yield Batch(user=self.user.index_select(0, rows), positive=self.item.index_select(0, rows))


class UserLoader(BatchLoader):
    """All training pairs once per epoch, users in a fresh random order, each with all of its items.

    What a loss needs once per user (the scores of all items for a full softmax) is then computed once per user
    instead of once per pair. The pairs of a batch are those of ``users_per_batch`` whole users, so their number varies.

    Args:
        train: Training interactions, or a graph with ``('user', 'interacts', 'item')`` edges.
        users_per_batch: Users per batch, at least 1; the last batch of an epoch may be smaller.
        generator: Source of the order, on the CPU.
        device: Where the batches lie.

    Raises:
        ValueError: If ``users_per_batch`` is below 1.

    Example:
        >>> from graphmi.data import LeaveOneOut, planted
        >>> train = LeaveOneOut()(planted(num_users=50, num_items=40, num_clusters=4)).train
        >>> batch = next(iter(UserLoader(train, users_per_batch=8)))
        >>> batch.user.shape, len(batch.positive) == len(batch.row)
        (torch.Size([8]), True)
    """

    def __init__(
        self,
        train: Union[Interactions, "HeteroData"],
        users_per_batch: int = 64,
        generator: torch.Generator | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        at_least(1, users_per_batch=users_per_batch)
        user, item = (part.cpu() for part in _pairs(train))
        order = torch.argsort(user, stable=True)
        # Sizes stay on the CPU: nothing has to wait for the device to learn how long a batch is.
        self.users, self.lengths = torch.unique_consecutive(user[order], return_counts=True)
        self.starts = self.lengths.cumsum(0) - self.lengths
        self.item = item[order]
        self.users_per_batch = users_per_batch
        self.generator, self.device = generator, device

    def __len__(self) -> int:
        return -(-len(self.users) // self.users_per_batch)

    def __iter__(self) -> Iterator[Batch]:
        self.item, device = self.item.to(self.device), self.device
        order = torch.randperm(len(self.users), generator=self.generator)
        for chosen in torch.split(order, self.users_per_batch):
            lengths = self.lengths[chosen]
            row = torch.arange(len(chosen)).repeat_interleave(lengths)  # [num_pairs]
            first = lengths.cumsum(0) - lengths
            index = torch.arange(len(row)) + (self.starts[chosen] - first)[row]
            index, row = to_device(torch.stack([index, row]), device)
            yield Batch(user=to_device(self.users[chosen], device), positive=self.item.index_select(0, index), row=row)


def left_out(users: Tensor, length: Tensor, why: str) -> str:
    """Return :attr:`BatchLoader.left_out`.

    Args:
        users: Those who train, ``[num_training]``.
        length: Training items of every user, ``[num_users]``.
        why: What the others have.
    """
    total = int((length > 0).sum())
    return "" if len(users) == total else f"{len(users):,} of {total:,} users train: the others have {why}"


def _pairs(train: Union[Interactions, "HeteroData"]) -> tuple[Tensor, Tensor]:
    if isinstance(train, Interactions):
        return train.user, train.item
    user, item = user_item_edges(train)
    return user, item
