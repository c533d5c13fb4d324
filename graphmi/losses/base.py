"""What every loss is, and the sum of several."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import cast

from torch import Tensor, nn

from graphmi.typing import Negatives, Representations

__all__ = ["Loss", "SumLoss", "unique_names"]


class Loss(nn.Module, ABC):
    """A loss over representations; losses add up with ``+``."""

    @abstractmethod
    def terms(
        self,
        out: Representations,
        positive: Tensor,
        negatives: Negatives,
        row: Tensor | None = None,
        user: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Return the scalar terms of the loss by name, weighted, means over positives.

        Args:
            out: The model's output for the batch.
            positive: Item ids, ``[batch]``, or ``[num_positives]`` with ``row``.
            negatives: What the sampler drew for these users.
            row: Which user of the batch each positive belongs to, ``[num_positives]``; ``None`` where it is one each.
            user: Whose each positive is, ids ``[batch]``, where a user has several entries in the batch, as in those of
                a ``PrefixLoader``; ``None`` where that does not matter.
        """

    def totals(self, positive: Tensor, row: Tensor | None = None, user: Tensor | None = None) -> dict[str, Tensor]:
        """Return what each term is a mean over: how many positives there are, or the sum of their weights.

        Several processes add up the terms of their parts of a batch in this proportion.

        Args:
            positive: As in :meth:`terms`, like the arguments after it.
            row: Which user each positive belongs to.
            user: Whose each positive is.

        Raises:
            ValueError: A term is no sum over positives.
        """
        raise ValueError(
            f"{type(self).__name__} does not say what its terms are means over ('Loss.totals'), and several processes "
            "have to know it: train in one"
        )

    def forward(
        self,
        out: Representations,
        positive: Tensor,
        negatives: Negatives,
        row: Tensor | None = None,
        user: Tensor | None = None,
    ) -> Tensor:
        """Return the sum of the terms, a scalar."""
        first, *rest = self.terms(out, positive, negatives, row, user).values()
        return sum(rest, start=first)

    def __add__(self, other: "Loss") -> "SumLoss":
        return SumLoss([self, other])


class SumLoss(Loss):
    """The sum of several losses on the same negatives.

    Args:
        losses: What is added up; at least one.

    Raises:
        ValueError: There is no loss.

    Example:
        >>> import torch
        >>> from graphmi.losses import BPRLoss, MultiInterestLoss, SampledSoftmaxLoss
        >>> from graphmi.nn import SelectReadout
        >>> from graphmi.typing import Negatives, Representations
        >>> loss = SumLoss([MultiInterestLoss(SelectReadout(), each) for each in (BPRLoss(), SampledSoftmaxLoss())])
        >>> out = Representations(interests=torch.eye(2).unsqueeze(0), items=torch.tensor([[2.0, 1.0], [1.0, 0.0]]))
        >>> loss.terms(out, torch.tensor([0]), Negatives(torch.tensor([1])))  # both log(1 + e^(1 - 2))
        {'BPRLoss': tensor(0.3133), 'SampledSoftmaxLoss': tensor(0.3133)}
    """

    def __init__(self, losses: Sequence[Loss]) -> None:
        super().__init__()
        if not losses:
            raise ValueError("'losses' must name at least one loss (got none)")
        self.losses = nn.ModuleList(losses)

    def terms(
        self,
        out: Representations,
        positive: Tensor,
        negatives: Negatives,
        row: Tensor | None = None,
        user: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Return the terms of all losses; a name that repeats is numbered."""
        losses = cast(Iterable[Loss], self.losses)
        terms = [loss.terms(out, positive, negatives, row, user) for loss in losses]
        return unique_names(term for each in terms for term in each.items())

    def totals(self, positive: Tensor, row: Tensor | None = None, user: Tensor | None = None) -> dict[str, Tensor]:
        """Return the totals of all losses, by the names of their terms."""
        losses = cast(Iterable[Loss], self.losses)
        return unique_names(total for loss in losses for total in loss.totals(positive, row, user).items())


def unique_names(named: Iterable[tuple[str, Tensor]]) -> dict[str, Tensor]:
    """Return scalars by name; a name that repeats is numbered."""
    terms: dict[str, Tensor] = {}
    for name, value in named:
        unique, number = name, 2
        while unique in terms:
            unique, number = f"{name}_{number}", number + 1
        terms[unique] = value
    return terms
