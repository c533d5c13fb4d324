r"""What a positive and its negatives must look like: one loss per user, from scores alone.

Every objective takes the positive scores ``[...]``, the negative scores ``[..., num_negatives]`` and the weighting's
correction (broadcast to the negatives, ``None`` for zero), and returns a loss ``[...]``.

The softmax adds the correction to the scores. The pairwise and pointwise objectives, which see one negative at a
time, read it as log-weights that are normalised to a mean over the negatives: ``-inf`` removes a negative, and
:math:`\log w_j` lets negative :math:`j` count :math:`w_j` times. A row without any negative has a finite loss.
"""

from abc import ABC, abstractmethod

import torch.nn.functional as F
from torch import Tensor, nn

from graphmi.losses.best import best_of_all, products_at
from graphmi.losses.hits import Hits, Places
from graphmi.losses.in_cache import NegativeVectors
from graphmi.losses.partition import negative_weights
from graphmi.losses.products import over_vectors, without_invalid
from graphmi.nn.shortcuts import Shortcuts
from graphmi.ranges import at_least

__all__ = ["BCELoss", "BPRLoss", "Objective", "TripletLoss", "require_scores"]


def require_scores(pos: Tensor, neg: Tensor) -> None:
    """Check that there are negatives for each positive, which torch would compare with all of them.

    Raises:
        ValueError: The shapes are not ``[...]`` and ``[..., num_negatives]``.
    """
    if neg.shape[:-1] != pos.shape:
        raise ValueError(
            f"positive scores [...] need negative scores [..., num_negatives] (got {list(pos.shape)} and "
            f"{list(neg.shape)})"
        )


class Objective(Shortcuts, nn.Module, ABC):
    """A loss per user from the scores of its positive and negatives.

    Attributes:
        softmax: True where the loss depends on the negatives by their log-sum-exp alone, so that there is a
            :meth:`partition`. A subclass with a :meth:`forward` of its own is none unless it says so.
        temperature: What divides the scores in it; ``None`` where there is nothing like it.
    """

    shortcuts = (
        ("forward", "softmax", "grouped"),
        ("partition", "partition_of_products", "partition_of_best"),
        ("partition_of_products", "partition_of_best"),
    )
    softmax: bool = False
    temperature: float | None = None

    @abstractmethod
    def forward(self, pos: Tensor, neg: Tensor, correction: Tensor | None = None) -> Tensor:
        """Return the loss of each row, ``[...]``.

        Args:
            pos: ``[...]``.
            neg: ``[..., num_negatives]``.
            correction: Added to the negative scores, or read as log-weights; broadcast to ``neg``.
        """

    def grouped(self, pos: Tensor, neg: Tensor, correction: Tensor | None, row: Tensor) -> Tensor:
        """Return the loss of each positive, where ``row`` says which row of ``neg`` its negatives are.

        Args:
            pos: ``[num_positives, ...]``.
            neg: ``[batch, ..., num_negatives]``.
            correction: Broadcast to ``neg``.
            row: ``[num_positives]``.
        """
        if correction is not None:
            correction = correction.expand_as(neg).index_select(0, row)
        return self(pos, neg.index_select(0, row), correction)  # type: ignore[no-any-return]

    def partition(self, neg: Tensor, correction: Tensor | None = None, hits: Hits | None = None) -> Tensor:
        """Return all that :meth:`compare` needs to know of the negatives, ``[...]``.

        The values of several blocks of negatives make that of all by their log-sum-exp.

        Args:
            neg: ``[..., num_negatives]``.
            correction: Broadcast to ``neg``.
            hits: Negatives that do not count; :func:`graphmi.losses.hits.leave_out` leaves them out.
        """
        raise NotImplementedError

    def partition_of_products(self, query: Tensor, negatives: NegativeVectors) -> Tensor:
        """Return the :meth:`partition` of the inner products of vectors with those of the negatives.

        Args:
            query: ``[batch, num_vectors, dim]``.
            negatives: The vectors of the negatives, and which products count.

        Returns:
            ``[batch, num_vectors]``.
        """
        vectors, correction, hits, valid = negatives
        return self.partition(query @ vectors.T, without_invalid(correction, valid, query), hits)

    def partition_of_best(self, query: Tensor, negatives: NegativeVectors, places: Places) -> tuple[Tensor, Tensor]:
        """Return the :meth:`partition` of the largest product of a row's vectors with each negative, ``[batch]``.

        Args:
            query: ``[batch, num_vectors, dim]``.
            negatives: The vectors of the negatives, and which products count.
            places: Rows and negatives whose largest products come with it, ``[num_places]``.
        """
        if query.size(1) == 1:
            found = self.partition_of_products(query, negatives).squeeze(1)
            return found, products_at(places, query, negatives.vectors)
        return best_of_all(query, negatives, places, self.partition)

    def of_products(self, pos: Tensor, query: Tensor, negatives: NegativeVectors) -> Tensor:
        """Return the loss of each row, ``[batch]``, where all products of the row are scores of its negatives.

        Args:
            pos: ``[batch]``.
            query: As in :meth:`partition_of_products`.
            negatives: As in :meth:`partition_of_products`.
        """
        return self.compare(pos, over_vectors(self.partition_of_products(query, negatives)))

    def compare(self, pos: Tensor, partition: Tensor) -> Tensor:
        """Return the loss of each row, ``[...]``, from the positive scores and the :meth:`partition`."""
        raise NotImplementedError

    def for_catalogue(self, num_items: int) -> "Objective":
        """Return this objective for a catalogue of that size: itself, where its loss does not depend on the size."""
        return self


class BPRLoss(Objective):
    r"""Bayesian personalised ranking: :math:`\sum_j w_j \log(1 + e^{x_j - x_+})`, with weights that sum to one.

    `Rendle et al., UAI 2009 <https://arxiv.org/abs/1205.2618>`_. Without a correction this is the mean over the
    negatives.

    Example:
        >>> import torch
        >>> BPRLoss()(torch.tensor([2.0]), torch.tensor([[0.0, 2.0]]))
        tensor([0.4100])
    """

    def forward(self, pos: Tensor, neg: Tensor, correction: Tensor | None = None) -> Tensor:
        """Return the loss of each row, ``[...]``; 0 where no negative is left."""
        require_scores(pos, neg)
        return (negative_weights(neg, correction) * F.softplus(neg - pos.unsqueeze(-1))).sum(-1)


class TripletLoss(Objective):
    r"""A hinge: :math:`\sum_j w_j \max(0, x_j - x_+ + \text{margin})`, with weights that sum to one.

    Over :class:`~graphmi.nn.NegativeDistance` this is the triplet loss on distances (a reconstruction of
    `MTMI <https://arxiv.org/abs/2403.05122>`_'s).

    Args:
        margin: How far the positive must lead, at least 0.

    Raises:
        ValueError: The margin is negative.

    Example:
        >>> import torch
        >>> TripletLoss(margin=1.0)(torch.tensor([2.0]), torch.tensor([[0.0, 2.0]]))
        tensor([0.5000])
    """

    def __init__(self, margin: float = 1.0) -> None:
        super().__init__()
        at_least(0, margin=margin)
        self.margin = margin

    def forward(self, pos: Tensor, neg: Tensor, correction: Tensor | None = None) -> Tensor:
        """Return the loss of each row, ``[...]``; 0 where no negative is left."""
        require_scores(pos, neg)
        return (negative_weights(neg, correction) * F.relu(neg - pos.unsqueeze(-1) + self.margin)).sum(-1)


class BCELoss(Objective):
    r"""Binary cross entropy: :math:`-\log\sigma(x_+) - \sum_j w_j \log(1 - \sigma(x_j))`, weights that sum to one.

    With one negative this is the loss of `SASRec <https://arxiv.org/abs/1808.09781>`_.

    Example:
        >>> import torch
        >>> BCELoss()(torch.tensor([2.0]), torch.tensor([[0.0, 2.0]]))
        tensor([1.5370])
    """

    def forward(self, pos: Tensor, neg: Tensor, correction: Tensor | None = None) -> Tensor:
        """Return the loss of each row, ``[...]``; the positive's part alone where no negative is left."""
        require_scores(pos, neg)
        return F.softplus(-pos) + (negative_weights(neg, correction) * F.softplus(neg)).sum(-1)
