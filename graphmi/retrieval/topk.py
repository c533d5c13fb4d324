"""Exact top-k over all items, the best of several interests counting, in memory bounded by a block."""

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from graphmi.retrieval import keys
from graphmi.retrieval.interest import best_interest, without_inactive
from graphmi.typing import ItemTable

__all__ = ["TopK", "rank", "top_k"]

_ITEMS = 65_536  # items ranked at once
_SCORES = {"cpu": 2**22, "cuda": 2**27}  # scores held at once; 16 MB stay in a processor's cache


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
    exclude: tuple[Tensor, Tensor] | None = None,
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
    exclude: tuple[Tensor, Tensor] | None = None,
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
        exclude: Items to leave out of each row, as CSR: ``rowptr [batch + 1]`` and ``col [num_excluded]``.
        interest_mask: ``[batch, num_interests]``, False where an interest does not count.
        block_size: Scores held at once, at least 1; by default what suits the device.

    Returns:
        Scores ``[batch, k]`` float32 and ids ``[batch, k]`` int64, best first.

    Raises:
        ValueError: If shapes or arguments are impossible, or if a score is NaN.
    """
    _check(queries, items, k, exclude, interest_mask, block_size)
    queries = without_inactive(queries.float(), interest_mask)
    block_size = block_size or _SCORES.get(queries.device.type, _SCORES["cuda"])
    best = torch.full((queries.size(0), k), keys.EMPTY, device=queries.device)
    peak = queries.new_tensor(-math.inf)
    for start in range(0, len(items), _ITEMS):
        vectors = items[start : start + _ITEMS].float()
        block = _ItemBlock(vectors, start, k, queries.size(1), queries.size(2), block_size)
        for rows, excluded in _row_blocks(queries.size(0), block.num_rows, exclude):
            best[rows], highest = block.merge(best[rows], queries[rows], excluded)
            peak = torch.maximum(peak, highest)
    if peak.isnan():
        raise ValueError("A score is NaN: look for non-finite values in the user or item representations.")
    if interest_mask is not None:
        best[~interest_mask.any(dim=1)] = keys.EMPTY
    return keys.decode(keys.largest_sorted(best, k))


class _ItemBlock:
    """Neighbouring items, ranked for one block of rows after the other in the same buffers.

    Group ``j`` holds the items ``j * size`` to ``(j + 1) * size - 1``. Scores lie as ``[size, rows, groups]``:
    the best of each group is then a reduction over the leading axis, and each leading index one matrix product.
    """

    def __init__(self, vectors: Tensor, start: int, k: int, num_interests: int, dim: int, block_size: int) -> None:
        num_items, width = vectors.shape
        self.vectors, self.start, self.k, self.dim = vectors, start, k, dim
        self.size = max(1, round(math.sqrt(num_items / k)))
        self.groups = torch.arange(math.ceil(num_items / self.size), device=vectors.device)
        self.num_vectors = width // dim
        self.num_pairs = num_interests * self.num_vectors
        num_groups = self.groups.numel()
        self.num_rows = max(1, block_size // ((self.size + self.num_pairs) * num_groups))
        self.products = vectors.new_empty(self.num_pairs * self.num_rows * num_groups)
        self.scores = vectors.new_empty(self.size * self.num_rows * num_groups + 1)

    def merge(self, best: Tensor, queries: Tensor, excluded: tuple[Tensor, Tensor] | None) -> tuple[Tensor, Tensor]:
        """Return the best keys of these and the items seen so far, and the highest score (NaN if any is)."""
        rows = queries.size(0)
        scores = self._score(queries)  # [size, rows, groups]
        if excluded is not None:
            self._exclude(*excluded, rows)
        group_best = scores.amax(dim=0)  # [rows, groups]
        group = keys.ids(keys.largest(keys.encode(group_best, self.groups), self.k))  # [rows, <=k]
        offset = torch.arange(self.size, device=group.device)
        row = torch.arange(rows, device=group.device).view(-1, 1)
        place = (group + row * self.groups.numel()).unsqueeze(-1) + offset * group_best.numel()
        index = (group * self.size + self.start).unsqueeze(-1) + offset  # [rows, <=k, size]
        found = keys.encode(scores.take(place), index).view(rows, -1)
        return keys.largest(torch.cat([best, found], dim=1), self.k), group_best.amax()

    def _score(self, queries: Tensor) -> Tensor:
        """Return the best score over interests and item vectors, ``[size, rows, groups]``."""
        rows, num_groups = queries.size(0), self.groups.numel()
        flat = queries.transpose(0, 1).reshape(-1, self.dim)  # [num_interests * rows, dim]
        scores = self.scores[: self.size * rows * num_groups].view(self.size, rows, num_groups)
        if len(self.vectors) % self.size:  # the last group is short
            scores[:, :, -1] = -math.inf
        for offset in range(self.size):
            vectors = self.vectors[offset :: self.size]  # item `offset` of each group
            products = self.products[: self.num_pairs * rows * len(vectors)].view(-1, flat.size(0), len(vectors))
            for out, side in zip(products, vectors.chunk(self.num_vectors, dim=1), strict=True):
                torch.mm(flat, side.t(), out=out)
            pairs = products.view(self.num_pairs, rows, len(vectors))
            torch.amax(pairs, dim=0, out=scores[offset, :, : len(vectors)])
        return scores

    def _exclude(self, row: Tensor, item: Tensor, rows: int) -> None:
        """Set excluded scores to -inf; what lies outside this block goes to the spare place at the end."""
        group = (item - self.start).div(self.size, rounding_mode="floor")
        place = ((item - self.start - group * self.size) * rows + row) * self.groups.numel() + group
        inside = (item >= self.start) & (item < self.start + len(self.vectors))
        self.scores.index_fill_(0, place.where(inside, self.scores.numel() - 1), -math.inf)


def _row_blocks(
    num_rows: int, size: int, exclude: tuple[Tensor, Tensor] | None
) -> Iterator[tuple[slice, tuple[Tensor, Tensor] | None]]:
    """Yield slices of rows with their excluded (row within the slice, item) pairs."""
    starts = range(0, num_rows, size)
    if exclude is None:
        yield from ((slice(start, start + size), None) for start in starts)
        return
    rowptr, col = exclude
    bounds = [*rowptr[:-1:size].tolist(), col.numel()]
    for start, low, high in zip(starts, bounds, bounds[1:], strict=False):
        count = rowptr[start : start + size + 1].diff()
        yield slice(start, start + size), (torch.repeat_interleave(count, output_size=high - low), col[low:high])


def _check(
    queries: Tensor,
    items: Tensor | ItemTable,
    k: int,
    exclude: tuple[Tensor, Tensor] | None,
    interest_mask: Tensor | None,
    block_size: int | None,
) -> None:
    for name, value in (("k", k), ("block_size", block_size)):
        if value is not None and value < 1:
            raise ValueError(f"'{name}' must be at least 1 (got {value}).")
    if queries.dim() != 3:
        raise ValueError(f"'queries' must be [batch, num_interests, dim] (got {list(queries.shape)}).")
    if isinstance(items, Tensor) and (items.dim() != 2 or items.size(1) % queries.size(2)):
        raise ValueError(f"'items' must be [num_items, num_vectors * {queries.size(2)}] (got {list(items.shape)}).")
    if exclude is not None and exclude[0].numel() != queries.size(0) + 1:
        raise ValueError(
            f"'exclude' must have {queries.size(0) + 1} row pointers, one more than the batch has rows "
            f"(got {exclude[0].numel()})."
        )
    if interest_mask is not None and interest_mask.shape != queries.shape[:2]:
        raise ValueError(f"'interest_mask' must be {list(queries.shape[:2])} (got {list(interest_mask.shape)}).")
