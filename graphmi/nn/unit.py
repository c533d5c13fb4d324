"""Vectors of length one."""

import torch
from torch import Tensor

__all__ = ["unit"]

_LEAST = 1e-12


def unit(x: Tensor) -> Tensor:
    """Return vectors ``[..., dim]`` at length one; 0 with gradient 0 where they are no longer than 1e-12.

    With :func:`torch.nn.functional.normalize` a vector of zeros has a gradient of 1e12 times what comes in.
    """
    length: Tensor = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    return x / length.masked_fill(length <= _LEAST, torch.inf)
