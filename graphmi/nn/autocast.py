"""Number formats under autocast, for functions with a backward of their own."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

__all__ = ["add_product", "autocast_dtype", "widened", "without_autocast"]


def autocast_dtype(like: Tensor) -> torch.dtype | None:
    """Return the format in which autocast would take a product of this tensor; ``None`` where it leaves it alone."""
    device = like.device.type
    if not (_has_autocast(device) and torch.is_autocast_enabled(device)):
        return None
    return None if like.dtype == torch.float64 else torch.get_autocast_dtype(device)


def without_autocast(like: Tensor) -> AbstractContextManager[object]:
    """Return a context in which products of such tensors are taken as they are."""
    device = like.device.type
    return torch.autocast(device, enabled=False) if _has_autocast(device) else nullcontext()


def _has_autocast(device: str) -> bool:
    # Older compilers cannot look into what tells, and compile for devices that have it alone.
    return device != "meta" and (torch.compiler.is_compiling() or torch.amp.is_autocast_available(device))


def widened(x: Tensor) -> Tensor:
    """Return half precision as float32, which sums of many terms and exponentials need; all else as it is."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def add_product(total: Tensor, left: Tensor, right: Tensor) -> None:
    """Add ``left @ right`` to a total that may be wider than the product."""
    if total.dtype == left.dtype:
        total.addmm_(left, right)
    else:
        total.add_(left @ right)
