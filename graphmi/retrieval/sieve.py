"""A block of items that rough products sieve, where a processor has them for a fraction of the time."""

import math
from functools import cached_property

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from graphmi.retrieval import keys
from graphmi.retrieval.blocks import CROWDED, Buffers, Excluded, ItemBlock
from graphmi.retrieval.interest import item_scores

__all__ = ["Sieve"]

_HALF_STEP = 2.0**-8  # the largest relative error of rounding to bfloat16
_PRODUCTS = 400  # rows times interests that make up for rounding all items
_SCORES = 4_000_000  # products that make up for more operations
_CHOICE = 400  # products for each place of a list that make up for scoring candidates again
_SAFE = 1e-10, 1e15  # lengths of vectors; far from these, squares and products are cut off
_NONE = 2**15 - 1  # above the bits of every number in bfloat16


class Sieve(ItemBlock):
    r"""As :class:`ItemBlock`, but products are bfloat16, and what may be among the best is scored again in float32.

    Rounding vectors moves a product by at most
    :math:`m = \|q\| \max_i \|e_i - \tilde e_i\| + \|q - \tilde q\| \max_i \|\tilde e_i\|`. The :math:`k`-th best rough
    score, less its own rounding and :math:`m`, is a score that :math:`k` items reach, so each of the best :math:`k` has
    a rough score of at least this less :math:`m`. Few others have, and ranking these in float32 is exact. Rows where
    many have, or where the best are not positive, are done in float32 as a whole.

    Rough scores are compared as integers, several times as fast. Positive floats order like their bits; negative ones
    stay below them, which is all that is asked of those.

    Args:
        vectors: Item vectors, ``[num_items, num_vectors * dim]`` float32.
        start: As in :class:`ItemBlock`.
        k: As in :class:`ItemBlock`.
        num_interests: As in :class:`ItemBlock`.
        dim: As in :class:`ItemBlock`.
        block_size: As in :class:`ItemBlock`.
        buffers: As in :class:`ItemBlock`.
    """

    dtype = torch.bfloat16

    def __init__(
        self, vectors: Tensor, start: int, k: int, num_interests: int, dim: int, block_size: int, buffers: Buffers
    ) -> None:
        super().__init__(vectors, start, k, num_interests, dim, block_size, buffers)
        self.vectors = vectors
        length, error = _lengths_and_errors(vectors.reshape(-1, dim))
        self.length, self.error = length.max(), error.max()
        self.shape, self.block_size = (start, k, num_interests, dim, block_size), block_size
        self.clear: list[Tensor] = []  # which rows were, of each call

    @staticmethod
    def pays(vectors: Tensor, k: int, queries: Tensor) -> bool:
        """Tell whether to expect more speed of this than of an :class:`ItemBlock`."""
        rows, num_interests, dim = queries.shape
        pairs = num_interests * (vectors.size(1) // dim)
        enough = rows * pairs >= _PRODUCTS and rows * pairs * len(vectors) >= _SCORES
        return enough and pairs * len(vectors) >= _CHOICE * k and vectors.is_cpu and _has_amx()

    @cached_property
    def exact(self) -> ItemBlock:
        """The same block in float32."""
        return ItemBlock(self.vectors, *self.shape, self.buffers)

    def tells(self) -> bool:
        """Tell whether rough products were enough for most of the rows that were merged."""
        return bool(torch.cat(self.clear).float().mean() >= 0.5)

    @torch.no_grad()
    def merge(self, best: Tensor, queries: Tensor, excluded: Excluded | None) -> tuple[Tensor, Tensor]:
        """Merge the items of this block into the best so far, as :meth:`ItemBlock.merge`.

        The highest score is that of the rows done in float32: the others have no NaN.
        """
        index, clear = self._candidates(best, queries, excluded)
        merged = keys.largest(torch.cat([best, self._keys(queries, index)], dim=1), self.k) if index.numel() else best
        self.clear.append(clear)
        rows = (~clear).nonzero().flatten()
        if not len(rows):
            return merged, queries.new_tensor(-math.inf)
        excluded = None if excluded is None else _rows_of(*excluded, ~clear)
        found, peak = self.exact.merge(best[rows], queries[rows], excluded)
        return merged.index_copy(0, rows, found), peak

    def _candidates(self, best: Tensor, queries: Tensor, excluded: Excluded | None) -> tuple[Tensor, Tensor]:
        """Find all items that may be among the best.

        Returns:
            Numbers of the items in this block, ``[rows, num]``, -1 for none; and the rows of which they are all,
            ``[rows]``; the others are listed with none.
        """
        length, error = (part.amax(dim=1) for part in _lengths_and_errors(queries))
        margin = length * self.error + error * (self.length + self.error)
        scores = self.scores(queries.bfloat16(), excluded).view(torch.int16)
        group_best = scores.amax(dim=0)
        reached = keys.decode(best.amin(dim=1))[0]
        if (reached == -math.inf).any():
            place = max(0, self.groups - self.k)
            kth = np.partition(group_best.numpy(), place, axis=1)[:, place].copy()
            rough = torch.from_numpy(kth).view(torch.bfloat16).float()
            reached = reached.maximum(rough * (1 - _HALF_STEP) - margin)
        least = reached - margin
        clear = (least > 0) & _is_safe(length) & _is_safe(self.length)
        least = (least.view(torch.int32) >> 16).to(torch.int16)
        most = max(2 * self.k, self.groups // CROWDED)
        clear &= (group_best >= least.unsqueeze(1)).sum(dim=1, dtype=torch.int32) <= most
        found = self.reaching(scores, group_best, least.masked_fill(~clear, _NONE), self.groups)
        if found is None:
            return scores.new_empty(len(best), 0, dtype=torch.int64), torch.zeros_like(clear)
        return keys.padded(found[1], found[0], len(best), -1), clear

    def _keys(self, queries: Tensor, index: Tensor) -> Tensor:
        """Return the keys of items, ``[rows, num]``, by their scores in float32."""
        item = index.clamp(min=0)
        size = max(1, self.block_size // (index.size(1) * self.vectors.size(1)))  # rows whose vectors are held at once
        parts = [slice(start, start + size) for start in range(0, len(item), size)]
        scores = torch.cat([item_scores(queries[rows], self.vectors, item[rows]).amax(dim=1) for rows in parts])
        return keys.encode(scores, item + self.start).masked_fill_(index < 0, keys.EMPTY)

    def _largest(self, products: Tensor, out: Tensor) -> None:
        torch.amax(products.view(torch.int16), dim=0, out=out.view(torch.int16))


def _lengths_and_errors(vectors: Tensor) -> tuple[Tensor, Tensor]:
    """Return the lengths of vectors, and by how much they err in products of bfloat16 that are summed in float32."""
    length = vectors.norm(dim=-1)
    error = (vectors - vectors.bfloat16()).norm(dim=-1)
    return length, error + vectors.size(-1) * torch.finfo(torch.float32).eps * length


def _is_safe(length: Tensor) -> Tensor:
    """Tell which lengths are such that products and their errors are neither cut off nor infinite."""
    return (length > _SAFE[0]) & (length < _SAFE[1])


def _rows_of(rowptr: Tensor, item: Tensor, mask: Tensor) -> Excluded:
    """Return what is excluded from some of the rows."""
    count = rowptr.diff()
    return pad(count[mask].cumsum(0), (1, 0)), item[mask.repeat_interleave(count)]


def _has_amx() -> bool:
    """Tell whether this processor has products of bfloat16 in a fraction of the time of float32."""
    if not hasattr(torch.cpu, "get_capabilities"):  # an older torch
        return False
    return bool(torch.cpu.get_capabilities().get("amx_bf16"))
