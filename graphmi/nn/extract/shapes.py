"""What an extractor finds, whose shapes torch would broadcast to wrong numbers."""

from torch import Tensor, nn

from graphmi.nn.extract.base import Interests

__all__ = ["checked_interests"]


def checked_interests(
    extractor: nn.Module, found: Interests, mask: Tensor, dim: int, prefix: Tensor | None = None
) -> Interests:
    """Return what an :class:`~graphmi.nn.Extractor` finds.

    Args:
        extractor: The extractor.
        found: What it returned.
        mask: The real positions of the histories, ``[num_histories, length]``.
        dim: Size of the vectors.
        prefix: The beginnings of histories that were asked for, ``[batch]``; the histories when omitted.

    Raises:
        ValueError: If it is something else, or not of the shapes that :class:`~graphmi.nn.Interests` names.
    """
    name, length = type(extractor).__name__, mask.size(1)
    batch = mask.size(0) if prefix is None else prefix.size(0)  # len() would be a constant of an exported program
    if not isinstance(found, Interests):
        raise ValueError(f"{name} must return Interests (got a {type(found).__name__})")
    each = (batch, *found.interests.shape[1:2])
    wanted = (*each, dim), (*each, length), each, each
    if any(part is not None and part.shape != shape for part, shape in zip(found, wanted, strict=True)):
        got = [f"'{of}' {list(part.shape)}" for of, part in zip(found._fields, found, strict=True) if part is not None]
        raise ValueError(
            f"{name} must give 'interests' [batch, num_interests, dim], 'routing' [batch, num_interests, length], "
            "'interest_mask' and 'routing_variance' [batch, num_interests], where [batch, length, dim] is "
            f"{[batch, length, dim]} (got {', '.join(got)})"
        )
    return found
