"""Draws by weight at the cost of one look, whatever the number of items."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from graphmi.samplers.base import on_cpu, pick

__all__ = ["alias_table", "at_places", "items_at"]


def alias_table(width: Tensor) -> tuple[Tensor, Tensor]:
    """Return for each column the height up to which it belongs to its own item, and the item that owns the rest.

    As many columns as items, each as high as the total of the widths, have room for every item in proportion to its
    width: what a light item leaves of its column belongs to a heavy one. A uniform column and a uniform height below
    the total then give an item with the probability ``width / total``, exactly
    (`Walker, 1977 <https://doi.org/10.1145/355744.355749>`_). Here all heavy items are shared out at once: what the
    light columns miss and what the heavy items have to spare, both summed up in order, say which heavy item fills which
    column, and how high it comes in its own before the next one fills that.

    Args:
        width: ``[num_items]`` int64, at least 0, not all 0; their total times ``num_items`` is below ``2**63``.

    Returns:
        The heights and the other items, both ``[num_items]`` int64.
    """
    total, height = width.sum(), width * len(width)
    heavy = (height > total).nonzero().squeeze(1)
    light = (height <= total).nonzero().squeeze(1)
    other = torch.arange(len(width))
    if len(heavy):
        missing, spare = (total - height[light]).cumsum(0), (height[heavy] - total).cumsum(0)
        before = missing - (total - height[light])
        other[light] = heavy[torch.searchsorted(spare, before, right=True).clamp_max(len(heavy) - 1)]
        height[heavy] = total - (missing[torch.searchsorted(missing, spare)] - spare)
        other[heavy[:-1]] = heavy[1:]
    return height, other


def at_places(place: Tensor, height: Tensor, other: Tensor) -> Tensor:
    """Return the items at places in the columns: the whole part says which column, the rest how high in it.

    Args:
        place: From 0 to before ``num_items``, float64, of any shape; overwritten.
        height: Of each column up to where it belongs to its own item, as a share, ``[num_items]`` float64.
        other: The item that owns the rest of each column, ``[num_items]`` int64.

    Returns:
        Items, int64, of the shape of ``place``.
    """
    if not on_cpu(place):
        item = place.long()
        return torch.where(place - item < pick(height, item), item, pick(other, item))
    items = items_at(place.numpy().ravel(), height.numpy(), other.numpy())
    return torch.from_numpy(items).view(place.shape)


def items_at(place: NDArray[np.float64], height: NDArray[np.float64], other: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return what :func:`at_places` does, for vectors, by numpy: it takes less time. ``place`` is overwritten."""
    items = place.astype(np.int64)
    place -= items
    above = (place >= height.take(items)).nonzero()[0]
    items[above] = other.take(items[above])
    return items
