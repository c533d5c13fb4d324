"""Number formats under autocast, for functions with a backward of their own."""

import torch
from torch import Tensor

__all__ = ["add_product", "autocast_dtype", "widened"]


def autocast_dtype(like: Tensor) -> torch.dtype | None:
    """Return the format in which autocast would take a product of this tensor; ``None`` where it leaves it alone."""
    device = like.device.type
    if not torch.is_autocast_enabled(device) or like.dtype == torch.float64:
        return None
    return torch.get_autocast_dtype(device)


def widened(x: Tensor) -> Tensor:
    """Return half precision as float32, which sums of many terms and exponentials need; all else as it is."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def add_product(total: Tensor, left: Tensor, right: Tensor) -> None:
    """Add ``left @ right`` to a total that may be wider than the product."""
    if total.dtype == left.dtype:
        total.addmm_(left, right)
    else:
        total.add_(left @ right)
