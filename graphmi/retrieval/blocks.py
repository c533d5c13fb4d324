"""A block of neighbouring items, ranked for blocks of rows."""

import math
import threading

import numpy as np
import torch
from torch import Tensor

from graphmi.retrieval import keys

__all__ = ["CROWDED", "Buffers", "Excluded", "ItemBlock", "require_excluded"]

Excluded = tuple[Tensor, Tensor]
"""Items to leave out of each row, as CSR: row pointers ``[rows + 1]`` and item ids."""


CROWDED = 4
"""Part of all groups, beyond which those of a row are not looked at one by one."""

_MANY = 4  # groups for each place of a list, likewise
_WIDE = 32  # part of all items, beyond which those of a row are not listed
_LINE = 16  # scores in a line of a processor's cache, at which rows of products begin


class Buffers(threading.local):
    """Places for the scores and products of each thread, written again and again."""

    def __init__(self) -> None:
        self.tensors: dict[tuple[str, torch.dtype], Tensor] = {}

    def get(self, name: str, size: int, like: Tensor) -> Tensor:
        """Return a vector of this size with anything in it, the same one each time where it is large enough."""
        key = name, like.dtype
        if key not in self.tensors or self.tensors[key].numel() < size:
            self.tensors[key] = like.new_empty(size)
        return self.tensors[key][:size]


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

    dtype = torch.float32  # of the products

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
        # To look at an item of the best groups costs about three times as much as to look at a group. Of later items
        # fewer groups come into question. There are at least k groups.
        size = min(math.sqrt(max(start, num_items) / (3 * k)), num_items / (2 * k))
        self.size = max(1, round(size)) if grouped else 1
        self.groups = math.ceil(num_items / (self.size * _LINE)) * _LINE if grouped else num_items
        self.buffers = buffers
        self.planes = self._planes(vectors) if grouped else vectors.view(1, num_items, -1, dim).transpose(1, 2)
        first = num_items // self.size
        item = torch.arange(first * self.size, self.groups * self.size, device=vectors.device)
        self.filling = (item >= num_items).view(-1, 1, self.size).transpose(0, 2)
        self.num_pairs = num_interests * (width // dim)
        self.num_rows = max(1, block_size // ((self.size + self.num_pairs) * self.groups))

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
        scores = self.scores(queries, excluded)
        group_best = scores.amax(dim=0)  # [rows, groups]
        found = self._above(best, scores, group_best) if best.is_cpu else None
        found = self._best(scores, group_best) if found is None else found
        return keys.largest(torch.cat([best, found], dim=1), self.k), group_best.amax()

    def scores(self, queries: Tensor, excluded: Excluded | None) -> Tensor:
        """Return the best scores over interests and item vectors, ``[size, rows, groups]``, in a buffer."""
        rows = queries.size(0)
        # One place more than there are scores, where what is excluded elsewhere goes.
        flat = self.buffers.get("scores", self.size * rows * self.groups + 1, queries)
        scores = flat[:-1].view(self.size, rows, -1)
        self._score(queries, scores)
        if excluded is not None:
            self._exclude(*excluded, flat)
        return scores

    def reaching(
        self, scores: Tensor, group_best: Tensor, least: Tensor, most: int
    ) -> tuple[Tensor, Tensor, Tensor] | None:
        """Find the items that score at least as much as asked of each row, on the CPU.

        Args:
            scores: ``[size, rows, groups]``.
            group_best: The best score of each group, ``[rows, groups]``.
            least: The lowest score, ``[rows]``.
            most: How many groups of each row are worth looking at one by one, on average.

        Returns:
            Row, number in this block and place in the scores of all these items, row by row; ``None`` where they lie in
            more groups, or where a single row has so many that a table of all rows would be large.
        """
        group = _places(group_best >= least.unsqueeze(1))
        if len(group) > most * len(least):
            return None
        row = group.div(self.groups, rounding_mode="floor")
        place = group.unsqueeze(1) + torch.arange(0, scores.numel(), group_best.numel())  # [num, size]
        chosen = _places(scores.take(place) >= least.take(row).unsqueeze(1))
        which = chosen.div(self.size, rounding_mode="floor")
        row, group = row.take(which), group.take(which)
        if torch.bincount(row, minlength=1).max() > max(_MANY * self.k, self.num_items // _WIDE):
            return None
        return row, (group - row * self.groups - which) * self.size + chosen, place.take(chosen)

    def _planes(self, vectors: Tensor) -> Tensor:
        """Return the first item of each group, the second, ...: ``[size, num_vectors, groups, dim]``, in a buffer.

        Anything fills up the last groups, so that all products have one shape and lie without gaps.
        """
        like = vectors.new_empty(0, dtype=self.dtype)
        planes = self.buffers.get("planes", self.size * self.groups * vectors.size(1), like)
        planes = planes.view(self.size, -1, self.groups, self.dim)
        groups = planes.permute(2, 0, 1, 3)  # [groups, size, num_vectors, dim]
        whole, rest = divmod(self.num_items, self.size)
        groups[:whole] = vectors[: whole * self.size].view(whole, *groups.shape[1:])
        if rest:
            groups[whole, :rest] = vectors[-rest:].view(rest, *groups.shape[2:])
        return planes

    def _above(self, best: Tensor, scores: Tensor, group_best: Tensor) -> Tensor | None:
        """Return the keys of all items that are better than the best ``k`` so far, ``[rows, most of a row]``."""
        if best.amin() == keys.EMPTY:
            return None
        least = keys.decode(best.amin(dim=1))[0]
        least = least.nextafter(least.new_tensor(math.inf))  # of equal scores the first one counts
        found = self.reaching(scores, group_best, least, min(_MANY * self.k, self.groups // CROWDED))
        if found is None:
            return None
        row, item, place = found
        return keys.padded(keys.encode(scores.take(place), item + self.start), row, len(best), keys.EMPTY)

    def _best(self, scores: Tensor, group_best: Tensor) -> Tensor:
        """Return the keys of the best ``k`` items, ``[rows, <=k]``; no size depends on a score, so nothing waits."""
        group = keys.largest_places(group_best, self.k)  # [rows, <=k]
        first = torch.arange(0, group_best.numel(), self.groups, device=group.device).unsqueeze(1)
        plane = torch.arange(0, scores.numel(), group_best.numel(), device=group.device)
        candidates = scores.take((group + first).unsqueeze(-1) + plane).flatten(1)  # by ascending item id
        chosen = keys.largest_places(candidates, self.k)
        which = chosen.div(self.size, rounding_mode="floor")
        index = group.gather(1, which) * self.size + chosen % self.size + self.start
        return keys.encode(candidates.gather(1, chosen), index)

    def _score(self, queries: Tensor, scores: Tensor) -> None:
        """Write the best score over interests and item vectors, ``[size, rows, groups]``."""
        flat = queries.transpose(0, 1).reshape(-1, self.dim)  # [num_interests * rows, dim]
        if self.num_pairs == 1:
            torch.bmm(flat.expand(self.size, -1, -1), self.planes[:, 0].transpose(1, 2), out=scores)
        else:
            products = self.buffers.get("products", self.num_pairs * scores[0].numel(), queries)
            products = products.view(-1, len(flat), self.groups)
            for out, sides in zip(scores, self.planes, strict=True):
                for product, side in zip(products, sides, strict=True):
                    torch.mm(flat, side.t(), out=product)
                self._largest(products.view(self.num_pairs, -1), out.view(-1))
        if self.filling.numel():
            scores[:, :, -self.filling.size(2) :].masked_fill_(self.filling, -math.inf)

    def _largest(self, products: Tensor, out: Tensor) -> None:
        """Write the largest product of each column."""
        torch.amax(products, dim=0, out=out)

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


def require_excluded(exclude: Excluded | None, num_rows: int, num_items: int) -> None:
    """Check that there are row pointers for the rows and, on the CPU, that what is left out are items.

    Raises:
        ValueError: If not.
    """
    if exclude is None:
        return
    rowptr, item = exclude
    if rowptr.numel() != num_rows + 1:
        raise ValueError(
            f"'exclude' must have {num_rows + 1} row pointers, one more than the batch has rows (got {rowptr.numel()})"
        )
    if item.is_cpu and item.numel():  # a GPU would have to be waited for
        low, high = map(int, torch.aminmax(item))
        if low < 0 or high >= num_items:
            raise ValueError(f"'exclude' must name items in [0, {num_items}) (got {low} to {high})")


def _places(mask: Tensor) -> Tensor:
    """Return where a mask on the CPU is true, by flat index: numpy takes a quarter of torch's time."""
    return torch.from_numpy(np.flatnonzero(mask.numpy()))
