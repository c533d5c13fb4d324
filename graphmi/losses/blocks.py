"""All items as negatives, block by block: what the backward pass needs is computed again instead of being kept."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from graphmi.losses.partition import log_partition
from graphmi.typing import ItemTable, Negatives

__all__ = ["partition_in_blocks"]


def partition_in_blocks(
    reduce: Callable[[Tensor, Tensor | None], Tensor],
    score: Callable[[Tensor], Tensor],
    items: Tensor | ItemTable,
    positive: Tensor | None,
    negatives: Negatives,
) -> Tensor:
    """Return the log-sum-exp of the partitions of all blocks of items, ``[batch]`` or ``[batch, num_interests]``.

    In memory are the scores of one block, ``batch * num_interests * block_size`` a few times, and the gradient of the
    items; the price is that scores are computed once more, about one matrix product in four.

    Args:
        reduce: Makes scores ``[batch, ..., block]`` and which of them are valid, ``[batch, block]``, a partition.
        score: Scores items ``[block, dim]``.
        items: All items.
        positive: Item ids, ``[batch]``, invalid as negatives; ``None`` where the negatives exclude them.
        negatives: All items as negatives, with a block size.
    """

    def block(start: int, part: Tensor | ItemTable, _: Tensor) -> Tensor:
        neg = score(part if isinstance(part, Tensor) else part[start : start + size])
        return reduce(neg, _valid(negatives, positive, start, neg.size(-1)))

    size = negatives.block_size or len(items)
    starts = range(0, len(items), size)
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


def _valid(negatives: Negatives, positive: Tensor | None, start: int, width: int) -> Tensor | None:
    """Tell which items from ``start`` on are negatives of each user, ``[batch, width]``; ``None``: all."""
    left_out = [
        part for part in (negatives.known, None if positive is None else positive.unsqueeze(1)) if part is not None
    ]
    if not left_out:
        return None
    column = torch.cat(left_out, 1) - start
    column = torch.where((column >= 0) & (column < width), column, width)  # the last column is cut off
    valid = torch.ones(len(column), width + 1, dtype=torch.bool, device=column.device)
    return valid.scatter_(1, column, False)[:, :-1]
