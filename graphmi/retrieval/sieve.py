"""A block of items that rough products sieve, where a processor has them for a fraction of the time."""

import math
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from graphmi.retrieval import keys
from graphmi.retrieval.blocks import Buffers, Excluded, ItemBlock
from graphmi.retrieval.interest import item_scores

__all__ = ["Sieve"]

_HALF_STEP = 2.0**-8  # the largest relative error of rounding to bfloat16
_PRODUCTS = 400  # rows times interests that make up for rounding all items
_SAFE = 1e-20, 1e30  # of the largest score that there can be; far from these, products are cut off


class Sieve(ItemBlock):
    r"""As :class:`ItemBlock`, but products are bfloat16, and what may be among the best is scored again in float32.

    Rounding vectors moves a product by at most
    :math:`m = \|q\| \max_i \|e_i - \tilde e_i\| + \|q - \tilde q\| \max_i \|\tilde e_i\|`. The :math:`k`-th best rough
    score, less its own rounding and :math:`m`, is a score that :math:`k` items reach, so each of the best :math:`k` has
    a rough score of at least this less :math:`m`. Few others have, and ranking these in float32 is exact. Where many
    have, or where the best are not positive, all is done in float32.

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
        length, error = _lengths_and_errors(vectors.view(-1, dim))
        self.length, self.error = length.max(), error.max()
        self.shape = start, k, num_interests, dim, block_size

    @staticmethod
    def pays(vectors: Tensor, k: int, queries: Tensor) -> bool:
        """Tell whether to expect more speed of this than of an :class:`ItemBlock`."""
        rows, num_interests, dim = queries.shape
        pairs = num_interests * (vectors.size(1) // dim)
        return pairs > 1 and rows * pairs >= _PRODUCTS and len(vectors) >= 100 * k and vectors.is_cpu and _has_amx()

    @cached_property
    def exact(self) -> ItemBlock:
        """The same block in float32."""
        return ItemBlock(self.vectors, *self.shape, self.buffers)

    def merge(self, best: Tensor, queries: Tensor, excluded: Excluded | None) -> tuple[Tensor, Tensor]:
        """Merge the items of this block into the best so far, as :meth:`ItemBlock.merge`."""
        index = self._candidates(best, queries, excluded)
        if index is None:
            return self.exact.merge(best, queries, excluded)
        if not index.numel():
            return best, queries.new_tensor(-math.inf)
        scores = item_scores(queries, self.vectors, index.clamp(min=0)).amax(dim=1).masked_fill_(index < 0, -math.inf)
        found = keys.encode(scores, index + self.start)
        return keys.largest(torch.cat([best, found], dim=1), self.k), scores.amax()

    @torch.no_grad()
    def _candidates(self, best: Tensor, queries: Tensor, excluded: Excluded | None) -> Tensor | None:
        """Return all items that may be among the best, ``[rows, num]``, -1 for none; ``None`` if that is not clear."""
        length, error = (part.amax(dim=1) for part in _lengths_and_errors(queries))
        margin = length * self.error + error * (self.length + self.error)
        if not _SAFE[0] < float(length.max() * self.length) < _SAFE[1]:
            return None
        scores = self.scores(queries.bfloat16(), excluded).view(torch.int16)
        group_best = scores.amax(dim=0)
        if best.amin() > keys.EMPTY:
            least = keys.decode(best.amin(dim=1))[0]
        else:
            reached = np.partition(group_best.numpy(), self.groups - self.k, axis=1)[:, self.groups - self.k]
            least = torch.from_numpy(reached.copy()).view(torch.bfloat16) * (1 - _HALF_STEP) - margin
        least -= margin
        if not (least > 0).all():
            return None
        found = self.reaching(scores, group_best, (least.view(torch.int32) >> 16).to(torch.int16))
        return None if found is None else keys.padded(found[1], found[0], len(best), -1)

    def _largest(self, products: Tensor, out: Tensor) -> None:
        torch.amax(products.view(torch.int16), dim=0, out=out.view(torch.int16))


def _lengths_and_errors(vectors: Tensor) -> tuple[Tensor, Tensor]:
    """Return the lengths of vectors, and by how much they err in products of bfloat16 that are summed in float32."""
    length = vectors.norm(dim=-1)
    error = (vectors - vectors.bfloat16()).norm(dim=-1)
    return length, error + vectors.size(-1) * torch.finfo(torch.float32).eps * length


def _has_amx() -> bool:
    """Tell whether this processor has products of bfloat16 in a fraction of the time of float32."""
    if not hasattr(torch.cpu, "get_capabilities"):  # an older torch
        return False
    return bool(torch.cpu.get_capabilities().get("amx_bf16"))
