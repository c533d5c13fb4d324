"""Which of a user's interests speaks for an item: a weight matrix over the interests.

Argmax, sampling, inverse distance and the mean differ only in these weights, which sum to one over the
interests. Inactive interests (``interest_mask`` False) get weight 0.
"""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from graphmi.nn.autocast import widened
from graphmi.nn.inactive import mask_interests
from graphmi.nn.shortcuts import Shortcuts
from graphmi.nn.similarity import Cosine, InnerProduct, NegativeDistance, Similarity
from graphmi.nn.weights_of import weights_of
from graphmi.ranges import at_least, positive

__all__ = [
    "ArgmaxSelector",
    "InverseDistanceSelector",
    "LabelAwareSelector",
    "MeanSelector",
    "SampledSelector",
    "Selector",
    "SoftmaxSelector",
]

_WITHOUT_OPTIONS = (InnerProduct, Cosine, NegativeDistance)  # of which one is as another


class Selector(Shortcuts, nn.Module, ABC):
    """Weighs the interests of each user by items to which they answer.

    Attributes:
        hard: True where one interest gets all the weight.

    Shapes:
        - interests: ``[batch, num_interests, dim]``
        - anchor: the items, ``[num_anchors, dim]`` shared by the batch, or ``[batch, num_anchors, dim]``
        - interest_mask: ``[batch, num_interests]``, False where an interest is inactive; each user has an active one
        - output: weights, ``[batch, num_interests, num_anchors]``, sum to one over the interests
    """

    shortcuts = (("forward", "hard", "score"),)
    hard: bool = False

    @abstractmethod
    def forward(self, interests: Tensor, anchor: Tensor, interest_mask: Tensor | None = None) -> Tensor:
        """Return the weights, ``[batch, num_interests, num_anchors]``."""

    def score(
        self, interests: Tensor, items: Tensor, similarity: Similarity, interest_mask: Tensor | None = None
    ) -> Tensor:
        """Score each item by the interests that it selects itself, ``[batch, num_items]``."""
        scores: Tensor = weights_of(self, interests, items, interest_mask) * similarity(interests, items)
        return scores.sum(1)


class ArgmaxSelector(Selector):
    """The interest that fits the item best; ties go to the lowest index.

    Anchored on the candidate this is the maximum over the interests that serves users.

    Args:
        similarity: What "best" means; the inner product unless given.

    Example:
        >>> import torch
        >>> interests, item = torch.eye(2).unsqueeze(0), torch.tensor([[2.0, 1.0]])
        >>> ArgmaxSelector()(interests, item).squeeze(-1)
        tensor([[1., 0.]])
    """

    hard = True

    def __init__(self, similarity: Similarity | None = None) -> None:
        super().__init__()
        self.similarity = similarity if similarity is not None else InnerProduct()

    def forward(self, interests: Tensor, anchor: Tensor, interest_mask: Tensor | None = None) -> Tensor:
        """Return one-hot weights, ``[batch, num_interests, num_anchors]``."""
        scores = mask_interests(self.similarity(interests, anchor), interest_mask)
        return _one_hot_of_largest(scores)

    def score(
        self, interests: Tensor, items: Tensor, similarity: Similarity, interest_mask: Tensor | None = None
    ) -> Tensor:
        """Return the best score of each item, ``[batch, num_items]``, without building the weights."""
        alike = type(similarity) is type(self.similarity) and type(similarity) in _WITHOUT_OPTIONS
        if not (alike or similarity is self.similarity):
            return super().score(interests, items, similarity, interest_mask)
        scores = mask_interests(similarity(interests, items), interest_mask)
        return scores.max(1).values  # unlike amax, one gradient per tie


def _one_hot_of_largest(scores: Tensor) -> Tensor:
    return torch.zeros_like(scores).scatter_(1, scores.argmax(1, keepdim=True), 1.0)


class MeanSelector(Selector):
    """Every active interest counts alike.

    Example:
        >>> import torch
        >>> MeanSelector()(torch.eye(2).unsqueeze(0), torch.tensor([[2.0, 1.0]])).squeeze(-1)
        tensor([[0.5000, 0.5000]])
    """

    def forward(self, interests: Tensor, anchor: Tensor, interest_mask: Tensor | None = None) -> Tensor:
        """Return equal weights, ``[batch, num_interests, num_anchors]``."""
        active = torch.ones_like(interests[..., 0]) if interest_mask is None else interest_mask.to(interests)
        weights = active / active.sum(1, keepdim=True).clamp_min(1.0)
        return weights.unsqueeze(-1).expand(-1, -1, anchor.size(-2))


class SoftmaxSelector(Selector):
    r"""Interests in proportion to :math:`\exp(\tau c_k)`, :math:`c_k` their affinity to the item.

    The probabilities of the draw of `BaM <https://github.com/jlunits2/BaM>`_ (IEEE BigData 2024), published.

    Args:
        temperature: :math:`\tau`, which *multiplies* the affinity, as BaM writes it; at least 0. 0 is the mean,
            and the larger it is the closer to the argmax.
        similarity: The affinity; the inner product unless given.
        detach_weights: Let no gradient through the weights, as none goes through a draw.

    Raises:
        ValueError: The temperature is negative.

    Example:
        >>> import torch
        >>> interests, item = torch.eye(2).unsqueeze(0), torch.tensor([[2.0, 1.0]])
        >>> SoftmaxSelector()(interests, item).squeeze(-1)
        tensor([[0.7311, 0.2689]])
    """

    def __init__(
        self, temperature: float = 1.0, similarity: Similarity | None = None, detach_weights: bool = False
    ) -> None:
        super().__init__()
        at_least(0, temperature=temperature)
        self.temperature = temperature
        self.similarity = similarity if similarity is not None else InnerProduct()
        self.detach_weights = detach_weights

    def forward(self, interests: Tensor, anchor: Tensor, interest_mask: Tensor | None = None) -> Tensor:
        """Return softmax weights, ``[batch, num_interests, num_anchors]``."""
        scores = self.temperature * self.similarity(interests, anchor)
        weights = mask_interests(scores, interest_mask).softmax(1)
        return weights.detach() if self.detach_weights else weights


class SampledSelector(Selector):
    r"""Draws one interest per user and item, with probability :math:`\propto \exp(\tau c_k)`.

    `BaM <https://github.com/jlunits2/BaM>`_ (IEEE BigData 2024), published: BaM-p with the inner product as affinity,
    BaM-l with :class:`~graphmi.nn.ProjectedInnerProduct`. The draw carries no gradient;
    :class:`~graphmi.nn.ExpectedReadout` over a :class:`SoftmaxSelector` has the expected loss instead, with
    ``detach_weights`` the mean gradient too.

    Args:
        temperature: :math:`\tau`, which *multiplies* the affinity, as BaM writes it; at least 0. 0 draws uniformly.
        similarity: The affinity; the inner product unless given.

    Raises:
        ValueError: The temperature is negative.

    Example:
        >>> import torch
        >>> interests, item = torch.eye(2).expand(100_000, -1, -1), torch.tensor([[2.0, 1.0]])
        >>> SampledSelector()(interests, item).mean(0).squeeze(-1).round(decimals=1)  # as e^2 to e^1: .731, .269
        tensor([0.7000, 0.3000])
    """

    hard = True

    def __init__(self, temperature: float = 1.0, similarity: Similarity | None = None) -> None:
        super().__init__()
        at_least(0, temperature=temperature)
        self.temperature = temperature
        self.similarity = similarity if similarity is not None else InnerProduct()

    def forward(self, interests: Tensor, anchor: Tensor, interest_mask: Tensor | None = None) -> Tensor:
        """Return one-hot weights, ``[batch, num_interests, num_anchors]``."""
        with torch.no_grad():
            scores = self.temperature * self.similarity(interests, anchor)
            gumbel = -torch.empty_like(scores).exponential_().log()  # the largest sum is a draw from the softmax
            return _one_hot_of_largest(mask_interests(scores + gumbel, interest_mask))


class InverseDistanceSelector(Selector):
    r"""Weighs interests by :math:`(d_k + \epsilon)^{-\alpha}`, :math:`d_k` their Euclidean distance to the item.

    A reconstruction of the inverse-distance weighting of `MTMI <https://arxiv.org/abs/2403.05122>`_, whose text gives
    no formula. With ``similarity=NegativeDistance()`` in the readout the weighted distance is the mean for alpha 0, the
    harmonic mean for 1, and tends to the minimum. For alpha above 1 it is not monotone in each distance unless the
    weights are detached.

    Args:
        alpha: How much closer interests count more, at least 0.
        eps: Keeps the weight finite at distance 0, positive.
        detach_weights: Let no gradient through the weights.

    Raises:
        ValueError: ``alpha`` is negative or ``eps`` not positive.

    Example:
        >>> import torch
        >>> interests, item = torch.eye(2).unsqueeze(0), torch.tensor([[1.0, 1.0]])
        >>> InverseDistanceSelector()(interests, item).squeeze(-1)  # as close to one as to the other
        tensor([[0.5000, 0.5000]])
    """

    def __init__(self, alpha: float = 1.0, eps: float = 1e-6, detach_weights: bool = False) -> None:
        super().__init__()
        at_least(0, alpha=alpha)
        positive(eps=eps)
        self.alpha, self.eps, self.detach_weights = alpha, eps, detach_weights
        self.similarity = NegativeDistance()

    def forward(self, interests: Tensor, anchor: Tensor, interest_mask: Tensor | None = None) -> Tensor:
        """Return the weights, ``[batch, num_interests, num_anchors]``."""
        distance = -self.similarity(interests, anchor)
        weights = mask_interests(-self.alpha * (distance + self.eps).log(), interest_mask).softmax(1)
        return weights.detach() if self.detach_weights else weights


class LabelAwareSelector(Selector):
    r"""MIND's label-aware attention: softmax over the interests of their scores to a power.

    The power keeps the sign, :math:`\operatorname{sign}(s)|s|^p`, so that a negative score stays one. At
    a score of 0 it has no slope, whatever the power.
    `Li et al., CIKM 2019 <https://arxiv.org/abs/1904.08030>`_.

    Args:
        power: Positive; 1 is plain attention, large values approach the argmax where the best score is above 1.

    Raises:
        ValueError: The power is not positive.

    Example:
        >>> import torch
        >>> interests, item = torch.eye(2).unsqueeze(0), torch.tensor([[2.0, 1.0]])
        >>> LabelAwareSelector(power=2.0)(interests, item).squeeze(-1)  # e^4 to e^1
        tensor([[0.9526, 0.0474]])
    """

    def __init__(self, power: float = 1.0) -> None:
        super().__init__()
        positive(power=power)
        self.power = power
        self.similarity = InnerProduct()

    def forward(self, interests: Tensor, anchor: Tensor, interest_mask: Tensor | None = None) -> Tensor:
        """Return the weights, ``[batch, num_interests, num_anchors]``."""
        found = widened(self.similarity(interests, anchor))
        scores, power = found.double(), max(self.power, 1.0)  # powers soon leave the range of single precision
        limit = (torch.finfo(scores.dtype).max / (4 * power)) ** (1 / power)
        # powers and their slopes are finite, at 0 that of a power below 1
        powers = scores.sign() * scores.abs().clamp(torch.finfo(found.dtype).eps, limit) ** self.power
        return mask_interests(powers, interest_mask).softmax(1).to(found.dtype)
