"""Checks of what models, readouts and objectives return: torch would broadcast most mistakes to a wrong number."""

from torch import Tensor, nn

from graphmi.losses.objectives import Objective
from graphmi.nn.readout import Readout, Scores
from graphmi.typing import Negatives, Representations

__all__ = ["checked_loss", "checked_penalty", "checked_scores", "require_rows"]


def require_rows(out: Representations, positive: Tensor, negatives: Negatives, row: Tensor | None) -> None:
    """Check that a model answered for the positives.

    Args:
        out: The model's output.
        positive: Item ids, ``[batch]``, or ``[num_positives]`` with ``row``.
        negatives: What the sampler drew.
        row: Which user each positive belongs to, ``[num_positives]``; ``None`` where it is one each.

    Raises:
        ValueError: If interests or positives have another shape, or the negatives are something else.
    """
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


def checked_loss(objective: Objective, loss: Tensor, scores: Scores) -> Tensor:
    """Return the loss of an objective.

    Raises:
        ValueError: If there is not one for each positive score.
    """
    if loss.shape != scores.pos.shape:
        raise ValueError(
            f"{type(objective).__name__} must give a loss for each positive score, {list(scores.pos.shape)} (got "
            f"{list(loss.shape)}): the mean over them is taken later"
        )
    return loss


def checked_penalty(regularizer: nn.Module, penalty: Tensor) -> Tensor:
    """Return the penalty of a regularizer.

    Raises:
        ValueError: If it is not one number.
    """
    if isinstance(penalty, Tensor) and penalty.dim():
        raise ValueError(
            f"{type(regularizer).__name__} must give a scalar, such as a mean over users (got {list(penalty.shape)})"
        )
    return penalty
