"""Negatives for the batches of a loader, those of small batches drawn for several at once."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache, partial
from itertools import islice

import torch
from torch import nn

from graphmi.typing import Batch, Negatives

__all__ = ["with_negatives"]


def with_negatives(
    batches: Iterable[Batch], sampler: nn.Module, generator: torch.Generator, device: torch.device
) -> Iterator[tuple[Batch, Callable[[], Negatives]]]:
    """Go through batches with what gives the negatives of each.

    A draw is many small operations, however few the users. Where each has negatives of its own, the first of several
    batches draws for all of them: for up to :attr:`~graphmi.samplers.Sampler.rows_together` users, if each has one
    positive.

    Args:
        batches: Those of a loader.
        sampler: ``forward(user, positive, generator) -> Negatives``.
        generator: The source of randomness.
        device: Where the sampler is.
    """
    rest = iter(batches)
    for first in rest:
        pairs = isinstance(first, Batch) and first.positive is not None and first.positive.shape == first.user.shape
        several = getattr(sampler, "rows_together", 0) // max(len(first.user), 1) if pairs else 1
        group = [first, *islice(rest, max(several - 1, 0))]
        drawn = cache(partial(_draw, group, sampler, generator, device))
        for place, batch in enumerate(group):
            yield batch, lambda drawn=drawn, place=place: drawn()[place]  # type: ignore[misc]


def _draw(
    group: Sequence[Batch], sampler: nn.Module, generator: torch.Generator, device: torch.device
) -> list[Negatives]:
    user, positive = (
        torch.cat(ids).to(device, non_blocking=True)
        for ids in zip(*((batch.user, batch.positive) for batch in group), strict=True)
    )
    drawn: Negatives = sampler(user, positive, generator)
    return drawn.split([len(batch.user) for batch in group]) if len(group) > 1 else [drawn]
