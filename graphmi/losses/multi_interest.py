"""The composition of readout, weighting, objective and regularizers."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from graphmi.losses.base import Loss, unique_names
from graphmi.losses.contrast import Contrast
from graphmi.losses.objectives import Objective
from graphmi.losses.pairs import multiplicity, pair_by_pair
from graphmi.losses.regularizers import Regularizer
from graphmi.losses.shapes import checked_penalty, require_rows
from graphmi.losses.weighting import UniformWeighting, Weighting
from graphmi.nn.readout import Readout
from graphmi.typing import Negatives, Representations

__all__ = ["MultiInterestLoss", "Weighted"]


@dataclass(frozen=True)
class Weighted:
    """A regularizer and its weight.

    Attributes:
        weight: Multiplies the penalty.
        regularizer: The penalty.
    """

    weight: float
    regularizer: Regularizer


class MultiInterestLoss(Loss):
    """A readout scores, a weighting corrects the negatives, an objective compares; regularizers are added.

    A negative that is the positive itself never counts. Several positives of one user (``row``) give the same loss
    as the same pairs one by one; where readout and objective allow it, their negatives are scored once per user, where
    they exclude what the user knows. The positives must then be among that: pairs of the graph of the sampler. For
    others (those of validation) take ``reject_known=False``, or pairs without ``row``.

    Args:
        readout: Turns interests and items into one score per item.
        objective: The loss of a positive score against negative scores.
        weighting: Corrects the negative scores; :class:`UniformWeighting` unless given.
        regularizers: Weighted penalties; a pair ``(weight, regularizer)`` will do as well.
        user_balance: How much users count alike, from 0 to 1: each of the :math:`n` positives of a user in the batch
            weighs :math:`n^{-b}`. 0: every positive counts alike, so active users dominate; 1: every user does. Above 0
            it needs the batches of a ``UserLoader`` or a ``PrefixLoader``.

    Raises:
        ValueError: ``user_balance`` is out of its range.

    Example:
        >>> import torch
        >>> from graphmi.losses import InterestRepulsion, SampledSoftmaxLoss
        >>> from graphmi.nn import SelectReadout
        >>> from graphmi.typing import Negatives, Representations
        >>> items = torch.tensor([[2.0, 1.0], [1.0, 0.0], [0.0, 1.0]])
        >>> out = Representations(interests=torch.eye(2).unsqueeze(0), items=items)
        >>> loss = MultiInterestLoss(SelectReadout(), SampledSoftmaxLoss(), regularizers=[(0.1, InterestRepulsion())])
        >>> loss(out, torch.tensor([0]), Negatives(torch.tensor([1, 2])))
        tensor(0.2662)
        >>> loss.terms(out, torch.tensor([0]), Negatives(torch.tensor([1, 2])))
        {'SampledSoftmaxLoss': tensor(0.4076), 'InterestRepulsion': tensor(-0.1414)}
    """

    def __init__(
        self,
        readout: Readout,
        objective: Objective,
        weighting: Weighting | None = None,
        regularizers: Sequence[Weighted | tuple[float, Regularizer]] = (),
        user_balance: float = 0.0,
    ) -> None:
        super().__init__()
        if not 0 <= user_balance <= 1:
            raise ValueError(f"'user_balance' must be from 0 to 1 (got {user_balance})")
        self.user_balance = user_balance
        self.readout = readout
        self.objective = objective
        self.weighting = weighting if weighting is not None else UniformWeighting()
        pairs = [(r.weight, r.regularizer) if isinstance(r, Weighted) else r for r in regularizers]
        self.weights = [weight for weight, _ in pairs]
        self.regularizers = nn.ModuleList(regularizer for _, regularizer in pairs)

    def terms(
        self,
        out: Representations,
        positive: Tensor,
        negatives: Negatives,
        row: Tensor | None = None,
        user: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Return the objective and each weighted regularizer by class name.

        Raises:
            ValueError: If what model, sampler or a part of the loss gives has the wrong shape.
        """
        require_rows(out, positive, negatives, row)
        contrast = Contrast(self.readout, self.objective, self.weighting, alike=not self.user_balance)
        loss = None if row is None else contrast.of_users(out, positive, negatives, row)
        if row is not None and (loss is None or len(self.regularizers)):
            out, negatives = pair_by_pair(out, negatives, row)
        if loss is None:
            loss = contrast.of_pairs(out, positive, negatives)  # [num_positives]
        named = [(type(self.objective).__name__, self._mean(loss, user if row is None else row))]
        for weight, regularizer in zip(self.weights, self.regularizers, strict=True):
            penalty = checked_penalty(regularizer, regularizer(out, positive, negatives))
            named.append((type(regularizer).__name__, weight * penalty))
        return unique_names(named)

    def totals(self, positive: Tensor, row: Tensor | None = None, user: Tensor | None = None) -> dict[str, Tensor]:
        """Return the sum of the weights of the positives, and what the regularizers are means over."""
        count = torch.tensor(float(len(positive)), dtype=torch.float64)
        owner = user if row is None else row
        total = self._weight(owner).sum() if self.user_balance else count
        penalties = [(type(part).__name__, part.total(count)) for part in self.regularizers]  # type: ignore[operator]
        return unique_names([(type(self.objective).__name__, total), *penalties])

    def _mean(self, loss: Tensor, owner: Tensor | None) -> Tensor:
        if not self.user_balance:
            return loss.mean()
        weight = self._weight(owner).to(loss)
        return (weight * loss).sum() / weight.sum()

    def _weight(self, owner: Tensor | None) -> Tensor:
        """Return how much each positive counts, ``[num_positives]`` float64."""
        if owner is None:
            raise ValueError(
                f"'user_balance' = {self.user_balance} weighs the positives of whole users: use a UserLoader or a "
                "PrefixLoader, or 0"
            )
        return multiplicity(owner).double() ** -self.user_balance
