"""Lists to which every interest may bring some items."""

import torch
from torch import Tensor

from graphmi.ranges import at_least
from graphmi.retrieval import keys
from graphmi.retrieval.blocks import Excluded
from graphmi.retrieval.index import Index
from graphmi.retrieval.topk import TopK

__all__ = ["nominate"]


@torch.no_grad()
def nominate(
    queries: Tensor,
    index: Index,
    k: int,
    quota: int,
    *,
    exclude: Excluded | None = None,
    interest_mask: Tensor | None = None,
) -> TopK:
    """Return ``k`` items of which no interest has nominated more than ``quota``.

    Interests nominate the best items that are left, whoever has the highest score first, until the list is full or all
    quotas are. So an item whose best interest has no more places can come in by another one. With ``quota >= k`` it is
    the ranking of :func:`~graphmi.retrieval.top_k`.

    Args:
        queries: Interests, ``[batch, num_interests, dim]``.
        index: Where the items of each interest are searched.
        k: How many items, at least 1.
        quota: Most items that an interest brings, at least 1.
        exclude: Items to leave out, as for :func:`~graphmi.retrieval.top_k`.
        interest_mask: ``[batch, num_interests]``, False where an interest does not count.

    Returns:
        As :func:`~graphmi.retrieval.top_k`, shorter rows filled up in the same way.

    Raises:
        ValueError: If shapes or arguments are impossible, or if a score is NaN.
    """
    at_least(1, quota=quota)
    num_rows, num_interests = queries.shape[:2]
    # No interest gets further than to its k-th item: so many are taken at most.
    found = [
        index.search(queries[:, [one]], k, exclude=exclude, interest_mask=_only(interest_mask, one))
        for one in range(num_interests)
    ]
    scores, ids, _ = (torch.cat(parts, 1) for parts in zip(*found, strict=True))  # [batch, num_interests * k]
    key = keys.encode(scores, ids.clamp(min=0))  # of equal scores the lower id comes first, then the lower interest
    order = key.argsort(dim=1, descending=True, stable=True)
    scores, ids, interests = scores.gather(1, order), ids.gather(1, order), order // k
    left = torch.full((num_rows, num_interests), quota, device=ids.device)
    size = torch.zeros(num_rows, 1, dtype=torch.int64, device=ids.device)  # of the lists so far
    chosen = torch.full((num_rows, k + 1), -1, device=ids.device)  # ids; the last place takes what is not chosen
    place = chosen.clone()  # among the nominations
    for number, (item, interest) in enumerate(zip(torch.split(ids, 1, 1), torch.split(interests, 1, 1), strict=True)):
        free = (item >= 0) & (left.gather(1, interest) > 0) & (size < k) & (chosen[:, :k] != item).all(1, keepdim=True)
        target = size.where(free, k)
        chosen.scatter_(1, target, item)
        place.scatter_(1, target, number)
        left.scatter_add_(1, interest, -free.long())
        size += free
    place = place[:, :k]
    none = place < 0
    return TopK(
        scores.gather(1, place.clamp(min=0)).masked_fill(none, -torch.inf),
        chosen[:, :k],
        interests.gather(1, place.clamp(min=0)).masked_fill(none, -1),
    )


def _only(interest_mask: Tensor | None, interest: int) -> Tensor | None:
    return None if interest_mask is None else interest_mask[:, [interest]]
