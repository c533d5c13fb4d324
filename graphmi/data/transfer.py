"""From the CPU to a device without waiting for it."""

import torch
from torch import Tensor

__all__ = ["to_device"]


def to_device(x: Tensor, device: torch.device | str) -> Tensor:
    """Return a tensor on a device; a copy from the CPU is queued, not waited for.

    A plain copy would wait until a GPU has done all that it was given before, in every training step.

    Args:
        x: What is copied.
        device: Where to.
    """
    if torch.device(device).type == "cuda" and x.device.type == "cpu":
        x = x.pin_memory()  # else the driver may wait
    return x.to(device, non_blocking=True)
