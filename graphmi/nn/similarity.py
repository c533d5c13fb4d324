"""How well an interest fits an item: inner product, cosine, negative distance."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from graphmi.nn.autocast import widened
from graphmi.nn.shortcuts import Shortcuts
from graphmi.nn.unit import unit
from graphmi.ranges import at_least

__all__ = ["Cosine", "InnerProduct", "NegativeDistance", "ProjectedInnerProduct", "Similarity"]


class Similarity(Shortcuts, nn.Module, ABC):
    """Scores every interest of every user against items; higher is better.

    An item may have several vectors side by side, ``num_vectors * dim``; the best one counts.

    Attributes:
        linear: True where the score is linear in the interest (for one vector per item), so that interests
            may be mixed before they are scored.

    Shapes:
        - interests: ``[batch, num_interests, dim]``
        - items: ``[num_items, num_vectors * dim]`` shared by the batch, or
          ``[batch, num_items, num_vectors * dim]``
        - output: ``[batch, num_interests, num_items]``
    """

    shortcuts = (("pairwise", "linear"),)
    linear: bool = False

    def forward(self, interests: Tensor, items: Tensor) -> Tensor:
        """Return the scores, ``[batch, num_interests, num_items]``.

        Raises:
            ValueError: The width of the items is not a multiple of the width of the interests, or what :meth:`pairwise`
                gives is no score for each pair.
        """
        dim = interests.size(-1)
        num_vectors, rest = divmod(items.size(-1), dim)
        if rest or not num_vectors:
            raise ValueError(
                f"item vectors must be a multiple of the interests' {dim} dimensions wide (got {items.size(-1)})"
            )
        vectors = items.reshape(*items.shape[:-2], items.size(-2) * num_vectors, dim)
        if vectors.dim() == 2:  # one matrix product for the whole batch
            rows = self._pairs(interests.reshape(-1, dim), vectors)
            scores = rows.view(*interests.shape[:-1], vectors.size(0))
        else:
            scores = self._pairs(interests, vectors)
        if num_vectors == 1:
            return scores
        return scores.view(*scores.shape[:-1], items.size(-2), num_vectors).amax(-1)

    def _pairs(self, left: Tensor, right: Tensor) -> Tensor:
        scores = self.pairwise(left, right)
        if scores.shape != (*left.shape[:-1], right.size(-2)):
            raise ValueError(
                f"'pairwise' of {type(self).__name__} must give [..., n, m] for [..., n, dim] and [..., m, dim] (got "
                f"{list(scores.shape)} for {list(left.shape)} and {list(right.shape)})"
            )
        return scores

    @abstractmethod
    def pairwise(self, left: Tensor, right: Tensor) -> Tensor:
        """Score all pairs of rows: ``[..., n, dim]`` and ``[..., m, dim]`` give ``[..., n, m]``."""


class InnerProduct(Similarity):
    """The inner product, the score of training, evaluation and serving.

    Example:
        >>> import torch
        >>> InnerProduct()(torch.eye(2)[None], torch.tensor([[2.0, 1.0]]))
        tensor([[[2.],
                 [1.]]])
    """

    linear = True

    def pairwise(self, left: Tensor, right: Tensor) -> Tensor:
        """Return the inner products of all pairs of rows."""
        if right.dim() > 2 and right.size(-2) == 1:  # one item per user: half the time of many tiny matrix products
            return (left * right).sum(-1, keepdim=True)
        return left @ right.transpose(-1, -2)


class Cosine(Similarity):
    """The cosine of the angle between interest and item, in ``[-1, 1]``; 0 with gradient 0 for a zero vector.

    Lists are made by inner products: train by cosines with vectors of length one (``normalize`` of the models).

    Example:
        >>> import torch
        >>> Cosine()(torch.eye(2)[None], torch.tensor([[3.0, 4.0]]))
        tensor([[[0.6000],
                 [0.8000]]])
    """

    def pairwise(self, left: Tensor, right: Tensor) -> Tensor:
        """Return the cosines of all pairs of rows."""
        return unit(left) @ unit(right).transpose(-1, -2)


class NegativeDistance(Similarity):
    """The Euclidean distance with a minus sign, at most 0.

    The gradient at distance 0 is 0. Where items are shared by the batch, distances come out of a matrix product, which
    takes a tenth of the time: those below about a thousandth of the vectors' lengths are then rounding errors, or 0.
    Items of each user have no second derivatives. Lists are made by inner products, which rank as distances do where
    vectors have length one (``normalize`` of the models).

    Example:
        >>> import torch
        >>> NegativeDistance()(torch.tensor([[[0.0, 0.0], [3.0, 0.0]]]), torch.tensor([[3.0, 4.0]]))
        tensor([[[-5.],
                 [-4.]]])
    """

    def pairwise(self, left: Tensor, right: Tensor) -> Tensor:
        """Return the negative distances of all pairs of rows."""
        mode = "donot_use_mm_for_euclid_dist" if right.dim() > 2 else "use_mm_for_euclid_dist_if_necessary"
        return -torch.cdist(widened(left), widened(right), compute_mode=mode)


class ProjectedInnerProduct(Similarity):
    """The inner product after one linear map for interests and another for items.

    The affinity of BaM-l (`BaM <https://github.com/jlunits2/BaM>`_, IEEE BigData 2024), published. Where it only
    decides which interest is drawn, no gradient reaches the maps and they stay random projections; in a soft selector
    (:class:`~graphmi.nn.SoftmaxSelector`) they learn.

    Args:
        embedding_dim: Width of interests and items, at least 1.
        projected_dim: Width of the space in which they meet, at least 1.

    Raises:
        ValueError: A width is below 1, or in use vectors have another.

    Example:
        >>> import torch
        >>> affinity = ProjectedInnerProduct(embedding_dim=2, projected_dim=1)
        >>> ones = [torch.nn.init.ones_(each) for each in affinity.parameters()]  # maps and biases
        >>> interests, item = torch.tensor([[[1.0, 0.0], [0.0, 3.0]]]), torch.tensor([[2.0, 1.0]])
        >>> affinity(interests, item).detach()  # (1 + 1) * (3 + 1) and (3 + 1) * (3 + 1)
        tensor([[[ 8.],
                 [16.]]])
    """

    def __init__(self, embedding_dim: int, projected_dim: int = 16) -> None:
        super().__init__()
        at_least(1, embedding_dim=embedding_dim, projected_dim=projected_dim)
        self.interest = nn.Linear(embedding_dim, projected_dim)
        self.item = nn.Linear(embedding_dim, projected_dim)

    def pairwise(self, left: Tensor, right: Tensor) -> Tensor:
        """Return the inner products of all pairs of mapped rows.

        Raises:
            ValueError: The rows have another width.
        """
        require_width(self, self.interest, left)
        scores: Tensor = self.interest(left) @ self.item(right).transpose(-1, -2)
        return scores


def require_width(part: nn.Module, layer: nn.Linear, interests: Tensor) -> None:
    """Check that a layer of a part fits the interests.

    Raises:
        ValueError: They have another width.
    """
    if interests.size(-1) != layer.in_features:
        raise ValueError(
            f"{type(part).__name__} has 'embedding_dim' {layer.in_features}, but the interests are "
            f"{interests.size(-1)} wide: give it the width of the model"
        )
