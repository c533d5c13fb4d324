"""Checks of what models, readouts and objectives return: torch would broadcast most mistakes to a wrong number."""

import torch
from torch import Tensor, nn

from graphmi.losses.objectives import Objective
from graphmi.losses.weighting import Weighting
from graphmi.nn.readout import Readout, Scores
from graphmi.typing import Negatives, Representations

__all__ = ["checked_correction", "checked_loss", "checked_penalty", "checked_scores", "described", "require_rows"]


def require_rows(out: Representations, positive: Tensor, negatives: Negatives, row: Tensor | None) -> None:
    """Check that a model and a sampler answered for the positives.

    Args:
        out: The model's output.
        positive: Item ids, ``[batch]``, or ``[num_positives]`` with ``row``.
        negatives: What the sampler drew.
        row: Which user each positive belongs to, ``[num_positives]``; ``None`` where it is one each.

    Raises:
        ValueError: If interests, their mask, positives or negatives have another shape, or one is something else.
    """
    if not isinstance(out, Representations):
        raise ValueError(f"the model must return Representations(interests, items) (got a {type(out).__name__})")
    if not isinstance(negatives, Negatives):
        raise ValueError(
            f"'negatives' must be what a sampler returns, Negatives(item) (got a {type(negatives).__name__})"
        )
    shape, owner, of = out.interests.shape, positive, "one row for each positive"
    if row is not None:
        owner, of = row, f"and 'row' a user for each positive (got {list(row.shape)})"
    fits = len(shape) == 3 and positive.dim() == 1 and owner.shape == positive.shape
    if not fits or (row is None and shape[0] != len(positive)):
        raise ValueError(
            f"interests must be [batch, num_interests, dim], {of} (got {list(shape)} for {list(positive.shape)} "
            "positives): a single vector per user is [batch, 1, dim]"
        )
    if out.interest_mask is not None and out.interest_mask.shape != shape[:2]:
        raise ValueError(
            f"'interest_mask' must be [batch, num_interests], {list(shape[:2])} (got {list(out.interest_mask.shape)})"
        )
    _require_negatives(negatives, shape[0])


def _require_negatives(negatives: Negatives, batch: int) -> None:
    item, parts = negatives.item, (negatives.log_q, negatives.pos_log_q, negatives.valid)
    wanted = item.shape, (batch,), (batch, *item.shape[-1:])
    fits = item.dim() in (1, 2) and item.shape[:-1] in ((), (batch,)) and item.dtype == torch.int64
    if not fits or any(part is not None and part.shape != shape for part, shape in zip(parts, wanted, strict=True)):
        shapes = ", ".join(
            f"'{name}' {list(part.shape)}"
            for name, part in zip(("log_q", "pos_log_q", "valid"), parts, strict=True)
            if part is not None
        )
        raise ValueError(
            "a sampler must give 'item' [num_negatives] or [batch, num_negatives] of int64, 'log_q' of the same shape, "
            f"'pos_log_q' [batch] and 'valid' [batch, num_negatives]; the batch has {batch} rows (got 'item' "
            f"{list(item.shape)} of {item.dtype}{', ' * bool(shapes)}{shapes})"
        )


def checked_scores(readout: Readout, scores: Scores, num_positives: int) -> Scores:
    """Return the scores of a readout.

    Raises:
        ValueError: If they are something else, or not of the shapes that :class:`~graphmi.nn.Scores` names.
    """
    if not isinstance(scores, Scores):
        raise ValueError(f"{type(readout).__name__} must return Scores (got a {type(scores).__name__})")
    pos, neg, weight = scores.pos.shape, scores.neg.shape, None if scores.weight is None else scores.weight.shape
    if (
        pos[:1] != (num_positives,)
        or len(pos) != 1 + (weight is not None)
        or neg[1:-1] != pos[1:]
        or weight not in (None, pos)
    ):
        raise ValueError(
            f"{type(readout).__name__} must give 'pos' [batch] and 'neg' [batch, num_negatives], or with 'weight' "
            f"[batch, num_interests] of each interest; the batch has {num_positives} positives (got 'pos' {list(pos)}, "
            f"'neg' {list(neg)}, 'weight' {weight and list(weight)})"
        )
    return scores


def checked_correction(weighting: Weighting, correction: Tensor | None, neg: Tensor) -> Tensor | None:
    """Return the correction of a weighting.

    Raises:
        ValueError: If it is something else, or does not broadcast to the negative scores.
    """
    if correction is None:
        return None
    own, scores = getattr(correction, "shape", ())[::-1], neg.shape[::-1]
    fits = len(own) <= len(scores) and all(size in (1, other) for size, other in zip(own, scores, strict=False))
    if not isinstance(correction, Tensor) or not fits:
        raise ValueError(
            f"{type(weighting).__name__} must give a correction that broadcasts to the negative scores, "
            f"{list(neg.shape)} (got {described(correction)})"
        )
    return correction


def checked_loss(objective: Objective, loss: Tensor, scores: Scores) -> Tensor:
    """Return the loss of an objective.

    Raises:
        ValueError: If there is not one for each positive score.
    """
    if not isinstance(loss, Tensor) or loss.shape != scores.pos.shape:
        raise ValueError(
            f"{type(objective).__name__} must give a loss for each positive score, {list(scores.pos.shape)} (got "
            f"{described(loss)}): the mean over them is taken later"
        )
    return loss


def checked_penalty(regularizer: nn.Module, penalty: Tensor) -> Tensor:
    """Return the penalty of a regularizer.

    Raises:
        ValueError: If it is not one number.
    """
    if not isinstance(penalty, Tensor) or penalty.dim():
        raise ValueError(
            f"{type(regularizer).__name__} must give a scalar, such as a mean over users (got {described(penalty)})"
        )
    return penalty


def described(value: object) -> str:
    """Return the shape of a tensor, and of anything else the type, for an error."""
    return str(list(value.shape)) if isinstance(value, Tensor) else f"a {type(value).__name__}"
