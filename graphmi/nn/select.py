"""Which of a user's interests speaks for an item: a weight matrix over the interests.

Argmax, sampling, inverse distance and the mean differ only in these weights, which sum to one over the
interests. Inactive interests (``interest_mask`` False) get weight 0.
"""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from graphmi.nn.similarity import InnerProduct, Similarity

__all__ = ["ArgmaxSelector", "MeanSelector", "Selector", "mask_interests"]


def mask_interests(scores: Tensor, interest_mask: Tensor | None) -> Tensor:
    """Set the scores ``[batch, num_interests, ...]`` of inactive interests to ``-inf``."""
    if interest_mask is None:
        return scores
    return scores.masked_fill(~interest_mask.unsqueeze(-1), -torch.inf)


class Selector(nn.Module, ABC):
    """Weighs the interests of each user by items to which they answer.

    Attributes:
        hard: True where one interest gets all the weight.

    Shapes:
        - interests: ``[batch, num_interests, dim]``
        - anchor: the items, ``[num_anchors, dim]`` shared by the batch, or ``[batch, num_anchors, dim]``
        - interest_mask: ``[batch, num_interests]``, False where an interest is inactive
        - output: weights, ``[batch, num_interests, num_anchors]``, sum to one over the interests
    """

    hard: bool = False

    @abstractmethod
    def forward(self, interests: Tensor, anchor: Tensor, interest_mask: Tensor | None = None) -> Tensor:
        """Return the weights, ``[batch, num_interests, num_anchors]``."""

    def score(
        self, interests: Tensor, items: Tensor, similarity: Similarity, interest_mask: Tensor | None = None
    ) -> Tensor:
        """Score each item by the interests that it selects itself, ``[batch, num_items]``."""
        weights = self(interests, items, interest_mask)
        scores: Tensor = weights * similarity(interests, items)
        return scores.sum(1)


class ArgmaxSelector(Selector):
    """The interest that fits the item best; ties go to the lowest index.

    Anchored on the candidate this is the maximum over the interests that serves users.

    Args:
        similarity: What "best" means; the inner product unless given.
    """

    hard = True

    def __init__(self, similarity: Similarity | None = None) -> None:
        super().__init__()
        self.similarity = similarity if similarity is not None else InnerProduct()

    def forward(self, interests: Tensor, anchor: Tensor, interest_mask: Tensor | None = None) -> Tensor:
        """Return one-hot weights, ``[batch, num_interests, num_anchors]``."""
        scores = mask_interests(self.similarity(interests, anchor), interest_mask)
        return torch.zeros_like(scores).scatter_(1, scores.argmax(1, keepdim=True), 1.0)

    def score(
        self, interests: Tensor, items: Tensor, similarity: Similarity, interest_mask: Tensor | None = None
    ) -> Tensor:
        """Return the best score of each item, ``[batch, num_items]``, without building the weights."""
        if type(similarity) is not type(self.similarity):
            return super().score(interests, items, similarity, interest_mask)
        return (
            mask_interests(similarity(interests, items), interest_mask).max(1).values
        )  # unlike amax, one gradient per tie


class MeanSelector(Selector):
    """Every active interest counts alike."""

    def forward(self, interests: Tensor, anchor: Tensor, interest_mask: Tensor | None = None) -> Tensor:
        """Return equal weights, ``[batch, num_interests, num_anchors]``."""
        active = torch.ones_like(interests[..., 0]) if interest_mask is None else interest_mask.to(interests)
        weights = active / active.sum(1, keepdim=True).clamp_min(1.0)
        return weights.unsqueeze(-1).expand(-1, -1, anchor.size(-2))
