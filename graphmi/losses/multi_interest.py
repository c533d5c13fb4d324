"""The composition of readout, weighting, objective and regularizers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from graphmi.losses.base import Loss, unique_names
from graphmi.losses.blocks import partition_in_blocks
from graphmi.losses.distinct import distinct
from graphmi.losses.gather import cheaper_at_once, gather, negative_vectors, pick
from graphmi.losses.hits import Hits, accidental_hits
from graphmi.losses.objectives import Objective
from graphmi.losses.pairs import multiplicity, pair_by_pair
from graphmi.losses.products import NegativeVectors
from graphmi.losses.regularizers import Regularizer
from graphmi.losses.weighting import UniformWeighting, Weighting
from graphmi.nn.readout import Readout, Scores
from graphmi.typing import ItemTable, Negatives, Representations

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
        """Return the objective and each weighted regularizer by class name."""
        shared = None if row is None else self._shared(out, positive, negatives, row)
        if row is not None and (shared is None or len(self.regularizers)):
            out, negatives = pair_by_pair(out, negatives, row)
        loss = self._objective(out, positive, negatives) if shared is None else shared  # [num_positives]
        named = [(type(self.objective).__name__, self._mean(loss, user if row is None else row))]
        for weight, regularizer in zip(self.weights, self.regularizers, strict=True):
            named.append((type(regularizer).__name__, weight * regularizer(out, positive, negatives)))
        return unique_names(named)

    def totals(self, positive: Tensor, row: Tensor | None = None, user: Tensor | None = None) -> dict[str, Tensor]:
        """Return the sum of the weights of the positives, and what the regularizers are means over."""
        count = torch.tensor(float(len(positive)), dtype=torch.float64)
        owner = user if row is None else row
        total = self._weight(owner).sum() if self.user_balance else count
        penalties = [(type(part).__name__, part.total(count)) for part in self.regularizers]  # type: ignore[operator]
        return unique_names([(type(self.objective).__name__, total), *penalties])

    def _objective(self, out: Representations, positive: Tensor, negatives: Negatives) -> Tensor:
        loss = self._by_products(out, positive, negatives)
        if loss is not None:
            return loss
        at_once = cheaper_at_once(out, negatives)
        scores = self.readout(
            out.interests,
            gather(out.items, positive).unsqueeze(1),
            out.items if at_once else negative_vectors(out.items, negatives),
            out.interest_mask,
        )
        if at_once:
            scores = pick(scores, negatives.item)
        if negatives.block_size is not None:
            return self._in_blocks(scores, out.items, positive, negatives)
        valid, hits = self._valid(positive, negatives)
        correction = self._correction(scores, negatives, valid)
        objective = self.objective.for_catalogue(len(out.items))
        if hits is None:
            loss = objective(scores.pos, scores.neg, correction)
        else:
            loss = objective.compare(scores.pos, objective.partition(scores.neg, correction, hits))
        return loss if scores.weight is None else scores.combine(loss, scores.weight)

    def _by_products(
        self, out: Representations, positive: Tensor, negatives: Negatives, row: Tensor | None = None
    ) -> Tensor | None:
        """Return the objective without computing single negative scores, where a softmax needs only their log-sum-exp.

        ``None`` where that is not possible.
        """
        products = (
            self.objective.softmax
            and type(self.weighting) is UniformWeighting
            and not _learned(negatives.log_q, negatives.pos_log_q)
            and isinstance(out.items, Tensor)
            and out.items.size(-1) == out.interests.size(-1)
            and negatives.item.dim() == 1
            and negatives.block_size is None
        )
        if not products:
            return None

        def negatives_of(query: Tensor) -> NegativeVectors:
            few = distinct(negatives) if self.weighting.log_q else negatives  # it counts draws in log_q
            valid, hits = self._valid(positive, few, row)
            pos_log_q = None if few.pos_log_q is None else few.pos_log_q.unsqueeze(-1)
            correction = self.weighting(query, few.log_q, None, pos_log_q)
            if correction is not None and correction.dim() == 2:
                correction = correction.unsqueeze(1)
            return NegativeVectors(negative_vectors(out.items, few), correction, hits, valid)

        def partition(query: Tensor) -> Tensor:
            found: Tensor = self.objective.partition_of_products(query, negatives_of(query))
            return found

        vectors, temperature = gather(out.items, positive).unsqueeze(1), self.objective.temperature
        if row is None and not self.user_balance:  # rows that weigh alike
            found = self.readout.as_products(out.interests, vectors, temperature, out.interest_mask)
            if found is not None:
                query, pos = found
                return self.objective.of_products(pos, query, negatives_of(query))
        scores = self.readout.partitioned(out.interests, vectors, partition, temperature, out.interest_mask, row)
        if scores is None:
            return None
        loss: Tensor = self.objective.compare(scores.pos, scores.neg)
        return loss if scores.weight is None else scores.combine(loss, scores.weight)

    def _valid(
        self, positive: Tensor, negatives: Negatives, row: Tensor | None = None
    ) -> tuple[Tensor | None, Hits | None]:
        """Return which negatives count, ``[batch, num_negatives]`` or ``None`` for all, but for a few hits."""
        if row is not None:  # the negatives of users exclude all of their positives
            return negatives.valid, None
        if self.objective.softmax and self.weighting.one_by_one:
            return negatives.valid, accidental_hits(positive, negatives)
        other = negatives.item != positive.unsqueeze(-1)  # [batch, num_negatives]
        if other.device.type == "cpu" and not torch.compiler.is_compiling() and bool(other.all()):
            return negatives.valid, None  # weights that are all alike need not be computed
        return other if negatives.valid is None else negatives.valid & other, None

    def _shared(self, out: Representations, positive: Tensor, negatives: Negatives, row: Tensor) -> Tensor | None:
        """Return the objective with the negatives scored once per user, or ``None`` where that is not possible."""
        if not negatives.excludes_known or negatives.pos_log_q is not None:
            return None
        loss = self._by_products(out, positive, negatives, row)
        if loss is not None:
            return loss
        vectors = gather(out.items, positive), negative_vectors(out.items, negatives)
        column = positive if negatives.all_items and negatives.block_size is None else None
        scores = self.readout.grouped(out.interests, *vectors, row, out.interest_mask, column)
        if scores is None:
            return None
        if negatives.block_size is not None:
            return self._in_blocks(scores, out.items, None, negatives, row)
        correction = self._correction(scores, negatives, negatives.valid)
        objective = self.objective.for_catalogue(len(out.items))
        loss = objective.grouped(scores.pos, scores.neg, correction, row)
        return loss if scores.weight is None else scores.combine(loss, scores.weight)

    def _in_blocks(
        self,
        scores: Scores,
        items: Tensor | ItemTable,
        positive: Tensor | None,
        negatives: Negatives,
        row: Tensor | None = None,
    ) -> Tensor:
        """Return the objective with all items as negatives, scored block by block."""
        if not self.weighting.one_by_one:
            raise ValueError(
                f"{type(self.weighting).__name__} compares all negatives of a user and cannot take them in blocks: use "
                "UniformWeighting, or AllItemsSampler without 'block_size'"
            )

        def reduce(neg: Tensor, valid: Tensor | None) -> Tensor:
            return self.objective.partition(neg, self._correction(scores._replace(neg=neg), negatives, valid))

        partition = partition_in_blocks(reduce, self._scorer(scores), items, positive, negatives)
        if row is not None:
            partition = partition.index_select(0, row)
        loss = self.objective.compare(scores.pos, partition)
        return loss if scores.weight is None else scores.combine(loss, scores.weight)

    def _scorer(self, scores: Scores) -> Callable[[Tensor], Tensor]:
        if scores.score is None:
            raise ValueError(
                f"{type(self.readout).__name__} does not say how it scores further items ('Scores.score') and cannot "
                "take them in blocks: use AllItemsSampler without 'block_size'"
            )
        return scores.score

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

    def _correction(self, scores: Scores, negatives: Negatives, valid: Tensor | None) -> Tensor | None:
        log_q, pos_log_q = negatives.log_q, negatives.pos_log_q
        if pos_log_q is not None:
            pos_log_q = pos_log_q.unsqueeze(-1)
        if scores.weight is not None:  # a loss per interest: [batch, num_interests, num_negatives]
            valid = valid.unsqueeze(1) if valid is not None else None
            log_q = log_q.unsqueeze(1) if log_q is not None and log_q.dim() == 2 else log_q
            pos_log_q = None if pos_log_q is None else pos_log_q.unsqueeze(1)
        correction: Tensor | None = self.weighting(scores.neg, log_q, valid, pos_log_q)
        return correction


def _learned(*log_q: Tensor | None) -> bool:
    """Return whether a proposal has a gradient, which products without single scores do not give."""
    return any(part is not None and part.requires_grad for part in log_q)
