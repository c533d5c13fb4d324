"""Penalties on representations: each a scalar, a mean over the users of the batch."""

from abc import ABC, abstractmethod

from torch import Tensor, nn

from graphmi.losses.gather import gather
from graphmi.typing import Negatives, Representations

__all__ = ["EmbeddingNorm", "Regularizer"]


class Regularizer(nn.Module, ABC):
    """A scalar penalty; a mean over users, so that it does not change with the batch size."""

    @abstractmethod
    def forward(self, out: Representations, positive: Tensor, negatives: Negatives) -> Tensor:
        """Return the penalty, a scalar.

        Args:
            out: The model's output.
            positive: Item ids, ``[batch]``.
            negatives: The negatives of the batch.
        """


class EmbeddingNorm(Regularizer):
    r"""Half the squared norms of a user, its positive and a negative, as LightGCN penalises them.

    .. math:: \tfrac12 \big(\|e_u\|^2 + \|e_+\|^2 + \operatorname{mean}_j \|e_j\|^2\big)

    The parameters behind the representations count where the model gives them (``ego_users``, ``ego_items``), else
    the interests (their mean) and items themselves. With several negatives their mean counts, so that the penalty
    does not change with their number. `He et al., SIGIR 2020 <https://arxiv.org/abs/2002.02126>`_.
    """

    def forward(self, out: Representations, positive: Tensor, negatives: Negatives) -> Tensor:
        """Return the penalty, a scalar."""
        users = out.interests if out.ego_users is None else out.ego_users
        items = out.items if out.ego_items is None else out.ego_items
        vectors = (users, gather(items, positive), gather(items, negatives.item))
        norms = [v.square().sum(-1).mean() for v in vectors]
        return 0.5 * (norms[0] + norms[1] + norms[2])
