"""Penalties on representations: each a scalar, a mean over the users of the batch."""

import math
import warnings
from abc import ABC, abstractmethod
from typing import Literal

import torch
from torch import Tensor, nn

from graphmi.losses.gather import gather
from graphmi.nn.inactive import mask_interests
from graphmi.nn.unit import unit
from graphmi.ranges import at_least, one_of, positive
from graphmi.typing import ItemTable, Negatives, Representations

__all__ = ["AlignmentUniformity", "EmbeddingNorm", "InterestRepulsion", "Regularizer", "RoutingVariance"]

_CONSTANT = (
    "RoutingVariance teaches nothing here: the routing weights of the model have no gradient, as those of dynamic "
    "routing; remove the regularizer"
)


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

    def total(self, num_positives: Tensor) -> Tensor:
        """Return what the penalty is a mean over: the number of positives, if nothing else is said.

        Raises:
            ValueError: The penalty of a batch is not made of those of its parts.
        """
        return num_positives


class EmbeddingNorm(Regularizer):
    r"""Half the squared norms of a user, its positive and a negative, as LightGCN penalises them.

    .. math:: \tfrac12 \big(\|e_u\|^2 + \|e_+\|^2 + \operatorname{mean}_j \|e_j\|^2\big)

    The parameters behind the representations count where the model gives them (``ego_users``, ``ego_items``), else
    the items themselves and for the user the mean over all of its interests, inactive ones too. With several negatives
    their mean counts, invalid ones too, so that the penalty does not change with their number.
    `He et al., SIGIR 2020 <https://arxiv.org/abs/2002.02126>`_.

    Example:
        >>> import torch
        >>> from graphmi.typing import Negatives, Representations
        >>> out = Representations(interests=torch.tensor([[[1.0, 0.0]]]), items=torch.tensor([[3.0, 0.0], [0.0, 2.0]]))
        >>> EmbeddingNorm()(out, torch.tensor([0]), Negatives(torch.tensor([1])))  # (1 + 9 + 4) / 2
        tensor(7.)
    """

    def forward(self, out: Representations, positive: Tensor, negatives: Negatives) -> Tensor:
        """Return the penalty, a scalar."""
        users = out.interests if out.ego_users is None else out.ego_users
        items = out.items if out.ego_items is None else out.ego_items
        norms = [users.square().sum(-1).mean(), _mean_square(items, positive), _mean_square(items, negatives.item)]
        return 0.5 * (norms[0] + norms[1] + norms[2])


class RoutingVariance(Regularizer):
    r"""The squared variances of the routing weights over a history, against interests that hold one item only.

    .. math:: \sum_k r_k^2, \quad r_k = \frac{1}{\text{norm}} \sum_l (A_{kl} - \bar A_k)^2

    REMI's routing regularization (`Xie et al., RecSys 2023 <https://arxiv.org/abs/2302.14532>`_); 0 where an interest
    looks at all positions alike. For the published scale set ``norm`` to the embedding width, ``reduction="sum"`` and
    ``masked=False``. A model that knows the variances but not the weights (``routing_variance``) will do. Weights
    without a gradient, such as those of dynamic routing, make the penalty a constant: a warning says so in training.

    Args:
        norm: Divides the variances, positive.
        reduction: Over the users of the batch; the sum grows with the batch.
        masked: Take the mean over the real positions; else over the padded length, where padding has weight 0.

    Raises:
        ValueError: ``norm`` is not positive, ``reduction`` unknown, or the model gives neither routing weights nor
            (with ``masked``) their variance.

    Example:
        >>> import torch
        >>> from graphmi.typing import Negatives, Representations
        >>> routing = torch.tensor([[[1.0, 0.0], [0.5, 0.5]]])  # one interest holds one item, the other holds both
        >>> out = Representations(interests=torch.eye(2).unsqueeze(0), items=torch.eye(2), routing=routing)
        >>> RoutingVariance()(out, torch.tensor([0]), Negatives(torch.tensor([1])))  # (0.25 + 0.25)^2 + 0
        tensor(0.2500)
    """

    def __init__(self, norm: float = 1.0, reduction: Literal["mean", "sum"] = "mean", masked: bool = True) -> None:
        super().__init__()
        positive(norm=norm)
        one_of(("mean", "sum"), reduction=reduction)
        self.norm, self.reduction, self.masked = norm, reduction, masked

    def forward(self, out: Representations, positive: Tensor, negatives: Negatives) -> Tensor:
        """Return the penalty, a scalar."""
        variance = self._variance(out)
        if out.interests.requires_grad and not (variance.requires_grad or torch.compiler.is_compiling()):
            warnings.warn(_CONSTANT, stacklevel=1)
        penalty = (variance / self.norm).square().sum(1)
        return penalty.mean() if self.reduction == "mean" else penalty.sum()

    def total(self, num_positives: Tensor) -> Tensor:
        """Return the number of positives, or one for the sum."""
        return num_positives if self.reduction == "mean" else torch.ones_like(num_positives)

    def _variance(self, out: Representations) -> Tensor:
        """Return the squared deviations of the routing weights, summed over histories, ``[batch, num_interests]``."""
        if out.routing is not None:
            return _squared_deviations(out.routing, out.mask if self.masked else None)
        if out.routing_variance is None:
            raise ValueError("RoutingVariance needs routing weights: the model gives none, remove the regularizer")
        if not self.masked:
            raise ValueError(
                "RoutingVariance with 'masked' false needs routing weights at padding too, and the model gives only "
                "their variance over the real positions: set 'masked' to true, or train on one target per user"
            )
        return out.routing_variance


def _mean_square(items: Tensor | ItemTable, index: Tensor) -> Tensor:
    """Return the mean squared norm of the vectors of these items: of each item once, where few items come often."""
    if isinstance(items, Tensor) and items.size(0) < index.numel():
        # index_select: on the CPU the gradient of plain indexing adds up in no fixed order where an item occurs twice
        return items.square().sum(-1).index_select(0, index.flatten()).mean()
    return gather(items, index).square().sum(-1).mean()


def _squared_deviations(routing: Tensor, mask: Tensor | None) -> Tensor:
    real = torch.ones_like(routing[:, :1]) if mask is None else mask.unsqueeze(1).to(routing)
    mean = (routing * real).sum(-1, keepdim=True) / real.sum(-1, keepdim=True).clamp_min(1.0)
    return ((routing - mean).square() * real).sum(-1)


class InterestRepulsion(Regularizer):
    r"""Minus the mean distance between a user's interests, so that they spread.

    .. math:: -\frac{2}{K(K-1)} \sum_{j<k} \|u_j - u_k\|

    A reconstruction of the repel term of `MTMI <https://arxiv.org/abs/2403.05122>`_. It has no lower bound unless the
    model normalises its interests. Only active interests count; a user with a single one has penalty 0.

    Example:
        >>> import torch
        >>> from graphmi.typing import Negatives, Representations
        >>> out = Representations(interests=torch.tensor([[[3.0, 0.0], [0.0, 4.0]]]), items=torch.eye(2))
        >>> InterestRepulsion()(out, torch.tensor([0]), Negatives(torch.tensor([1])))
        tensor(-5.)
    """

    def forward(self, out: Representations, positive: Tensor, negatives: Negatives) -> Tensor:
        """Return the penalty, a scalar."""
        interests = out.interests
        first, second = torch.triu_indices(interests.size(1), interests.size(1), 1, device=interests.device)
        # [batch, pairs]; the norm has gradient 0 at 0, so that equal interests stay finite
        distance: Tensor = torch.linalg.vector_norm(interests[:, first] - interests[:, second], dim=-1)
        active = torch.ones_like(distance)
        if out.interest_mask is not None:
            active = (out.interest_mask[:, first] & out.interest_mask[:, second]).to(distance)
        return -((distance * active).sum(1) / active.sum(1).clamp_min(1.0)).mean()


class AlignmentUniformity(Regularizer):
    r"""Positives close to their user, and users and items spread over the sphere.

    On L2-normalised vectors, a user being its best interest for the positive:

    .. math::
        \operatorname{mean} \|u - i_+\|^2 + \frac{\gamma}{2} \sum_{x \in \{u, i_+\}}
        \log \operatorname{mean}_{a \ne b} e^{-2\|x_a - x_b\|^2}

    `Wang et al., KDD 2022 <https://arxiv.org/abs/2206.12811>`_ (DirectAU). Uniformity compares the examples of a batch,
    so it needs a batch of two or more, and is 0 below.

    Args:
        gamma: Weight of the uniformity, at least 0.

    Raises:
        ValueError: ``gamma`` is negative.

    Example:
        >>> import torch
        >>> from graphmi.typing import Negatives, Representations
        >>> out = Representations(interests=torch.eye(2).unsqueeze(1), items=torch.eye(2))  # two users, two items
        >>> AlignmentUniformity()(out, torch.tensor([0, 1]), Negatives(torch.tensor([1])))  # 0 + (-4 - 4) / 2
        tensor(-4.)
    """

    def __init__(self, gamma: float = 1.0) -> None:
        super().__init__()
        at_least(0, gamma=gamma)
        self.gamma = gamma

    def forward(self, out: Representations, positive: Tensor, negatives: Negatives) -> Tensor:
        """Return the penalty, a scalar."""
        user, item = _best_pair(out, gather(out.items, positive))
        alignment = (user - item).square().sum(-1).mean()
        return alignment + 0.5 * self.gamma * (_uniformity(user) + _uniformity(item))

    def total(self, num_positives: Tensor) -> Tensor:
        """Return the number of positives; with uniformity, refuse.

        Raises:
            ValueError: ``gamma`` is above 0.
        """
        if self.gamma:
            raise ValueError(
                "AlignmentUniformity compares all examples of a batch with one another, and of several processes each "
                "has a part of them: train in one process, or with gamma 0"
            )
        return num_positives


def _best_pair(out: Representations, items: Tensor) -> tuple[Tensor, Tensor]:
    """Return the interest and the item vector of each user that fit best, normalised, ``[batch, dim]`` each."""
    interests = out.interests
    dim = interests.size(-1)
    vectors = items.view(items.size(0), items.size(1) // dim, dim)  # [batch, num_vectors, dim]
    scores = mask_interests(interests @ vectors.transpose(1, 2), out.interest_mask)
    best = scores.flatten(1).argmax(1)
    row = torch.arange(best.numel(), device=best.device)
    user, item = interests[row, best // vectors.size(1)], vectors[row, best % vectors.size(1)]
    return unit(user), unit(item)


def _uniformity(x: Tensor) -> Tensor:
    size = x.size(0)
    if size < 2:
        return x.new_zeros(())
    exponent = 4 * (x @ x.T) - 4  # -2 |a - b|^2 of unit vectors
    exponent = exponent.masked_fill(torch.eye(size, dtype=torch.bool, device=x.device), -torch.inf)
    return exponent.flatten().logsumexp(0) - math.log(size * (size - 1))
