"""Draws from fixed item weights, exactly and in one go, leaving out what each user knows."""

import math
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor, nn
from torch_geometric.data import HeteroData

from graphmi.ranges import at_least
from graphmi.samplers.alias import alias_table, at_places
from graphmi.samplers.base import Precise, Sampler, on_cpu, one_positive_each, pick
from graphmi.samplers.known_items import KnownItems
from graphmi.samplers.numbers import are_many, fractions, integers
from graphmi.samplers.tickets import Tickets
from graphmi.typing import Negatives

__all__ = ["Proposal"]

_RANGE = 2**62  # of the random integers; the remainder of a division by at most 2**40 is uniform to 2**-22
_MAX_TOTAL = 2**40
_SPARE = 2048  # draws at least to choose from where known items are drawn again
_AGAIN = 1024  # of them at once where known items are few, several for each
_TRIES = 16  # so many at most
_TOGETHER = 16_384  # negatives that are drawn at once, of several batches


class Proposal(Precise):
    r"""Draws items with probability proportional to their weights.

    Weights are integers, so that sums are exact. Where everything may be drawn, an alias table has it by one look, and
    where many are drawn on the CPU so do :class:`~graphmi.samplers.tickets.Tickets`.

    To leave out the items that a user knows, lay the others side by side, each as wide as its weight: a uniform integer
    below their total falls on an item with the right probability. To find the item, skip the known ones before it:
    known item :math:`m` lies before :math:`r` if the unknown width in front of :math:`m`, which grows with :math:`m`,
    is at most :math:`r`. One binary search over all users' known items counts them. On the CPU, where a
    table of known items has room, items are drawn from all, and again where they are known; only what this hardly ever
    finds is searched. The probabilities among unknown items are the same.

    Args:
        graph: The training graph.
        weight: Relative probabilities, ``[num_items]``, at least 0, float64; ``None`` for uniform.
        num_negatives: How many items are drawn, for the batch or for each user.
        shared: Draw once for the batch, and mark as invalid what a user knows.
        reject_known: Leave out what each user knows.

    Raises:
        ValueError: There is nothing to draw, or ``num_negatives`` is not positive.
    """

    cdf: Tensor
    height: Tensor
    other: Tensor
    log_weight: Tensor
    free: Tensor
    log_free: Tensor
    skip_key: Tensor
    skip_width: Tensor

    def __init__(
        self,
        graph: HeteroData,
        weight: Tensor | None = None,
        *,
        num_negatives: int,
        shared: bool,
        reject_known: bool,
    ) -> None:
        super().__init__()
        at_least(1, num_negatives=num_negatives)
        self.num_negatives, self.shared, self.reject_known = num_negatives, shared, reject_known
        self.rows_together = 0 if shared else _TOGETHER // num_negatives
        self.known = KnownItems(graph) if reject_known else None
        self.num_users, self.num_items = int(graph["user"].num_nodes), int(graph["item"].num_nodes)
        self.uniform = weight is None
        width = torch.ones(self.num_items, dtype=torch.int64) if weight is None else self._quantise(weight)
        self.total = int(width.sum())
        if self.total == 0:
            raise ValueError("no item can be drawn as a negative: the training graph has no interactions")
        self.log_total = math.log(self.total)
        self.tickets = Tickets(width)
        self.register_buffer("cdf", width.cumsum(0), persistent=False)
        if not self.uniform:
            height, other = alias_table(width)
            self.register_buffer("height", height.double() / self.total, persistent=False)
            self.register_buffer("other", other, persistent=False)
        self.register_buffer("log_weight", width.clamp_min(1).double().log().float(), persistent=False)
        self._register_skips(width)

    def _quantise(self, weight: Tensor) -> Tensor:
        largest = min(_MAX_TOTAL, _RANGE // max(self.num_users, self.num_items, 1))
        total = largest - self.num_items  # room for rounding up
        share = weight / weight.sum().clamp_min(torch.finfo(weight.dtype).tiny)
        return (share * total).ceil().long()

    def _register_skips(self, width: Tensor) -> None:
        if self.known is None or self.shared:
            self.saturated = False
            return
        user, item, rowptr = self.known.user, self.known.item, self.known.rowptr
        passed = nn.functional.pad(width[item].cumsum(0), (1, 0))  # known width before each pair, over all users
        before = (width.cumsum(0) - width)[item] - (passed[:-1] - passed[rowptr[user]])  # unknown width before it
        free = self.total - (passed[rowptr[1:]] - passed[rowptr[:-1]])
        self.saturated = bool((free == 0).any())
        self.register_buffer("skip_width", passed, persistent=False)
        self.register_buffer("skip_key", user * (self.total + 1) + before, persistent=False)
        self.register_buffer("free", free, persistent=False)
        log_free = torch.where(free > 0, free, self.total).double().log().float()
        self.register_buffer("log_free", log_free, persistent=False)

    def draw(self, user: Tensor, generator: Generator | None = None) -> tuple[Tensor, Tensor | None]:
        """Return items, ``[num_negatives]`` or ``[batch, num_negatives]``, and which are valid (``None``: all)."""
        if self.shared or self.known is None:
            shape = (self.num_negatives,) if self.shared else (user.numel(), self.num_negatives)
            item = self._any(shape, user.device, generator)
            return item, None if self.known is None else ~self.known.contains(user, item)
        if self.known.bits is not None and on_cpu(user):
            item = self._rejecting(user, generator)
        else:
            item = self._unknown(user.unsqueeze(-1).expand(-1, self.num_negatives), generator)
        return item, (pick(self.free, user) > 0).unsqueeze(-1).expand_as(item) if self.saturated else None

    def corrected(self, sampler: Sampler, user: Tensor, positive: Tensor, generator: Generator | None) -> Negatives:
        """Return what :meth:`draw` does with the log probabilities of a sampler, of one positive per user too."""
        one_positive_each(user, positive)
        item, valid = self.draw(user, generator)
        pos_log_q = sampler.log_prob(user, positive.unsqueeze(-1)).squeeze(-1)
        return Negatives(item, sampler.log_prob(user, item), pos_log_q, valid, excludes_known=self.reject_known)

    def _any(self, shape: tuple[int, ...], device: torch.device, generator: Generator | None) -> Tensor:
        """Return items drawn by their weights."""
        if self.tickets.pays and are_many(shape, device):
            return torch.from_numpy(self.tickets.draws(generator)(math.prod(shape))).view(shape)
        if self.uniform:
            return integers(self.num_items, shape, device, generator)
        return at_places(fractions(shape, device, generator).mul_(self.num_items), self.height, self.other)

    def _rejecting(self, user: Tensor, generator: Generator | None) -> Tensor:
        """Return ``[batch, num_negatives]`` items, on the CPU: from all, then again where the user knows them."""
        assert self.known is not None  # noqa: S101 (for the type checker)
        num, left = self.num_negatives, user.numel() * self.num_negatives
        draw = self._draws(left, generator)
        start, known = self.known.among(user.numpy(), num)
        start, drawn = start.repeat(num), draw(left + max(_SPARE, left // 4))
        item, spare = drawn[:left], drawn[left:]
        place = known(start + item).nonzero()[0]
        start = start.take(place)
        while 0 < len(place) <= left * 7 // 8:  # as long as drawing again helps
            left, tries = len(place), min(max(1, _AGAIN // len(place)), _TRIES)
            if left * tries > len(spare):
                spare = draw(max(left * tries, _SPARE))
            other, spare = spare[: left * tries].reshape(tries, left), spare[left * tries :]
            again = known(start + other)
            item[place] = other[again.argmin(0), np.arange(left)] if tries > 1 else other[0]
            still = np.flatnonzero(again.all(0))
            place, start = place.take(still), start.take(still)
        found = torch.from_numpy(item)
        if len(place):
            found[place] = self._unknown(user[place // num], generator)
        return found.view(-1, num)

    def _draws(self, num: int, generator: Generator | None) -> Callable[[int], NDArray[np.int64]]:
        """Return what draws items by their weights on the CPU, for somebody who needs ``num`` and some more."""
        cpu = torch.device("cpu")
        if self.tickets.pays and are_many((num,), cpu):
            return self.tickets.draws(generator)
        return lambda num: self._any((num,), cpu, generator).numpy()

    def _unknown(self, user: Tensor, generator: Generator | None) -> Tensor:
        """Return an item for each user, of the shape of ``user``, drawn by their weights from what it does not know."""
        assert self.known is not None  # noqa: S101 (for the type checker)
        free = pick(self.free, user)
        rank = torch.randint(_RANGE, user.shape, device=user.device, generator=generator) % free.clamp_min(1)
        passed = torch.searchsorted(self.skip_key, user * (self.total + 1) + rank, right=True)
        position = rank + pick(self.skip_width, passed) - pick(self.skip_width, pick(self.known.rowptr, user))
        item = position if self.uniform else torch.searchsorted(self.cdf, position, right=True)
        return item.clamp_max(self.num_items - 1)  # a user who knows all items draws an invalid last one

    def log_prob(self, user: Tensor, item: Tensor) -> Tensor:
        """Return the log probability of each item, of the shape of ``item``."""
        if self.shared or self.known is None:
            return pick(self.log_weight, item) - self.log_total
        return pick(self.log_weight, item) - pick(self.log_free, user).unsqueeze(-1)
