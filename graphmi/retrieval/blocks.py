"""A block of neighbouring items, ranked for blocks of rows."""

import math
import threading

import torch
from torch import Tensor

from graphmi.retrieval import keys

__all__ = ["Excluded", "ItemBlock"]

Excluded = tuple[Tensor, Tensor]
"""Items to leave out of each row, as CSR: row pointers ``[rows + 1]`` and item ids."""


class ItemBlock:
    """Neighbouring items, ranked for one block of rows after the other, each thread in its own buffers.

    Group ``j`` holds the items ``j * size`` to ``(j + 1) * size - 1``. Scores lie as ``[size, rows, groups]``:
    the best of each group is then a reduction over the leading axis, and each leading index one matrix product.

    Args:
        vectors: Item vectors, ``[num_items, num_vectors * dim]`` float32.
        start: Id of the first item.
        k: How many items are looked for.
        num_interests: Queries per row.
        dim: Size of a query.
        block_size: Scores held at once.
    """

    def __init__(self, vectors: Tensor, start: int, k: int, num_interests: int, dim: int, block_size: int) -> None:
        num_items, width = vectors.shape
        self.num_items, self.start, self.k, self.dim = num_items, start, k, dim
        self.size = max(1, round(math.sqrt(num_items / k)))
        self.groups = torch.arange(math.ceil(num_items / self.size), device=vectors.device)
        # The vectors of the first item of each group, of the second, ...: [groups, dim] each, contiguous.
        planes = [vectors[offset :: self.size] for offset in range(self.size)]
        self.planes = [[side.contiguous() for side in plane.chunk(width // dim, dim=1)] for plane in planes]
        self.num_pairs = num_interests * (width // dim)
        num_groups = self.groups.numel()
        self.num_rows = max(1, block_size // ((self.size + self.num_pairs) * num_groups))
        self.local = threading.local()

    @torch.no_grad()
    def merge(self, best: Tensor, queries: Tensor, excluded: Excluded | None) -> tuple[Tensor, Tensor]:
        """Merge the items of this block into the best so far.

        Args:
            best: Keys of the best items so far, ``[rows, k]``.
            queries: ``[rows, num_interests, dim]``, of at most ``num_rows`` rows.
            excluded: Items to leave out; those of other blocks are passed over.

        Returns:
            The best keys, ``[rows, k]`` in any order, and the highest score, which is NaN if any score is.
        """
        rows = queries.size(0)
        scores = self._score(queries)  # [size, rows, groups]
        if excluded is not None:
            self._exclude(*excluded)
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
        scores, buffer = self._buffers()
        scores = scores[: self.size * rows * num_groups].view(self.size, rows, num_groups)
        if self.num_items % self.size:  # the last group is short
            scores[:, :, -1] = -math.inf
        for out, sides in zip(scores, self.planes, strict=True):
            width = len(sides[0])
            products = buffer[: self.num_pairs * rows * width].view(-1, len(flat), width)
            for product, side in zip(products, sides, strict=True):
                torch.mm(flat, side.t(), out=product)
            torch.amax(products.view(self.num_pairs, rows, width), dim=0, out=out[:, :width])
        return scores

    def _exclude(self, rowptr: Tensor, item: Tensor) -> None:
        """Set excluded scores to -inf; what lies outside this block goes to the spare place at the end."""
        rows = len(rowptr) - 1
        row = torch.repeat_interleave(rowptr.diff(), output_size=len(item))
        group = (item - self.start).div(self.size, rounding_mode="floor")
        place = ((item - self.start - group * self.size) * rows + row) * self.groups.numel() + group
        inside = (item >= self.start) & (item < self.start + self.num_items)
        scores, _ = self._buffers()
        scores.index_fill_(0, place.where(inside, scores.numel() - 1), -math.inf)

    def _buffers(self) -> tuple[Tensor, Tensor]:
        """Return this thread's places for scores (one to spare) and for products."""
        if not hasattr(self.local, "buffers"):
            slots = self.num_rows * self.groups.numel()
            empty = self.planes[0][0].new_empty
            self.local.buffers = empty(self.size * slots + 1), empty(self.num_pairs * slots)
        scores, products = self.local.buffers
        return scores, products
