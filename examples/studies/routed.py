"""Self-attention whose interests are given different items to begin with."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graphmi.nn import SelfAttentiveExtractor


class RoutedExtractor(SelfAttentiveExtractor):
    r"""Self-attention with a routing prior: items compete for interests before interests attend to items.

    The logits of :class:`SelfAttentiveExtractor` get :math:`\log \operatorname{softmax}_k(\cos(h_t, c_k) / \tau)`, with
    a learned prototype :math:`c_k` per interest, so an interest attends to items that are nearer to its prototype than
    to the others'. In the spirit of SINE (`Tan et al., WSDM 2021 <https://arxiv.org/abs/2102.09267>`_), which has a
    pool of prototypes; this form is graphmi's own.

    Args:
        embedding_dim: Size of the vectors, at least 1.
        max_length: Number of positions, at least 1; ``None``: no positions, and sets of any size.
        num_interests: At least 1.
        temperature: Of the competition, positive; the lower, the more exclusive.

    Raises:
        ValueError: An argument is out of range.
    """

    def __init__(
        self, embedding_dim: int, max_length: int | None = None, num_interests: int = 4, temperature: float = 0.2
    ) -> None:
        super().__init__(embedding_dim, max_length, num_interests)
        if not temperature > 0:
            raise ValueError(f"'temperature' must be positive (got {temperature})")
        self.temperature = temperature
        self.prototype = nn.Parameter(torch.empty(num_interests, embedding_dim))
        nn.init.orthogonal_(self.prototype)

    def position_logits(self, x: Tensor, place: Tensor, length: int) -> Tensor:
        """Return the logits of self-attention and of the competition, added up."""
        cosine = F.normalize(x, dim=-1) @ F.normalize(self.prototype, dim=-1).T
        return super().position_logits(x, place, length) + (cosine / self.temperature).log_softmax(-1)
