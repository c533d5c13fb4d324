"""All items as negatives, block by block: what the backward pass needs is computed again instead of being kept."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from graphmi.losses.hits import Hits, Places
from graphmi.losses.in_cache import NegativeVectors
from graphmi.losses.objectives import Objective
from graphmi.losses.partition import log_partition
from graphmi.sorting import sort_rows
from graphmi.typing import ItemTable, Negatives

__all__ = ["PartitionInBlocks", "partition_in_blocks"]


def partition_in_blocks(
    partition: Callable[[Tensor, Hits | None, Tensor | None], Tensor],
    items: Tensor | ItemTable,
    positive: Tensor | None,
    negatives: Negatives,
) -> Tensor:
    """Return the log-sum-exp of the partitions of all blocks of items, ``[batch]`` or ``[batch, num_interests]``.

    In memory are the scores of one block, ``batch * num_interests * block_size`` a few times, and the gradient of the
    items; the price is that scores are computed once more, about one matrix product in four.

    Args:
        partition: That of items ``[block, dim]``, of which hits do not count, and those that are not valid, ``[batch,
            block]``.
        items: All items.
        positive: Item ids, ``[batch]``, invalid as negatives; ``None`` where the negatives exclude them.
        negatives: All items as negatives, with a block size.
    """

    def block(start: int, part: Tensor | ItemTable, _: Tensor) -> Tensor:
        vectors = part if isinstance(part, Tensor) else part[start : start + size]
        few, valid = left_out(start, len(vectors))
        return partition(vectors, few, valid)

    size = negatives.block_size or len(items)
    starts = range(0, len(items), size)
    left_out = _LeftOut(negatives, positive, len(items), size)
    # one split makes one gradient of the whole table; a slice per block would make as many
    parts: Sequence[Tensor | ItemTable] = (
        torch.split(items, size) if isinstance(items, Tensor) else [items] * len(starts)
    )
    # With the ids as an argument, since checkpoint repeats the draws of devices on which one lies, and a table that
    # draws neighbours is no tensor.
    blocks = [
        checkpoint(block, start, part, negatives.item, use_reentrant=False)
        for start, part in zip(starts, parts, strict=True)
    ]
    return log_partition(torch.stack(blocks, -1))


@dataclass  # frozen, torch below 2.13 does not compile it
class PartitionInBlocks:
    """What a readout asks of an objective about inner products, block by block.

    Attributes:
        objective: A softmax.
        items: All items.
        positive: As in :func:`partition_in_blocks`.
        negatives: As in :func:`partition_in_blocks`.
    """

    objective: Objective
    items: Tensor | ItemTable
    positive: Tensor | None
    negatives: Negatives

    def __call__(self, vectors: Tensor) -> Tensor:
        """Return the log-sum-exps of vectors ``[batch, num_vectors, dim]``, ``[batch, num_vectors]``."""

        def partition(items: Tensor, hits: Hits | None, valid: Tensor | None) -> Tensor:
            return self.objective.partition_of_products(vectors, NegativeVectors(items, None, hits, valid))

        return partition_in_blocks(partition, self.items, self.positive, self.negatives)

    def of_best(self, vectors: Tensor) -> tuple[Tensor, None]:
        """Return the log-sum-exp of the largest product of a row's vectors with each item, ``[batch]``."""
        nowhere = torch.empty(0, dtype=torch.int64, device=vectors.device)

        def partition(items: Tensor, hits: Hits | None, valid: Tensor | None) -> Tensor:
            negatives = NegativeVectors(items, None, hits, valid)
            return self.objective.partition_of_best(vectors, negatives, Places(nowhere, nowhere))[0]

        return partition_in_blocks(partition, self.items, self.positive, self.negatives), None


class _LeftOut:
    """What is no negative of its user, block by block: single places on the CPU, and masks where these are awaited."""

    def __init__(self, negatives: Negatives, positive: Tensor | None, num_items: int, size: int) -> None:
        own = None if positive is None else positive.unsqueeze(1)
        parts = [part for part in (negatives.known, own) if part is not None]
        self.item = torch.cat(parts, 1) if parts else None
        self.size, self.places = size, None
        if self.item is not None and self.item.device.type == "cpu" and not torch.compiler.is_compiling():
            row, place = (self.item < num_items).nonzero(as_tuple=True)
            column = self.item[row, place]
            _, order = sort_rows(column // size)
            number = torch.bincount(column // size, minlength=-(-num_items // size)).tolist()
            self.places = list(map(Places, torch.split(row[order], number), torch.split(column[order] % size, number)))

    def __call__(self, start: int, width: int) -> tuple[Hits | None, Tensor | None]:
        """Return the hits among ``width`` items from ``start`` on, or which of them are valid, ``[batch, width]``."""
        if self.item is None:
            return None, None
        if self.places is not None:
            return self.places[start // self.size], None
        column = self.item - start
        column = torch.where((column >= 0) & (column < width), column, width)  # the last column is cut off
        valid = torch.ones(len(column), width + 1, dtype=torch.bool, device=column.device)
        return None, valid.scatter_(1, column, False)[:, :-1]
