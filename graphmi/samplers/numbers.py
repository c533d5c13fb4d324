"""Uniform random numbers, many at a time."""

import math

import numpy as np
import torch
from torch import Generator, Tensor

__all__ = ["are_many", "fractions", "integers", "numpy_source"]

_MANY = 16_384


def are_many(shape: tuple[int, ...], device: torch.device) -> bool:
    """Tell whether numpy draws numbers of this shape: it is faster with many of them on the CPU."""
    return device.type == "cpu" and math.prod(shape) >= _MANY


def integers(high: int, shape: tuple[int, ...], device: torch.device, generator: Generator | None) -> Tensor:
    """Return integers from 0 up to before ``high``, int64.

    Many of them on the CPU come from numpy, which is faster, seeded by one number of the generator.

    Args:
        high: At least 1.
        shape: Of the result.
        device: Where they lie; the generator's.
        generator: The source of randomness.
    """
    if not are_many(shape, device):
        return torch.randint(high, shape, device=device, generator=generator)
    small = high <= 2**16  # of which numpy draws four from 64 bits
    drawn = numpy_source(generator).integers(high, size=shape, dtype=np.uint16 if small else np.int64)
    return torch.from_numpy(drawn.astype(np.int64, copy=False))


def fractions(shape: tuple[int, ...], device: torch.device, generator: Generator | None) -> Tensor:
    """Return multiples of ``2**-53`` from 0 up to before 1, float64, from the same sources as :func:`integers`."""
    if not are_many(shape, device):
        return torch.rand(shape, dtype=torch.float64, device=device, generator=generator)
    return torch.from_numpy(numpy_source(generator).random(shape))


def numpy_source(generator: Generator | None) -> np.random.Generator:
    """Return a generator of numpy, seeded by one number of torch's."""
    return np.random.Generator(np.random.SFC64(int(torch.randint(2**63 - 1, (1,), generator=generator).item())))
