"""Attention over every prefix of a history in one pass."""

from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["PrefixAttention", "prefix_attention"]


class PrefixAttention(NamedTuple):
    """What attention finds in each prefix.

    Attributes:
        mean: ``[batch, length, num_interests, dim]``, the values weighted over the first ``t + 1`` positions.
        variance: ``[batch, length, num_interests]``, the squared deviations of these weights from their mean, summed.
    """

    mean: Tensor
    variance: Tensor


def prefix_attention(logits: Tensor, values: Tensor) -> PrefixAttention:
    r"""Return the softmax attention over the first ``t + 1`` positions, for all ``t``.

    .. math::
        V_k(t) = \sum_{s \le t} A_{ks}(t)\, h_s, \quad A_{ks}(t) = \frac{e^{l_{ks}}}{\sum_{s' \le t} e^{l_{ks'}}},
        \quad \sum_{s \le t} \Bigl(A_{ks}(t) - \frac{1}{t + 1}\Bigr)^2 = \sum_{s \le t} A_{ks}(t)^2 - \frac{1}{t + 1}

    Each prefix has a maximum of its own, so logits of any finite size are safe. A prefix does not see what comes
    later, so padding, which comes last, needs no mask.

    Args:
        logits: ``[batch, num_interests, length]``; or ``[batch, length, num_interests, length]`` where each prefix, in
            the second dimension, has logits of its own.
        values: ``[batch, length, dim]``.
    """
    batch, length, num_interests = values.size(0), values.size(1), logits.size(-2)
    later = logits.new_full((length, length), -torch.inf).triu(1)
    # Prefixes before interests: one product per history then serves all of both.
    every = logits.unsqueeze(1) if logits.dim() == 3 else logits
    weights = (every + later.unsqueeze(1)).softmax(-1)  # [batch, prefix, num_interests, length]
    mean = (weights.flatten(1, 2) @ values).view(batch, length, num_interests, values.size(-1))
    size = torch.arange(1, length + 1, device=logits.device, dtype=logits.dtype)
    return PrefixAttention(mean, weights.square().sum(-1) - size.reciprocal().unsqueeze(1))
