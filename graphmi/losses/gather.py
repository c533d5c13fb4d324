"""Item vectors by id."""

import torch.nn.functional as F
from torch import Tensor

from graphmi.typing import ItemTable

__all__ = ["gather"]


def gather(items: Tensor | ItemTable, index: Tensor) -> Tensor:
    """Return the vectors of these items, ``[..., dim]`` for ids of shape ``[...]``."""
    return F.embedding(index, items) if isinstance(items, Tensor) else items[index]
