"""Exact top-k over all items, the best of several interests counting, in memory bounded by a block."""

import math
from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from graphmi.ranges import at_least
from graphmi.retrieval import keys, parallel
from graphmi.retrieval.blocks import Buffers, Excluded, ItemBlock, require_excluded
from graphmi.retrieval.interest import active_queries, best_interest
from graphmi.retrieval.sieve import Sieve
from graphmi.typing import ItemTable

__all__ = ["TopK", "rank", "top_k"]

_ITEMS = 16_384  # items ranked at once
_SCORES = {"cpu": 2**22, "cuda": 2**27}  # scores held at once; on a processor 16 MB for each thread


class TopK(NamedTuple):
    """The best items of each row, best first.

    Attributes:
        scores: ``[batch, k]`` float32, ``-inf`` where no item is left.
        ids: ``[batch, k]`` int64, ``-1`` where no item is left.
        interest: The interest that gave the score, ``[batch, k]`` int64, ``-1`` where no item is left.
    """

    scores: Tensor
    ids: Tensor
    interest: Tensor


@torch.no_grad()
def top_k(
    queries: Tensor,
    items: Tensor | ItemTable,
    k: int,
    *,
    exclude: Excluded | None = None,
    interest_mask: Tensor | None = None,
    block_size: int | None = None,
) -> TopK:
    """Return the ``k`` best items of each row, and which interest found them.

    As :func:`rank`, which is faster where the interest does not matter.

    Args:
        queries: As in :func:`rank`.
        items: As in :func:`rank`.
        k: As in :func:`rank`.
        exclude: As in :func:`rank`.
        interest_mask: As in :func:`rank`.
        block_size: As in :func:`rank`.

    Raises:
        ValueError: As :func:`rank`.
    """
    scores, ids = rank(queries, items, k, exclude=exclude, interest_mask=interest_mask, block_size=block_size)
    return TopK(scores, ids, best_interest(queries, items, ids, interest_mask=interest_mask))


@torch.no_grad()
def rank(
    queries: Tensor,
    items: Tensor | ItemTable,
    k: int,
    *,
    exclude: Excluded | None = None,
    interest_mask: Tensor | None = None,
    block_size: int | None = None,
) -> tuple[Tensor, Tensor]:
    r"""Return scores and ids of the ``k`` items with the highest :math:`\max_{m,j} \langle q_m, e_{ij} \rangle`.

    The result is that of a full stable sort: ties go to the lower item id. Scores are float32 whatever the
    input, so that a score and an id fit into one 64-bit key. An item that scores ``-inf`` is never returned.

    Neighbouring item ids form groups. The ``k`` best items lie in the ``k`` groups whose best item is best, so
    only these are looked at item by item: of :math:`N` items about :math:`2\sqrt{Nk}` are ranked.

    Args:
        queries: Interests, ``[batch, num_interests, dim]``.
        items: Item vectors, ``[num_items, num_vectors * dim]``; where an item has several, the best counts.
        k: How many items, at least 1; where fewer are left the row ends with ids ``-1`` and scores ``-inf``.
        exclude: Items to leave out of each row, as CSR: ``rowptr [batch + 1]`` and ``col [num_excluded]``. Ids that
            are no items are an error on the CPU, and passed over elsewhere.
        interest_mask: ``[batch, num_interests]``, False where an interest does not count.
        block_size: Scores held at once by each thread, at least 1; by default what suits the device.

    Returns:
        Scores ``[batch, k]`` float32 and ids ``[batch, k]`` int64, best first.

    Raises:
        ValueError: If shapes or arguments are impossible, or if a score is NaN.
    """
    _check(queries, items, k, exclude, interest_mask, block_size)
    exclude = None if exclude is None else (exclude[0], exclude[1].long())
    queries = active_queries(queries, interest_mask)
    block_size = block_size or _SCORES.get(queries.device.type, _SCORES["cuda"])
    best = torch.full((queries.size(0), k), keys.EMPTY, device=queries.device)
    peaks = [queries.new_tensor(-math.inf)]
    buffers, sieving = Buffers(), True

    def merge(block: ItemBlock, task: tuple[slice, Excluded | None]) -> Tensor:
        rows, excluded = task
        best[rows], peak = block.merge(best[rows], queries[rows], excluded)
        return peak

    for start in range(0, len(items), _ITEMS):
        vectors = items[start : start + _ITEMS].float()
        grouped = 6 * len(queries) > vectors.size(1)  # for fewer rows the copy costs more than groups save
        shape = k, queries.size(1), queries.size(2)
        if grouped and sieving and Sieve.pays(vectors, k, queries):
            block: ItemBlock = Sieve(vectors, start, *shape, block_size, buffers)
        else:
            block = ItemBlock(vectors, start, *shape, block_size, buffers, grouped=grouped)
        size = parallel.part_size(len(queries), block.num_rows, queries.device)
        tasks = list(_row_blocks(len(queries), size, exclude))
        if isinstance(block, Sieve):
            first = parallel.num_threads(queries.device)
            peaks += parallel.run(partial(merge, block), tasks[:first], queries.device)
            tasks = tasks[first:]
            if not block.tells():
                block, sieving = block.exact, False
        peaks += parallel.run(partial(merge, block), tasks, queries.device)
    if torch.stack(peaks).isnan().any():
        raise ValueError("A score is NaN: look for non-finite values in the user or item representations.")
    if interest_mask is not None:
        best[~interest_mask.any(dim=1)] = keys.EMPTY
    return keys.decode(keys.largest_sorted(best, k))


def _row_blocks(num_rows: int, size: int, exclude: Excluded | None) -> Iterator[tuple[slice, Excluded | None]]:
    """Yield slices of rows with what is excluded from them."""
    starts = range(0, num_rows, size)
    if exclude is None:
        yield from ((slice(start, start + size), None) for start in starts)
        return
    rowptr, col = exclude
    bounds = [*rowptr[:-1:size].tolist(), col.numel()]
    for start, low, high in zip(starts, bounds, bounds[1:], strict=False):
        yield slice(start, start + size), (rowptr[start : start + size + 1], col[low:high])


def _check(
    queries: Tensor,
    items: Tensor | ItemTable,
    k: int,
    exclude: Excluded | None,
    interest_mask: Tensor | None,
    block_size: int | None,
) -> None:
    at_least(1, k=k, block_size=block_size)
    if queries.dim() != 3 or 0 in queries.shape[1:]:
        raise ValueError(
            f"'queries' must be [batch, num_interests, dim], the last two from 1 (got {list(queries.shape)})."
        )
    if isinstance(items, Tensor) and (items.dim() != 2 or items.size(1) % queries.size(2)):
        raise ValueError(f"'items' must be [num_items, num_vectors * {queries.size(2)}] (got {list(items.shape)}).")
    require_excluded(exclude, len(queries), len(items))
    if interest_mask is not None and interest_mask.shape != queries.shape[:2]:
        raise ValueError(f"'interest_mask' must be {list(queries.shape[:2])} (got {list(interest_mask.shape)}).")
