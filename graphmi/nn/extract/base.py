"""The interface of interest extractors: from a history, or any set of vectors, to several interests."""

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch_geometric.utils import to_dense_batch

from graphmi.nn.extract.packed import padded, require_real_first
from graphmi.nn.shortcuts import Shortcuts

__all__ = ["Extractor", "Interests", "beginnings", "linear_parts", "over_real_positions"]


class Interests(NamedTuple):
    """What an extractor finds.

    Attributes:
        interests: ``[batch, num_interests, dim]``; 0 for an empty history.
        routing: How much each position adds to each interest, ``[batch, num_interests, length]``, 0 at padding;
            ``None`` where an extractor has no such weights.
        interest_mask: ``[batch, num_interests]``, False where an interest is inactive; ``None`` where all are active.
        routing_variance: Sum of the squared deviations of the routing weights over the real positions, ``[batch,
            num_interests]``, where it is known without ``routing``.
    """

    interests: Tensor
    routing: Tensor | None = None
    interest_mask: Tensor | None = None
    routing_variance: Tensor | None = None


class Extractor(Shortcuts, nn.Module, ABC):
    """Finds the interests in a history, or in any set of vectors.

    Any extractor is made from the two numbers ``(embedding_dim, max_length)`` and options of its own; ``max_length``
    ``None`` stands for sets, without positions and of any size.

    Attributes:
        num_interests: How many interests it finds.
    """

    shortcuts = (("extract", "extract_packed", "prefixes", "contributions"),)
    num_interests: int

    def forward(self, x: Tensor, where: Tensor, dim_size: int | None = None) -> Interests:
        """Return the :class:`Interests` of histories, or of sets as PyG holds them.

        Args:
            x: Histories ``[batch, length, dim]``, real positions first, then any finite numbers; or the members of all
                sets, ``[num, dim]``.
            where: For histories the mask ``[batch, length]`` bool, True where they are real; for sets the set of each
                member, ``[num]`` int64, in any order.
            dim_size: Number of sets; the largest in ``where`` plus one when omitted, which waits for the device.

        Raises:
            ValueError: If ``where`` is neither, or, on the CPU, a history is real after padding.
        """
        if x.dim() == 3 and where.dtype == torch.bool and where.shape == x.shape[:2]:
            require_real_first(where)
            return self.extract(x, where)
        if x.dim() != 2 or where.dtype != torch.int64 or where.shape != x.shape[:1]:
            raise ValueError(
                "give histories [batch, length, dim] with a bool mask [batch, length], or members [num, dim] with "
                f"int64 sets [num] (got {list(x.shape)} with {where.dtype} {list(where.shape)})"
            )
        if not len(where) and not dim_size:
            return self.extract(x.new_zeros(0, 0, x.size(1)), where.new_zeros(0, 0, dtype=torch.bool))
        where, order = torch.sort(where, stable=True)
        return self.extract(*to_dense_batch(x.index_select(0, order), where, batch_size=dim_size))

    @abstractmethod
    def extract(self, x: Tensor, mask: Tensor) -> Interests:
        """Return the :class:`Interests` of histories.

        Args:
            x: ``[batch, length, dim]``; any finite numbers at padding.
            mask: ``[batch, length]`` bool, True where the history is real; real positions come first.
        """

    def extract_packed(self, x: Tensor, mask: Tensor) -> Interests:
        """Return the :class:`Interests` of histories of which only the real positions are given.

        Here they are padded; extractors that need no padding override this.

        Args:
            x: ``[num_real, dim]``, one history after the other.
            mask: ``[batch, length]``.
        """
        return self.extract(padded(x, mask), mask)

    def prefixes(self, x: Tensor, mask: Tensor, prefix: Tensor) -> Interests:
        """Return the :class:`Interests` of beginnings of histories, the same as of each beginning alone.

        Here every beginning is laid out as a history of its own; extractors with a form that takes one pass over each
        history override this.

        Args:
            x: ``[num_histories, length, dim]``.
            mask: ``[num_histories, length]``.
            prefix: ``[batch]`` int64; ``r * length + t`` stands for the first ``t + 1`` positions of history ``r``,
                all of them real.
        """
        return self.extract(x.index_select(0, prefix // x.size(1)), beginnings(prefix, x.size(1)))

    def contributions(self, x: Tensor, mask: Tensor) -> Tensor | None:
        """Return what each position adds to each interest, ``[batch, num_interests, length, dim]``, 0 at padding.

        An interest is the sum over the positions, and of biases where an extractor has them. ``None``, as here, where
        an interest is no such sum, or the sum of one position only.

        Args:
            x: ``[batch, length, dim]``.
            mask: ``[batch, length]``.
        """
        return None


def beginnings(prefix: Tensor, length: int) -> Tensor:
    """Return the mask of beginnings of histories, ``[batch, length]``, by the numbers of :meth:`Extractor.prefixes`."""
    return torch.arange(length, device=prefix.device) <= (prefix % length).unsqueeze(1)


def over_real_positions(logits: Tensor, mask: Tensor) -> Tensor:
    """Return the softmax of logits ``[batch, num_interests, length]`` over the real positions, 0 at padding."""
    padding = ~mask.unsqueeze(1)
    # The lowest finite number instead of -inf, and then 0: nothing is NaN where all is padding.
    return logits.masked_fill(padding, torch.finfo(logits.dtype).min).softmax(-1).masked_fill(padding, 0.0)


def linear_parts(network: nn.Module, parts: Tensor) -> Tensor:
    """Return what a network of linear maps and ReLUs makes of each part of its input.

    Such a network is linear around every input, so that the parts of its output and its biases sum to the output.

    Args:
        network: From ``[..., dim]`` to ``[..., dim]``.
        parts: Their sum over the positions is the input, ``[batch, num_interests, length, dim]``.
    """
    point = parts.sum(2, keepdim=True).expand_as(parts).clone()  # torch.func wants memory of its own
    pushed: Tensor = torch.func.jvp(network, (point,), (parts,))[1]
    return pushed
