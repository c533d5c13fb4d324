"""A block of neighbouring items, ranked for blocks of rows."""

import math
import threading

import torch
from torch import Tensor

from graphmi.retrieval import keys

__all__ = ["Buffers", "Excluded", "ItemBlock"]

Excluded = tuple[Tensor, Tensor]
"""Items to leave out of each row, as CSR: row pointers ``[rows + 1]`` and item ids."""


_LINE = 16  # scores in a line of a processor's cache, at which rows of products begin


class Buffers(threading.local):
    """Places for the scores and products of each thread, written again and again."""

    def __init__(self) -> None:
        self.tensors: dict[str, Tensor] = {}

    def get(self, name: str, size: int, like: Tensor) -> Tensor:
        """Return a vector of this size with anything in it, the same one each time where it is large enough."""
        if name not in self.tensors or self.tensors[name].numel() < size:
            self.tensors[name] = like.new_empty(size)
        return self.tensors[name][:size]


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
        buffers: Where they are held; one for all blocks.
        grouped: Make groups, for which the vectors are copied; else each item is a group.
    """

    def __init__(
        self,
        vectors: Tensor,
        start: int,
        k: int,
        num_interests: int,
        dim: int,
        block_size: int,
        buffers: Buffers,
        *,
        grouped: bool = True,
    ) -> None:
        num_items, width = vectors.shape
        self.num_items, self.start, self.k, self.dim = num_items, start, k, dim
        # To look at an item of the best groups costs about twice as much as to look at a group.
        self.size = max(1, round(math.sqrt(num_items / (2 * k)))) if grouped else 1
        self.groups = math.ceil(num_items / (self.size * _LINE)) * _LINE if grouped else num_items
        # The vectors of the first item of each group, of the second, ...: [groups, dim] each, contiguous. Zeros fill up
        # the last groups, so that all products have one shape and lie without gaps.
        missing = self.groups * self.size - num_items
        full = torch.nn.functional.pad(vectors, (0, 0, 0, missing)) if missing else vectors
        planes = full.view(self.groups, self.size, -1, dim).permute(1, 2, 0, 3)
        planes = planes.contiguous() if grouped else planes
        self.planes = [plane.unbind() for plane in planes]
        self.num_pairs = num_interests * (width // dim)
        self.num_rows = max(1, block_size // ((self.size + self.num_pairs) * self.groups))
        self.buffers = buffers

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
        # One place more than there are scores, where what is excluded elsewhere goes.
        flat = self.buffers.get("scores", self.size * rows * self.groups + 1, queries)
        scores = flat[:-1].view(self.size, rows, -1)
        self._score(queries, scores)
        if excluded is not None:
            self._exclude(*excluded, flat)
        group_best = scores.amax(dim=0)  # [rows, groups]
        group = keys.largest_places(group_best, self.k)  # [rows, <=k]
        first = torch.arange(0, group_best.numel(), self.groups, device=group.device).unsqueeze(1)
        plane = torch.arange(0, scores.numel(), group_best.numel(), device=group.device)
        candidates = scores.take((group + first).unsqueeze(-1) + plane).view(rows, -1)  # by ascending item id
        chosen = keys.largest_places(candidates, self.k)
        which = chosen.div(self.size, rounding_mode="floor")
        index = group.gather(1, which) * self.size + chosen % self.size + self.start
        found = keys.encode(candidates.gather(1, chosen), index)
        return keys.largest(torch.cat([best, found], dim=1), self.k), group_best.amax()

    def _score(self, queries: Tensor, scores: Tensor) -> None:
        """Write the best score over interests and item vectors, ``[size, rows, groups]``."""
        rows, num_groups = scores.shape[1:]
        flat = queries.transpose(0, 1).reshape(-1, self.dim)  # [num_interests * rows, dim]
        products = self.buffers.get("products", self.num_pairs * rows * num_groups, queries)
        products = products.view(-1, len(flat), num_groups)
        for out, sides in zip(scores, self.planes, strict=True):
            if self.num_pairs == 1:
                torch.mm(flat, sides[0].t(), out=out)
                continue
            for product, side in zip(products, sides, strict=True):
                torch.mm(flat, side.t(), out=product)
            torch.amax(products.view(self.num_pairs, -1), dim=0, out=out.view(-1))
        if self.size * num_groups > self.num_items:  # zeros that fill up
            for offset, plane in enumerate(scores):
                plane[:, math.ceil((self.num_items - offset) / self.size) :] = -math.inf

    def _exclude(self, rowptr: Tensor, item: Tensor, flat: Tensor) -> None:
        """Set the scores of excluded items to -inf."""
        rows = len(rowptr) - 1
        local = (item - (self.start - 1)).clamp_(0, self.num_items + 1)  # the first and the last are of other blocks
        few = len(item) <= self.num_items
        number = local if few else torch.arange(self.num_items + 2, device=item.device)
        group = (number - 1).div(self.size, rounding_mode="floor")
        place = group + (number - 1 - group * self.size) * (rows * self.groups)  # in the first row
        place.masked_fill_((number == 0) | (number > self.num_items), len(flat) - 1)
        place = place if few else place.index_select(0, local)
        first = torch.arange(0, rows * self.groups, self.groups, device=item.device)
        place += first.repeat_interleave(rowptr.diff(), output_size=len(item))
        flat.index_fill_(0, place.clamp_(max=len(flat) - 1), -math.inf)
