"""Networks that see one position at a time, on the real positions alone."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["at_real_positions"]

_FILL = 256  # sizes are multiples of this in half precision


def at_real_positions(network: Callable[[Tensor, Tensor], Tensor], x: Tensor, mask: Tensor) -> Tensor:
    """Apply a network to every real position of histories, ``[batch, length, out]``; 0 at padding.

    On the CPU padding costs nothing, which is most of the work where a few long histories pad many short ones. A GPU
    would have to be waited for, and a compiled graph cannot know, how many positions are real: all are computed there.

    Args:
        network: From ``[..., dim]`` and the place of each in its history, which broadcasts to ``[...]``, to
            ``[..., out]``.
        x: ``[batch, length, dim]``, or ids ``[batch, length]`` for a network that reads ids.
        mask: ``[batch, length]`` bool, True where the history is real.
    """
    length = mask.size(1)
    if x.device.type != "cpu" or torch.compiler.is_compiling():
        return network(x, torch.arange(length, device=x.device)).masked_fill(~mask.unsqueeze(-1), 0.0)
    index = mask.flatten().nonzero().squeeze(1)
    # A CPU compiles products of half precision for each new size: sizes that recur are worth some more positions.
    fill = -len(index) % _FILL if torch.is_autocast_enabled("cpu") else 0
    place = F.pad(index, (0, fill))
    out = network(x.flatten(0, 1).index_select(0, place), place % length)[: len(index)]
    return out.new_zeros(mask.numel(), out.size(-1)).index_copy(0, index, out).view(*mask.shape, out.size(-1))
