"""Randomness without global seeds: named, independent streams derived from one seed."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from numpy.random import SeedSequence
from torch import Tensor

__all__ = ["check_seed", "generator", "load_rng_state", "rng_state", "seeded"]


def check_seed(seed: int) -> None:
    """Check that all generators take a seed.

    Raises:
        ValueError: If it is not in ``[-2**63, 2**63)``.
    """
    if not -(2**63) <= seed < 2**63:
        raise ValueError(f"'seed' must be below 2**63 and fit into 64 bits (got {seed})")


def _stream_seed(seed: int, name: str) -> int:
    if seed < 0:
        raise ValueError(f"'seed' must be at least 0 (got {seed})")
    check_seed(seed)
    return int(SeedSequence([seed, *name.encode()]).generate_state(1)[0])


def generator(seed: int, name: str, device: torch.device | str = "cpu") -> torch.Generator:
    """Return a generator for one purpose, independent of the generators of other names.

    Args:
        seed: The seed of the run, in ``[0, 2**63)``.
        name: The purpose, such as ``"loader"`` or ``"sampler"``.
        device: Where the random numbers are drawn.

    Raises:
        ValueError: If ``seed`` is out of its range.
    """
    return torch.Generator(device).manual_seed(_stream_seed(seed, name))


@contextmanager
def seeded(seed: int, name: str, device: torch.device | str = "cpu") -> Iterator[None]:
    """Seed what has no generator argument (parameter initialisation, dropout), and put torch's state back after.

    Args:
        seed: The seed of the run, in ``[0, 2**63)``.
        name: The purpose, as in :func:`generator`.
        device: The device whose state is set besides the CPU's.

    Raises:
        ValueError: If ``seed`` is out of its range.
    """
    stream = _stream_seed(seed, name)
    device = torch.device(device)
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.default_generator.manual_seed(stream)
        if device.type == "cuda":
            torch.cuda.default_generators[device.index or 0].manual_seed(stream)
        yield


def rng_state(device: torch.device) -> dict[str, Tensor]:
    """Return the state of torch's own generators, of the CPU and of ``device``."""
    state = {"cpu": torch.get_rng_state()}
    return {**state, "cuda": torch.cuda.get_rng_state(device)} if device.type == "cuda" else state


def load_rng_state(state: dict[str, Tensor], device: torch.device) -> None:
    """Put back what :func:`rng_state` returned; a state of a device that is not used here is left out."""
    torch.set_rng_state(state["cpu"])
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"], device)
