"""The values that cross between parts: batches in, representations and negatives out.

Models, samplers, losses, metrics and the index know these types and nothing of one another.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from itertools import accumulate
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

__all__ = [
    "Batch",
    "BecomesReader",
    "Contributions",
    "Decomposable",
    "FoldsIn",
    "HistoryReader",
    "ItemTable",
    "Negatives",
    "Propagates",
    "Representations",
]


@runtime_checkable
class ItemTable(Protocol):
    """Item vectors that are computed only where they are asked for."""

    def __getitem__(self, index: Tensor | slice) -> Tensor:
        """Return the vectors of these items, ``[..., dim]`` for an index of shape ``[...]``."""
        ...

    def __len__(self) -> int:
        """Return the number of items."""
        ...


@runtime_checkable
class HistoryReader(Protocol):
    """A model that reads ``Batch.history``.

    Attributes:
        max_length: Most items of a history that it reads, the latest ones.
    """

    max_length: int


@dataclass(frozen=True, slots=True)
class Batch:
    """Users, and in training their positive items: one each, or with ``row`` any number.

    Attributes:
        user: User ids, ``[batch]``, int64.
        positive: Item ids, ``[batch]`` or ``[num_positives]``, int64; ``None`` in evaluation.
        row: Which row of ``user`` each positive belongs to, ``[num_positives]``; ``None`` where it is one each.
        history: Item ids of histories in time order, left-aligned, ``[batch, length]``; what pads is an id too, and
            only ``mask`` tells. ``None`` for graph models.
        mask: ``[batch, length]``, True where the history is real.
        prefix: How far each user reads where several read the same history at different times, ``[batch]``: the value
            ``r * length + t`` stands for the first ``t + 1`` items of row ``r`` of ``history``, which has then one
            row per sequence. ``None``: each user reads the whole of its own row.
    """

    user: Tensor
    positive: Tensor | None = None
    row: Tensor | None = None
    history: Tensor | None = None
    mask: Tensor | None = None
    prefix: Tensor | None = None

    def to(self, device: torch.device | str, non_blocking: bool = False) -> "Batch":
        """Return the batch on another device."""
        return replace(self, **_moved(self, device, non_blocking))


@dataclass(frozen=True, slots=True)
class Representations:
    """What a model says of the users of a batch and of all items.

    A score is the inner product of an interest and an item vector, and the best interest counts. Where an
    item has several vectors they lie side by side, ``num_vectors * dim``, and the best pair counts.

    Attributes:
        interests: ``[batch, num_interests, dim]``.
        items: Indexable by item id, ``[..., dim]`` or ``[..., num_vectors * dim]``.
        routing: Routing weights for regularizers, ``[batch, num_interests, length]``.
        mask: ``[batch, length]``, True where the history is real.
        interest_mask: ``[batch, num_interests]``, False where an interest is inactive.
        routing_variance: Sum of the squared deviations of the routing weights over the real positions, ``[batch,
            num_interests]``, where a model knows it without having ``routing``.
        ego_users: Parameters behind the users of the batch, ``[batch, dim]``, for norm penalties.
        ego_items: Parameters behind all items, indexable by item id, for norm penalties.
    """

    interests: Tensor
    items: Tensor | ItemTable
    routing: Tensor | None = None
    mask: Tensor | None = None
    interest_mask: Tensor | None = None
    routing_variance: Tensor | None = None
    ego_users: Tensor | None = None
    ego_items: Tensor | ItemTable | None = None


@dataclass(frozen=True, slots=True)
class Negatives:
    """Items drawn as negatives for a batch of users and positives.

    Attributes:
        item: ``[num_negatives]`` shared by the batch, or ``[batch, num_negatives]``; int64.
        log_q: Log proposal probability of each negative, of the shape of ``item``; ``None`` where the draw
            needs no correction.
        pos_log_q: Log proposal probability of the positives, ``[batch]``.
        valid: ``[batch, num_negatives]``, False where a negative must not count for this user (a known
            positive); ``None`` where all count.
        excludes_known: True where no negative that counts is a training positive of its user, so that several positives
            of a user can have the same negatives.
        all_items: True where ``item`` is every item in order, so that item ``i`` stands at position ``i``.
        known: With ``block_size``, in place of ``valid``: the items that must not count for each user, ``[batch,
            max_known]``, filled up with ids past the last item.
        block_size: How many of all items the loss should score at a time; ``None`` for all at once.
    """

    item: Tensor
    log_q: Tensor | None = None
    pos_log_q: Tensor | None = None
    valid: Tensor | None = None
    excludes_known: bool = False
    all_items: bool = False
    known: Tensor | None = None
    block_size: int | None = None

    def to(self, device: torch.device | str, non_blocking: bool = False) -> "Negatives":
        """Return the negatives on another device."""
        return replace(self, **_moved(self, device, non_blocking))

    def take(self, row: Tensor) -> "Negatives":
        """Return the negatives of these rows of the batch, ``[num]``; what is shared stays shared."""
        return self._of_rows(lambda values: values.index_select(0, row))

    def split(self, sizes: Sequence[int]) -> "list[Negatives]":
        """Return those of so many first rows of the batch, of so many next ones, ...; what is shared stays shared."""
        parts = zip(accumulate(sizes, initial=0), sizes, strict=False)
        return [self._of_rows(partial(torch.narrow, dim=0, start=start, length=size)) for start, size in parts]

    def _of_rows(self, rows: Callable[[Tensor], Tensor]) -> "Negatives":
        def part(values: Tensor | None) -> Tensor | None:
            return None if values is None else rows(values)

        own = self.item.dim() == 2
        return replace(
            self,
            item=rows(self.item) if own else self.item,
            log_q=part(self.log_q) if own else self.log_q,
            pos_log_q=part(self.pos_log_q),
            valid=part(self.valid),
            known=part(self.known),
        )


@dataclass(frozen=True, slots=True)
class Contributions:
    """What single items add to the interests of a batch of users, so that the sum is the interest.

    A score is linear in the interest, so it is a sum over the same items: ``<vector, item vector>`` is how much of the
    score one of them brings, below 0 where it speaks against the item.

    Attributes:
        row: Which row of the batch each contribution belongs to, ``[num_contributions]`` int64, ascending.
        item: The item of each: in the history, or next to the user in the graph; an item can come several times.
        vector: What it adds to each interest, ``[num_contributions, num_interests, dim]``.
        rest: What comes from no item, ``[batch, num_interests, dim]``: the user's own parameters, or biases.
    """

    row: Tensor
    item: Tensor
    vector: Tensor
    rest: Tensor


@runtime_checkable
class Decomposable(Protocol):
    """A model whose interests are sums over items."""

    def contributions(self) -> Callable[[Batch], Contributions | None]:
        """Return a function that gives the terms of the interests of a batch, or ``None`` where there is no such sum.

        What does not depend on the users is computed once, with the parameters as they are.
        """
        ...


@runtime_checkable
class FoldsIn(Protocol):
    """A model that knows its users by their ids, and can tell of new ones by their items."""

    def fold_in(self, history: Tensor, mask: Tensor) -> Representations:
        """Return what users with these items are like, ``[batch, length]`` and True where they are real.

        Histories are left-aligned, the latest item last, and may be longer than a model reads: it takes the latest.
        """
        ...


@runtime_checkable
class BecomesReader(Protocol):
    """A model that can leave its users behind."""

    def as_reader(self) -> nn.Module:
        """Return a model that reads histories and gives anybody what ``fold_in`` does now, in evaluation mode.

        It holds nothing of single users, and consists of operations that ``torch.export`` takes. It is made for the
        device of the model, which should be moved before.
        """
        ...


@runtime_checkable
class Propagates(Protocol):
    """A model with much to compute before it can answer, whoever the users are."""

    def propagated(self) -> nn.Module:
        """Return a model that answers as this one does now, with that computed once."""
        ...


def _moved(value: "Batch | Negatives", device: torch.device | str, non_blocking: bool) -> dict[str, Any]:
    parts = {field.name: getattr(value, field.name) for field in fields(value)}
    return {name: part.to(device, non_blocking=non_blocking) for name, part in parts.items() if torch.is_tensor(part)}
