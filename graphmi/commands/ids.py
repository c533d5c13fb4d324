"""Ids of users and items on the command line."""

from bisect import bisect

from graphmi.data import Vocabulary
from graphmi.usage import UsageError

__all__ = ["find_id"]


def find_id(vocabulary: Vocabulary, value: str, what: str) -> int:
    """Return the index of an id.

    Args:
        vocabulary: All ids.
        value: The id.
        what: ``"user"`` or ``"item"``, for the message.

    Raises:
        UsageError: If it is not one of them; names the nearest ones.
    """
    if bool(vocabulary.contains([value])):
        return int(vocabulary.encode([value]))
    try:
        place = bisect(vocabulary.ids, int(value) if vocabulary.ids.dtype.is_integer() else value)
    except ValueError:
        raise UsageError(
            f"no {what} has the id '{value}': ids are whole numbers, such as {vocabulary.ids[0]}"
        ) from None
    near = " and ".join(str(one) for one in vocabulary.ids[max(0, place - 1) : place + 1])
    raise UsageError(f"no {what} has the id '{value}' (nearest of the {len(vocabulary):,} ids: {near})")
