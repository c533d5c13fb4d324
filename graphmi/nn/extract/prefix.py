"""Attention over every prefix of a history in one pass."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from graphmi.nn.autocast import widened, without_autocast

__all__ = ["PrefixAttention", "causal_attention", "prefix_attention"]

_BLOCK = 16  # positions; the time of a step hardly changes from 8 to 32


class PrefixAttention(NamedTuple):
    """What attention finds in each prefix.

    Attributes:
        mean: ``[..., num_interests, dim]``, the values weighted over the positions of the prefix.
        variance: ``[..., num_interests]``, the squared deviations of these weights from their mean, summed.
    """

    mean: Tensor
    variance: Tensor


def prefix_attention(logits: Tensor, values: Tensor, prefix: Tensor) -> PrefixAttention:
    r"""Return the softmax attention over beginnings of histories, ``[batch, ...]``.

    .. math::
        V_k(t) = \sum_{s \le t} A_{ks}(t)\, h_s, \quad A_{ks}(t) = \frac{e^{l_{ks}}}{\sum_{s' \le t} e^{l_{ks'}}},
        \quad \sum_{s \le t} \Bigl(A_{ks}(t) - \frac{1}{t + 1}\Bigr)^2 = \sum_{s \le t} A_{ks}(t)^2 - \frac{1}{t + 1}

    A prefix attends to the positions of its own block, and to all blocks before that as to one more position: its
    logit is their log-sum-exp, its value their mean. This is exact, and linear in the length of the history but for a
    few numbers per pair of blocks. Each prefix has a maximum of its own, so logits of any finite size are safe. It does
    not see what comes later, so padding, which comes last, needs no mask.

    Args:
        logits: ``[num_histories, num_interests, length]``.
        values: ``[num_histories, length, dim]``.
        prefix: ``[batch]``; ``r * length + t`` stands for the first ``t + 1`` positions of history ``r``.
    """
    with without_autocast(logits):  # many small products, of numbers that are summed again
        found = _prefix_attention(widened(logits), widened(values), prefix)
    return PrefixAttention(found.mean.to(values.dtype), found.variance)


def _prefix_attention(logits: Tensor, values: Tensor, prefix: Tensor) -> PrefixAttention:
    num_interests, length = logits.shape[1:]
    fill = -length % _BLOCK
    # [num_histories, num_blocks, num_interests, block] and [num_histories, num_blocks, block, dim]
    logits = F.pad(logits, (0, fill)).reshape(*logits.shape[:2], -1, _BLOCK).transpose(1, 2)
    values = F.pad(values, (0, 0, 0, fill)).reshape(len(values), -1, _BLOCK, values.size(-1))
    logit, value, square = _blocks_before(logits, values)
    # Append to each block one position per interest that stands for all earlier blocks, visible to that interest only.
    shared = logits.new_zeros(num_interests, num_interests).fill_diagonal_(1).log()
    later = _later(_BLOCK, logits).unsqueeze(1).expand(-1, num_interests, -1)
    hidden = torch.cat([later, shared.expand(_BLOCK, -1, -1)], -1)  # [block, num_interests, block + num_interests]
    every = torch.cat([logits, logit.unsqueeze(-2).expand(-1, -1, num_interests, -1)], -1)
    weights = (every.unsqueeze(2) + hidden).softmax(-1).flatten(2, 3)
    squares = torch.cat([torch.ones_like(values[..., 0]), square], -1).unsqueeze(-1)
    place, size = prefix + fill * (prefix // length), prefix % length + 1
    mean, variance = (
        (left @ right).view(-1, num_interests, right.size(-1)).index_select(0, place)
        for left, right in ((weights, torch.cat([values, value], 2)), (weights.square(), squares))
    )
    return PrefixAttention(mean, variance.squeeze(-1) - size.to(mean).reciprocal().unsqueeze(1))


def _blocks_before(logits: Tensor, values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return what all blocks before each one are together: a logit, a mean, and the sum of their squared weights.

    Args:
        logits: ``[num_histories, num_blocks, num_interests, block]``.
        values: ``[num_histories, num_blocks, block, dim]``.

    Returns:
        ``[num_histories, num_blocks, num_interests]``, the same with ``dim``, and the first shape again. Nothing comes
        before the first block: its logit is the lowest finite number, its mean 0.
    """
    within = logits.softmax(-1)
    lowest = torch.finfo(logits.dtype).min
    total = _shifted(logits.logsumexp(-1, keepdim=True), lowest).transpose(-1, -2)
    seen = total + _later(total.size(-1), total)  # [num_histories, num_interests, num_blocks, num_blocks]
    across = seen.softmax(-1)
    mean = across @ _shifted(within @ values)
    square = across.square() @ _shifted(within.square().sum(-1, keepdim=True))
    return seen.logsumexp(-1).transpose(1, 2), mean.transpose(1, 2), square.squeeze(-1).transpose(1, 2)


def _shifted(blocks: Tensor, first: float = 0.0) -> Tensor:
    """Move ``[num_histories, num_blocks, num_interests, dim]`` one block on, and put the interests first."""
    return F.pad(blocks, (0, 0, 0, 0, 1, -1), value=first).transpose(1, 2)


def causal_attention(logits: Tensor, values: Tensor) -> PrefixAttention:
    """Return the softmax attention of each position over the first ones up to itself, ``[batch, length, ...]``.

    Args:
        logits: ``[batch, length, num_interests, length]``, those of each prefix in the second dimension.
        values: ``[batch, length, dim]``.
    """
    with without_autocast(logits):
        found = _causal_attention(widened(logits), widened(values))
    return PrefixAttention(found.mean.to(values.dtype), found.variance)


def _causal_attention(logits: Tensor, values: Tensor) -> PrefixAttention:
    length = values.size(1)
    # Prefixes before interests: one product per history then serves all of both.
    weights = (logits + _later(length, logits).unsqueeze(1)).softmax(-1)
    mean = (weights.flatten(1, 2) @ values).view(*weights.shape[:-1], values.size(-1))
    size = torch.arange(1, length + 1, device=logits.device, dtype=logits.dtype)
    return PrefixAttention(mean, weights.square().sum(-1) - size.reciprocal().unsqueeze(1))


def _later(length: int, like: Tensor) -> Tensor:
    """Return ``-inf`` where the second position comes after the first, else 0, ``[length, length]``."""
    return like.new_full((length, length), -torch.inf).triu(1)
