"""How the nodes of a graph model become interests and item vectors, whose inner products are the scores."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from graphmi.models.active import active_interests
from graphmi.nn.unit import unit
from graphmi.ranges import one_of
from graphmi.typing import Contributions, Representations

__all__ = ["Arrangement", "Score"]

Score = Literal["user_virtual", "pair_max", "symmetric", "center"]


@dataclass(frozen=True)
class Arrangement:
    r"""Arranges nodes so that the best inner product of an interest and an item vector is the score.

    ============== ==============================================================================================
    score          :math:`y_{ui}`
    ============== ==============================================================================================
    user_virtual   :math:`\max_k \langle E_V[u, k], E_C[i] \rangle`
    pair_max       :math:`\max_{k, j} \langle E_V[u, k], E_V[i, j] \rangle`
    symmetric      :math:`\max_k \langle E_V[u, k], E_C[i] \rangle + \max_j \langle E_C[u], E_V[i, j] \rangle`
    center         :math:`\langle E_C[u], E_C[i] \rangle`
    ============== ==============================================================================================

    What it arranges are virtual interests of nodes, ``[num_nodes, num_interests, dim]`` for each layer, and their
    centers, ``[num_nodes, dim]`` for each layer; the means over the layers count.

    Attributes:
        score: A row of the table.
        normalize: Bring vectors to length one, so that inner products are cosines.
        dynamic: Keep the interests of users that :func:`~graphmi.models.active.active_interests` finds.

    Raises:
        ValueError: If ``score`` is unknown.
    """

    score: Score = "user_virtual"
    normalize: bool = False
    dynamic: bool = False

    def __post_init__(self) -> None:
        one_of(get_args(Score), score=self.score)

    def represent(
        self,
        virtuals: Sequence[Tensor],
        centers: Sequence[Tensor],
        ego: Tensor,
        user: Tensor | slice,
        item: slice,
        items: Tensor | None = None,
    ) -> Representations:
        """Return some nodes as users and some as items, with the parameters ``ego [num_nodes, dim]`` behind both.

        ``items`` are the vectors of the items where they are at hand.
        """
        return Representations(
            interests=self.users(virtuals, centers, user),
            items=self.items(virtuals, centers, item) if items is None else items,
            interest_mask=self.active(virtuals, user),
            ego_users=_rows(ego, user),
            ego_items=ego[item],
        )

    def users(self, virtuals: Sequence[Tensor], centers: Sequence[Tensor], index: Tensor | slice) -> Tensor:
        """Return the interests of some nodes, ``[num, num_interests, dim]``."""
        if self.score in ("user_virtual", "pair_max"):
            return self._mean(virtuals, index)
        return self._interests(self._mean(virtuals, index), self._mean(centers, index))

    def items(self, virtuals: Sequence[Tensor], centers: Sequence[Tensor], index: Tensor | slice) -> Tensor:
        """Return the vectors of some nodes, ``[num, num_vectors * dim]``."""
        if self.score in ("center", "user_virtual"):
            return self._mean(centers, index)
        virtual = self._mean(virtuals, index)
        if self.score == "pair_max":
            return virtual.flatten(1)
        # <[E_V[u, k], E_C[u]], [E_C[i], E_V[i, j]]>: the best pair is the sum of both maxima
        center = self._mean(centers, index).unsqueeze(1).expand_as(virtual)
        return torch.cat([center, virtual], dim=-1).flatten(1)

    def active(self, virtuals: Sequence[Tensor], index: Tensor | slice) -> Tensor | None:
        """Return which interests of some nodes are kept, ``[num, num_interests]``; ``None`` where all are."""
        return active_interests(virtuals, index) if self.dynamic and self.score != "center" else None

    def decompose(
        self, virtual: tuple[Tensor, Tensor], center: tuple[Tensor, Tensor], row: Tensor, item: Tensor
    ) -> Contributions:
        """Arrange what neighbours add to users as :meth:`users` arranges the users themselves.

        Args:
            virtual: What each neighbour adds to the layer means of the virtual interests, ``[num, num_interests,
                dim]``, and what the users have of themselves, ``[batch, num_interests, dim]``.
            center: The same of the centers, ``[num, dim]`` and ``[batch, dim]``.
            row: The user of each neighbour, ``[num]``, as a row of the batch.
            item: Which item each neighbour is, ``[num]``.
        """
        virtual, center = self._scaled(*virtual, row), self._scaled(*center, row)
        vector, rest = (self._interests(v, c) for v, c in zip(virtual, center, strict=True))
        return Contributions(row=row, item=item, vector=vector, rest=rest)

    def _mean(self, layers: Sequence[Tensor], index: Tensor | slice) -> Tensor:
        # Rows first, then means and lengths: of the users only those of the batch are needed. The other way around
        # where a batch asks for more rows than there are.
        if isinstance(index, Tensor) and index.numel() > (num_rows := layers[-1].size(0)):
            return self._mean(layers, slice(num_rows)).index_select(0, index)
        first, *rest = (_rows(layer, index) for layer in layers)
        total = sum(rest, start=first)
        return unit(total) if self.normalize else total / len(layers)

    def _scaled(self, parts: Tensor, own: Tensor, row: Tensor) -> tuple[Tensor, Tensor]:
        if not self.normalize:
            return parts, own
        length = own.index_add(0, row, parts).norm(dim=-1, keepdim=True).clamp_min(1e-12)
        return parts / length[row], own / length

    def _interests(self, virtual: Tensor, center: Tensor) -> Tensor:
        """Return what is compared with items, of virtual ``[n, num_interests, dim]`` and centers ``[n, dim]``."""
        if self.score == "center":
            return center.unsqueeze(1)
        if self.score == "symmetric":
            return torch.cat([virtual, center.unsqueeze(1).expand_as(virtual)], dim=-1)
        return virtual


def _rows(matrix: Tensor, index: Tensor | slice) -> Tensor:
    # index_select: on the CPU the gradient of plain indexing adds up in no fixed order where a user occurs twice
    return matrix[index] if isinstance(index, slice) else matrix.index_select(0, index)
