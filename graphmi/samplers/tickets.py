"""Many items drawn by weight, from 16 random bits each."""

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

from graphmi.samplers.alias import alias_table, items_at
from graphmi.samplers.numbers import numpy_source

__all__ = ["Tickets"]

_NUM = 2**16
_MOST = 62  # bits of the numbers that an alias table is made of


class Tickets:
    """Draws items on the CPU by one look into 65,536 tickets, of which one is as likely as another.

    An item has as many tickets as its share of them has whole ones. Who comes upon one of the others draws again: from
    all items where all are alike, else by an alias table of what the shares have beside whole tickets. So probabilities
    are right to one part in ``2**30``. After `Marsaglia, Tsang and Wang, 2004 <https://doi.org/10.18637/jss.v011.i03>`_,
    who look up one table after another.

    Args:
        width: Relative probabilities, ``[num_items]`` int64, at least 0, not all 0; their total is at most ``2**40``.

    Attributes:
        pays: Whether few draw again, so that this is the fastest way.
    """

    def __init__(self, width: Tensor) -> None:
        self.num_items, self.pays = len(width), False
        self.each: np.uint16 | None = None  # tickets of every item, where all have as many
        if 1 < self.num_items < _NUM:
            total = int(width.sum())
            self._share_out(width * _NUM // total, width * _NUM % total)

    def _share_out(self, whole: Tensor, rest: Tensor) -> None:
        """Make the tables of whole tickets and of what the shares have beside them."""
        self.pays = _NUM - int(whole.sum()) <= _NUM // 8
        if bool((whole == whole[0]).all() and (rest == rest[0]).all()):
            self.each = np.uint16(whole[0])
        elif self.pays:
            self.owner = np.full(_NUM, self.num_items, dtype=np.uint16)
            self.owner[: int(whole.sum())] = torch.arange(self.num_items).repeat_interleave(whole).numpy()
            rest >>= max(0, (int(rest.sum()) * self.num_items).bit_length() - _MOST)
            height, other = alias_table(rest)
            self.height, self.other = (height.double() / rest.sum()).numpy(), other.numpy()

    def draws(self, generator: Generator | None) -> Callable[[int], NDArray[np.int64]]:
        """Return a function that draws as many items as it is told, seeded by one number of the generator."""
        return partial(self._draw, numpy_source(generator))

    def _draw(self, source: np.random.Generator, num: int) -> NDArray[np.int64]:
        ticket = source.bit_generator.random_raw(-(-num // 4)).view(np.uint16)[:num]
        owner = self.owner.take(ticket) if self.each is None else ticket // self.each
        item = owner.astype(np.int64)
        again = (owner >= self.num_items).nonzero()[0]
        if self.each is None:
            item[again] = items_at(source.random(len(again)) * self.num_items, self.height, self.other)
        else:
            item[again] = source.integers(self.num_items, size=len(again))
        return item
