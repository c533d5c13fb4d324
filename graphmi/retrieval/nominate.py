"""Lists to which every interest brings some items."""

import torch
from torch import Tensor
from torch.nn.functional import pad

from graphmi.retrieval import keys
from graphmi.retrieval.blocks import Excluded
from graphmi.retrieval.topk import TopK, rank
from graphmi.typing import ItemTable

__all__ = ["nominate"]


@torch.no_grad()
def nominate(
    queries: Tensor,
    items: Tensor | ItemTable,
    k: int,
    quota: int,
    *,
    exclude: Excluded | None = None,
    interest_mask: Tensor | None = None,
) -> TopK:
    """Return the ``k`` best of the ``quota`` best items of each interest.

    So no interest has more than ``quota`` items in a list, however much its scores are above those of the others. This
    is how several interests are usually retrieved: a search for each, and what they find is merged. An item that
    several interests find is there once, for the one that gives it the highest score. With ``quota >= k`` it is the
    ranking of :func:`~graphmi.retrieval.top_k`.

    Args:
        queries: Interests, ``[batch, num_interests, dim]``.
        items: Item vectors, as for :func:`~graphmi.retrieval.top_k`.
        k: How many items, at least 1.
        quota: Most items of each interest, at least 1.
        exclude: Items to leave out, as for :func:`~graphmi.retrieval.top_k`.
        interest_mask: ``[batch, num_interests]``, False where an interest does not count.

    Returns:
        As :func:`~graphmi.retrieval.top_k`, shorter rows filled up in the same way.

    Raises:
        ValueError: If shapes or arguments are impossible, or if a score is NaN.
    """
    if quota < 1:
        raise ValueError(f"'quota' must be at least 1 (got {quota})")
    found = [
        rank(
            queries[:, [interest]],
            items,
            quota,
            exclude=exclude,
            interest_mask=None if interest_mask is None else interest_mask[:, [interest]],
        )
        for interest in range(queries.size(1))
    ]
    scores, ids = (torch.cat(parts, 1) for parts in zip(*found, strict=True))  # [batch, num_interests * quota]
    key = keys.encode(scores, ids.clamp(min=0))  # of equal scores the lower id comes first, then the lower interest
    order = key.argsort(dim=1, descending=True, stable=True)
    ids = ids.gather(1, order)
    repeats = (ids.unsqueeze(2) == ids.unsqueeze(1)).tril(-1).any(2)  # an item that stands before
    key = key.gather(1, order).masked_fill(repeats, keys.EMPTY)
    kept = key.argsort(dim=1, descending=True, stable=True)[:, :k]
    scores, ids = keys.decode(key.gather(1, kept))
    interest = (order.gather(1, kept) // quota).masked_fill(ids < 0, -1)
    fill = (0, max(k - ids.size(1), 0))
    return TopK(pad(scores, fill, value=-torch.inf), pad(ids, fill, value=-1), pad(interest, fill, value=-1))
