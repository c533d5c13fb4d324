"""Which interest found an item."""

import torch
from torch import Tensor
from torch.nn.functional import embedding

from graphmi.nn.inactive import active_places, without_inactive
from graphmi.retrieval import parallel
from graphmi.typing import ItemTable

__all__ = ["active_queries", "best_interest", "item_scores"]

_NUMBERS = 2**20  # numbers of item vectors held at once


def active_queries(queries: Tensor, interest_mask: Tensor | None) -> Tensor:
    """Return float32 queries, an active one in place of the inactive ones, and 0 where none is active."""
    queries = without_inactive(queries.float(), interest_mask)
    if interest_mask is None:
        return queries
    return queries.masked_fill(~interest_mask.any(1).view(-1, 1, 1), 0.0)


@torch.no_grad()
def best_interest(
    queries: Tensor, items: Tensor | ItemTable, ids: Tensor, *, interest_mask: Tensor | None = None
) -> Tensor:
    """Return which interest scores best on each item.

    Args:
        queries: Interests, ``[batch, num_interests, dim]``.
        items: Item vectors, ``[num_items, num_vectors * dim]``; where an item has several, the best counts.
        ids: Item ids, ``[batch, k]``; ``-1`` for none.
        interest_mask: ``[batch, num_interests]``, False where an interest does not count.

    Returns:
        Interests, ``[batch, k]`` int64, the lower one of equals; ``-1`` where the id is.
    """
    if not len(items):
        return torch.full_like(ids, -1)
    queries = active_queries(queries, interest_mask)
    size = parallel.part_size(len(ids), max(1, _NUMBERS // max(1, ids.size(1) * queries.size(2))), ids.device)

    def argmax(start: int) -> Tensor:
        return _argmax(queries[start : start + size], items, ids[start : start + size])

    parts = parallel.run(argmax, range(0, len(ids), size), ids.device)
    interest = torch.cat([ids[:0], *parts])
    if interest_mask is not None:
        interest = active_places(interest_mask).gather(1, interest)
    return interest.masked_fill(ids < 0, -1)


def item_scores(queries: Tensor, items: Tensor | ItemTable, index: Tensor) -> Tensor:
    """Return what each interest scores on items of each row, ``[batch, num_interests, num]``.

    Args:
        queries: Interests, ``[batch, num_interests, dim]`` float32.
        items: Item vectors, ``[num_items, num_vectors * dim]``; where an item has several, the best counts.
        index: Item ids, ``[batch, num]``.
    """
    # a sixth of the time of plain indexing on the CPU
    vectors = embedding(index, items) if isinstance(items, Tensor) else items[index]
    num_vectors = vectors.size(2) // queries.size(2)
    vectors = vectors.float().view(len(index), index.size(1) * num_vectors, queries.size(2))
    scores = queries @ vectors.transpose(1, 2)
    return scores.view(*scores.shape[:2], index.size(1), num_vectors).amax(dim=-1)


@torch.no_grad()
def _argmax(queries: Tensor, items: Tensor | ItemTable, ids: Tensor) -> Tensor:
    """Return the first best interest of each item, with operations that a processor vectorises."""
    scores = item_scores(queries, items, ids.clamp(min=0))
    rank = torch.arange(scores.size(1), 0, -1, device=ids.device).view(1, -1, 1)
    first = ((scores == scores.amax(dim=1, keepdim=True)) * rank).amax(dim=1)
    return scores.size(1) - first
