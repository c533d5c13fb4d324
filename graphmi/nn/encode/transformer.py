"""A causal transformer over histories."""

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graphmi.nn.dropout import Dropout, dropout
from graphmi.nn.encode.base import Encoder
from graphmi.nn.position import Positions
from graphmi.ranges import at_least, is_share, one_of

__all__ = ["TransformerEncoder"]

_BLOCK = 100  # positions that attend at a time on the CPU


class TransformerEncoder(Encoder):
    r"""Self-attention in which each position sees itself and earlier ones.

    SASRec (`Kang and McAuley, ICDM 2018 <https://arxiv.org/abs/1808.09781>`_), published: items times
    :math:`\sqrt{d}` plus learned positions, blocks :math:`x + \operatorname{Dropout}(g(\operatorname{LayerNorm}(x)))`
    with :math:`g` attention, then a feed-forward network, and a last :math:`\operatorname{LayerNorm}`. Attention is
    torch's fused kernel. Padding comes last, so the causal mask hides it from every real position.

    Args:
        embedding_dim: Size of the vectors, at least 1, a multiple of ``num_heads``.
        max_length: Number of positions, at least 1; ``None``: no positions, and any length.
        num_layers: Number of blocks, at least 1.
        num_heads: Number of attention heads, at least 1.
        hidden_dim: Hidden units of the feed-forward networks, at least 1; ``embedding_dim`` unless given.
        dropout: Of the input, of the attention weights and of each block's output, in ``[0, 1)``.
        activation: ``"relu"`` or ``"gelu"``.

    Raises:
        ValueError: An argument is out of range, or in use a history is longer than ``max_length``.

    Example:
        >>> import torch
        >>> x, mask = torch.randn(2, 5, 8), torch.ones(2, 5, dtype=torch.bool)
        >>> encoder = TransformerEncoder(8, max_length=5).eval()  # without dropout
        >>> whole, beginning = encoder(x, mask), encoder(x[:, :3], mask[:, :3])
        >>> whole.shape, torch.allclose(whole[:, :3], beginning, atol=1e-4)  # what comes later changes nothing before
        (torch.Size([2, 5, 8]), True)
    """

    def __init__(
        self,
        embedding_dim: int,
        max_length: int | None = None,
        num_layers: int = 2,
        num_heads: int = 1,
        hidden_dim: int | None = None,
        dropout: float = 0.2,
        activation: Literal["relu", "gelu"] = "relu",
    ) -> None:
        super().__init__()
        hidden_dim = embedding_dim if hidden_dim is None else hidden_dim
        at_least(1, embedding_dim=embedding_dim, num_layers=num_layers, num_heads=num_heads, hidden_dim=hidden_dim)
        if embedding_dim % num_heads:
            raise ValueError(f"'embedding_dim' must be a multiple of 'num_heads', {num_heads} (got {embedding_dim})")
        is_share(dropout=dropout)
        one_of(("relu", "gelu"), activation=activation)
        self.scale = math.sqrt(embedding_dim)
        self.position = nn.Identity() if max_length is None else Positions(max_length, embedding_dim)
        self.dropout = Dropout(dropout)
        network = nn.ReLU if activation == "relu" else nn.GELU
        self.blocks = nn.Sequential()
        for _ in range(num_layers):
            feed_forward = (nn.Linear(embedding_dim, hidden_dim), network(), Dropout(dropout))
            self.blocks.append(_Residual(embedding_dim, dropout, _CausalAttention(embedding_dim, num_heads, dropout)))
            self.blocks.append(_Residual(embedding_dim, dropout, *feed_forward, nn.Linear(hidden_dim, embedding_dim)))
        self.norm = nn.LayerNorm(embedding_dim)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Return the encoded history, ``[batch, length, dim]``."""
        x = self.dropout(self.position(x * self.scale))
        encoded: Tensor = self.norm(self.blocks(x))
        return encoded


class _Residual(nn.Module):
    """Adds to its input what a network makes of it, normalised."""

    def __init__(self, embedding_dim: int, dropout: float, *network: nn.Module) -> None:
        super().__init__()
        self.network = nn.Sequential(nn.LayerNorm(embedding_dim), *network, Dropout(dropout))

    def forward(self, x: Tensor) -> Tensor:
        added: Tensor = self.network(x)
        return x + added


class _CausalAttention(nn.Module):
    """Multi-head attention to the same and earlier positions."""

    def __init__(self, embedding_dim: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.num_heads, self.dropout = num_heads, dropout
        self.project = nn.Linear(embedding_dim, 3 * embedding_dim)
        self.output = nn.Linear(embedding_dim, embedding_dim)

    def forward(self, x: Tensor) -> Tensor:
        batch, length, dim = x.shape
        split = self.project(x).view(batch, length, 3, self.num_heads, dim // self.num_heads)
        query, key, value = split.permute(2, 0, 3, 1, 4)  # each [batch, num_heads, length, dim / num_heads]
        heads = _attention(query, key, value, self.dropout if self.training else 0.0)
        attended: Tensor = self.output(heads.transpose(1, 2).reshape(batch, length, dim))
        return attended


def _attention(query: Tensor, key: Tensor, value: Tensor, p: float) -> Tensor:
    """Return what each position attends to, ``[..., length, dim]``, with dropout ``p`` of the weights."""
    if not p or query.device.type != "cpu" or torch.compiler.is_compiling():
        return F.scaled_dot_product_attention(query, key, value, dropout_p=p, is_causal=True)
    # torch has no fused kernel with dropout for the CPU, and writes the weights down as well
    query, start, blocks = query / math.sqrt(query.size(-1)), 0, []
    for part in torch.split(query, _BLOCK, -2):
        stop = start + part.size(-2)  # what is later than the whole block is left out
        later = part.new_full((part.size(-2), stop), -torch.inf).triu_(start + 1)
        logits = (part @ key[..., :stop, :].transpose(-1, -2)).add_(later)
        blocks.append(dropout(logits.softmax(-1), p) @ value[..., :stop, :])
        start = stop
    return torch.cat(blocks, -2)
