"""Histories packed into their real positions, without what pads them."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from graphmi.nn.operators import spmm

__all__ = ["at_real_positions", "padded", "pays", "pooled", "real_positions", "require_real_first"]


def pays(x: Tensor) -> bool:
    """Return whether to pack histories before anything is computed of them.

    On the CPU padding is most of the work where a few long histories pad many short ones. A GPU would have to be waited
    for, and a compiled graph cannot know, how many positions are real.
    """
    return x.device.type == "cpu" and not torch.compiler.is_compiling()


def real_positions(mask: Tensor) -> Tensor:
    """Return where the real positions are among all, ``[num_real]`` int64."""
    return mask.flatten().nonzero().squeeze(1)


def require_real_first(mask: Tensor) -> None:
    """Check that padding follows the real positions; where padding is not skipped a GPU would have to be waited for.

    Args:
        mask: ``[..., length]`` bool, True where the history is real.

    Raises:
        ValueError: If a history is real after padding, on the CPU.
    """
    if not pays(mask):
        return
    real = mask.numpy()  # which takes a third of torch's time, or less
    if (real[..., 1:] > real[..., :-1]).any():
        raise ValueError(
            "padding must follow the real positions of a history, and 'mask' has a row that is True after False: move "
            "its items to the front"
        )


def padded(x: Tensor, mask: Tensor) -> Tensor:
    """Return what stands at the real positions, ``[num_real, dim]``, as histories, ``[batch, length, dim]``."""
    empty = x.new_zeros(mask.numel(), x.size(-1))
    return empty.index_copy_(0, real_positions(mask), x).view(*mask.shape, x.size(-1))


def at_real_positions(network: Callable[[Tensor, Tensor], Tensor], x: Tensor, mask: Tensor) -> Tensor:
    """Apply a network that sees one position at a time to histories, ``[batch, length, out]``; 0 at padding.

    Args:
        network: From ``[..., dim]`` and the place of each in its history, which broadcasts to ``[...]``, to
            ``[..., out]``.
        x: ``[batch, length, dim]``, or ids ``[batch, length]`` for a network that reads ids.
        mask: ``[batch, length]`` bool, True where the history is real.
    """
    length = mask.size(1)
    if not pays(x):
        return network(x, torch.arange(length, device=x.device)).masked_fill(~mask.unsqueeze(-1), 0.0)
    place = real_positions(mask)
    return padded(network(x.flatten(0, 1).index_select(0, place), place % length), mask)


def pooled(weight: Tensor, x: Tensor, mask: Tensor) -> Tensor:
    """Return the weighted sums over the real positions of each history, ``[batch, num_interests, dim]``.

    Equals a product over padded histories, without reading and writing the padding: a sparse product whose matrix
    holds, interest by interest, the weight of each position in the row of its history.

    Args:
        weight: ``[num_interests, num_real]``.
        x: ``[num_real, dim]``.
        mask: ``[batch, length]``.
    """
    num_interests, num_real = weight.shape
    num, length = mask.shape
    row = real_positions(mask).div(length, rounding_mode="floor").unsqueeze(1)
    transposed = row + num * torch.arange(num_interests, device=row.device)  # [num_real, num_interests]
    out: Tensor = spmm(
        F.pad(mask.sum(1).repeat(num_interests).cumsum(0), (1, 0)).int(),
        torch.arange(num_real, dtype=torch.int32, device=row.device).repeat(num_interests),
        weight.flatten(),
        torch.arange(num_real + 1, dtype=torch.int32, device=row.device) * num_interests,
        transposed.int().flatten(),
        weight.T.flatten(),
        x,
    )
    return out.view(num_interests, num, x.size(1)).transpose(0, 1)
