"""The interface of samplers, and what they ask of the training graph."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Self

import torch
from torch import Generator, Tensor, nn
from torch_geometric.data import HeteroData

from graphmi.edges import user_item_edges
from graphmi.typing import Negatives

__all__ = ["Precise", "Sampler", "item_degrees", "on_cpu", "one_positive_each", "pick"]


class Sampler(nn.Module, ABC):
    """Draws negatives for the users and positives of a batch.

    A sampler knows the training graph only: ids, degrees and known items never come from validation or test.
    Its buffers follow ``.to(device)``, and nothing waits for the device.

    Attributes:
        rows_together: For how many users, one positive each, training draws at once, those of several batches: above 0
            where each has negatives of its own, which other users and positives do not change.
    """

    rows_together = 0

    @abstractmethod
    def forward(self, user: Tensor, positive: Tensor, generator: Generator | None = None) -> Negatives:
        """Return the :class:`~graphmi.typing.Negatives` of the batch.

        Args:
            user: User ids, ``[batch]``.
            positive: Item ids, ``[batch]``, or any number of them where users have several.
            generator: The source of randomness, on the device of ``user``.
        """

    @abstractmethod
    def log_prob(self, user: Tensor, item: Tensor) -> Tensor:
        """Return the log probability that one draw for a user is this item, of the shape of ``item``.

        Args:
            user: User ids, ``[batch]``.
            item: Item ids, ``[num]`` for samplers that share their negatives, or ``[batch, num]``. Items that the
                user knows get the value of the same formula, although a rejecting sampler never draws them.
        """


class Precise(nn.Module):
    """A module whose buffers keep their number formats where a module around it is given another one."""

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        def moved(tensor: Tensor) -> Tensor:
            found = fn(tensor)
            return found if found.dtype == tensor.dtype else tensor.to(found.device)

        applied: Self = super()._apply(moved, recurse)  # type: ignore[no-untyped-call]
        return applied


def on_cpu(tensor: Tensor) -> bool:
    """Tell whether numpy can read a tensor; it takes less time than torch for many small operations."""
    return tensor.device.type == "cpu"


def pick(values: Tensor, index: Tensor) -> Tensor:
    """Return ``values[index]`` of one dimension, which takes four times as long on the CPU."""
    return values.index_select(0, index.flatten()).view(index.shape)


def item_degrees(graph: HeteroData) -> Tensor:
    """Count the interactions of each item in the training graph, ``[num_items]``."""
    return torch.bincount(user_item_edges(graph)[1].cpu(), minlength=int(graph["item"].num_nodes))


def one_positive_each(user: Tensor, positive: Tensor) -> None:
    """Check that a sampler that corrects the positive has one per user.

    Raises:
        ValueError: There is another number of positives, as in the batches of a ``UserLoader``.
    """
    if user.shape != positive.shape:
        raise ValueError(
            f"this sampler gives each positive its proposal probability and needs one positive per user (got "
            f"{positive.numel()} for {user.numel()} users): use UniformSampler or AllItemsSampler, or batches of pairs"
        )
