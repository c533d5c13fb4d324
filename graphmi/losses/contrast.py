"""Each positive against its negatives: one loss, computed in the cheapest of several ways that is possible."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from graphmi.losses.blocks import PartitionInBlocks, partition_in_blocks
from graphmi.losses.distinct import distinct
from graphmi.losses.gather import cheaper_at_once, gather, negative_vectors, pick
from graphmi.losses.hits import Hits, Places, accidental_hits
from graphmi.losses.in_cache import NegativeVectors
from graphmi.losses.objectives import Objective
from graphmi.losses.picked import picked_products
from graphmi.losses.shapes import checked_correction, checked_loss, checked_scores
from graphmi.losses.weighting import UniformWeighting, Weighting
from graphmi.nn.readout import Readout, Scores
from graphmi.nn.readout.base import Partition
from graphmi.typing import ItemTable, Negatives, Representations

__all__ = ["Contrast"]


@dataclass(frozen=True)
class Contrast:
    """The loss of each positive: a readout scores, a weighting corrects the negatives, an objective compares.

    Attributes:
        readout: Turns interests and items into one score per item.
        objective: The loss of a positive score against negative scores.
        weighting: Corrects the negative scores.
        alike: Whether all positives count alike in the end, on which the cheapest way relies.
    """

    readout: Readout
    objective: Objective
    weighting: Weighting
    alike: bool

    def of_pairs(self, out: Representations, positive: Tensor, negatives: Negatives) -> Tensor:
        """Return the loss of each row, which has one positive, ``[batch]``.

        Args:
            out: The model's output.
            positive: Item ids, ``[batch]``.
            negatives: What was drawn; a negative that is the positive itself does not count.

        Raises:
            ValueError: If the negatives come in blocks, which one of the three cannot take.
        """
        vectors = gather(out.items, positive)
        loss = self._by_products(out, positive, vectors, negatives)
        if loss is not None:
            return loss
        scores = checked_scores(self.readout, self._scores(out, vectors, negatives), len(positive))
        if negatives.block_size is not None:
            return self._in_blocks(scores, out.items, positive, negatives)
        valid, hits = self._valid(positive, negatives)
        correction = self._correction(scores, negatives, valid)
        objective = self.objective.for_catalogue(len(out.items))
        if hits is None:
            loss = objective(scores.pos, scores.neg, correction)
        else:
            loss = objective.compare(scores.pos, objective.partition(scores.neg, correction, hits))
        return self._of_rows(loss, scores)

    def _scores(self, out: Representations, vectors: Tensor, negatives: Negatives) -> Scores:
        """Return what the readout makes of the batch; negatives of each row come out of all items where that pays."""
        items, vectors, mask = out.items, vectors.unsqueeze(1), out.interest_mask
        at_once = cheaper_at_once(out, negatives)
        if at_once and isinstance(items, Tensor) and items.size(-1) == out.interests.size(-1):
            found = self.readout.as_products(out.interests, vectors, self.objective.temperature, mask)
            if found is not None and found[0].size(1) == 1:  # then the scores are its products
                return Scores(found[1], picked_products(found[0].squeeze(1), items, negatives.item))
        negative = items if at_once else negative_vectors(items, negatives)
        scores: Scores = self.readout(out.interests, vectors, negative, mask)
        return pick(scores, negatives.item) if at_once else scores

    def of_users(self, out: Representations, positive: Tensor, negatives: Negatives, row: Tensor) -> Tensor | None:
        """Return the loss of each positive, ``[num_positives]``, with the negatives scored once per user.

        Args:
            out: The model's output.
            positive: Item ids, ``[num_positives]``.
            negatives: What was drawn for each user.
            row: Which user of the batch each positive belongs to, ``[num_positives]``.

        Returns:
            The loss; ``None`` where that is not possible.

        Raises:
            ValueError: If the negatives come in blocks, which one of the three cannot take.
        """
        if not negatives.excludes_known:
            return None
        vectors = gather(out.items, positive)
        loss = self._by_products(out, positive, vectors, negatives, row)
        if loss is not None:
            return loss
        negative = negative_vectors(out.items, negatives)
        column = positive if negatives.all_items and negatives.block_size is None else None
        scores = self.readout.grouped(out.interests, vectors, negative, row, out.interest_mask, column)
        if scores is None:
            return None
        scores = checked_scores(self.readout, scores, len(positive))
        if negatives.block_size is not None:
            return self._in_blocks(scores, out.items, None, negatives, row)
        correction = self._correction(scores, negatives, negatives.valid)
        objective = self.objective.for_catalogue(len(out.items))
        return self._of_rows(objective.grouped(scores.pos, scores.neg, correction, row), scores)

    def _by_products(
        self,
        out: Representations,
        positive: Tensor,
        vectors: Tensor,
        negatives: Negatives,
        row: Tensor | None = None,
    ) -> Tensor | None:
        """Return the objective without computing single negative scores, where a softmax needs only their log-sum-exp.

        ``None`` where that is not possible.
        """
        products = (
            self.objective.softmax
            and type(self.weighting) is UniformWeighting
            and not _learned(negatives.log_q, negatives.pos_log_q)
            and vectors.size(-1) == out.interests.size(-1)
            and negatives.item.dim() == 1
            and len(negatives.item) > 0
            and (negatives.block_size is None or (negatives.log_q is None and negatives.pos_log_q is None))
        )
        if not products:
            return None
        vectors, temperature = vectors.unsqueeze(1), self.objective.temperature

        def negatives_of(query: Tensor) -> NegativeVectors:
            few = distinct(negatives) if self.weighting.log_q else negatives  # it counts draws in log_q
            valid, hits = self._valid(positive, few, row)
            pos_log_q = None if few.pos_log_q is None else few.pos_log_q.unsqueeze(-1)
            correction = self.weighting(query, few.log_q, None, pos_log_q)
            if correction is not None and correction.dim() == 2:
                correction = correction.unsqueeze(1)
            return NegativeVectors(negative_vectors(out.items, few), correction, hits, valid)

        if row is None and self.alike and negatives.block_size is None:
            found = self.readout.as_products(out.interests, vectors, temperature, out.interest_mask)
            if found is not None:
                query, pos = found
                return self.objective.of_products(pos, query, negatives_of(query))
        places = Places(row, positive) if row is not None and negatives.all_items else None
        partition: Partition = _Partition(self.objective, negatives_of, places)
        if negatives.block_size is not None:
            partition = PartitionInBlocks(self.objective, out.items, positive if row is None else None, negatives)
        scores = self.readout.partitioned(out.interests, vectors, partition, temperature, out.interest_mask, row)
        if scores is None:
            return None
        return self._of_rows(self.objective.compare(scores.pos, scores.neg), scores)

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

    def _in_blocks(
        self,
        scores: Scores,
        items: Tensor | ItemTable,
        positive: Tensor | None,
        negatives: Negatives,
        row: Tensor | None = None,
    ) -> Tensor:
        """Return the objective with all items as negatives, scored block by block."""
        if not self.objective.softmax:
            raise ValueError(
                f"{type(self.objective).__name__} cannot take its negatives in blocks: use SampledSoftmaxLoss, or "
                "AllItemsSampler without 'block_size'"
            )
        if not self.weighting.one_by_one:
            raise ValueError(
                f"{type(self.weighting).__name__} compares all negatives of a user and cannot take them in blocks: use "
                "UniformWeighting, or AllItemsSampler without 'block_size'"
            )
        if negatives.log_q is not None:
            raise ValueError("negatives in blocks are all items, each once: a sampler must give no 'log_q' with them")
        score = scores.score
        if score is None:
            raise ValueError(
                f"{type(self.readout).__name__} does not say how it scores further items ('Scores.score') and cannot "
                "take them in blocks: use AllItemsSampler without 'block_size'"
            )

        def partition(vectors: Tensor, hits: Hits | None, valid: Tensor | None) -> Tensor:
            neg = score(vectors)
            return self.objective.partition(neg, self._correction(scores._replace(neg=neg), negatives, valid), hits)

        total = partition_in_blocks(partition, items, positive, negatives)
        if row is not None:
            total = total.index_select(0, row)
        return self._of_rows(self.objective.compare(scores.pos, total), scores)

    def _correction(self, scores: Scores, negatives: Negatives, valid: Tensor | None) -> Tensor | None:
        log_q, pos_log_q = negatives.log_q, negatives.pos_log_q
        if pos_log_q is not None:
            pos_log_q = pos_log_q.unsqueeze(-1)
        if scores.weight is not None:  # a loss per interest: [batch, num_interests, num_negatives]
            valid = valid.unsqueeze(1) if valid is not None else None
            log_q = log_q.unsqueeze(1) if log_q is not None and log_q.dim() == 2 else log_q
            pos_log_q = None if pos_log_q is None else pos_log_q.unsqueeze(1)
        correction = self.weighting(scores.neg, log_q, valid, pos_log_q)
        return checked_correction(self.weighting, correction, scores.neg)

    def _of_rows(self, loss: Tensor, scores: Scores) -> Tensor:
        """Return one loss per row, where each interest may make one of its own."""
        loss = checked_loss(self.objective, loss, scores)
        return loss if scores.weight is None else scores.combine(loss, scores.weight)


@dataclass  # frozen, torch below 2.13 does not compile it
class _Partition:
    """What a readout asks of an objective, with the negatives of a batch."""

    objective: Objective
    negatives_of: Callable[[Tensor], NegativeVectors]
    positives: Places | None

    def __call__(self, vectors: Tensor) -> Tensor:
        return self.objective.partition_of_products(vectors, self.negatives_of(vectors))

    def of_best(self, vectors: Tensor) -> tuple[Tensor, Tensor | None]:
        if self.positives is None and vectors.size(1) == 1:
            return self(vectors).squeeze(1), None
        nowhere = torch.empty(0, dtype=torch.int64, device=vectors.device)
        places = Places(nowhere, nowhere) if self.positives is None else self.positives
        found, best = self.objective.partition_of_best(vectors, self.negatives_of(vectors), places)
        return found, None if self.positives is None else best


def _learned(*log_q: Tensor | None) -> bool:
    """Return whether a proposal has a gradient, which products without single scores do not give."""
    return any(part is not None and part.requires_grad for part in log_q)
