"""Exponentials that cost little on a CPU."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["LOG2_E", "exp2_"]

LOG2_E = math.log2(math.e)
"""What powers of e have as exponent of 2."""


def exp2_(x: Tensor) -> Tensor:
    """Return ``x.exp2_()`` for values up to 0, with 0 where it would be below four times the smallest normal number.

    What is above 0 by rounding may be as large as what was rounded: on a CPU it counts as 64 from there on.

    On a CPU a power is several times as slow on the way to 0 as elsewhere, and so are products with what comes out just
    above it; two passes over what is in the cache are cheaper. Powers of 2, since torch takes those of e from MKL,
    which needs two and a half times as long on processors that are not Intel's.
    """
    if x.device.type != "cpu":
        return x.exp2_()
    tiny = torch.finfo(x.dtype).tiny
    return F.threshold(x.clamp_(math.log2(tiny) + 1, 64).exp2_(), 4 * tiny, 0.0, inplace=True)
