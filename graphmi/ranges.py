"""Checks of arguments that many parts share."""

import math
from collections.abc import Sequence

__all__ = ["at_least", "is_share", "one_of", "positive"]


def at_least(least: float, **values: int | float | None) -> None:
    """Raise a ``ValueError`` that names the first of these arguments below the least or infinite; ``None`` passes.

    Whole numbers beyond 64 bits are refused, too, which no tensor takes.
    """
    for name, value in values.items():
        if isinstance(value, int) and value >= 2**63:
            raise ValueError(f"'{name}' must be below 2**63 (got {value})")
        if value is not None and not least <= value < math.inf:
            raise ValueError(f"'{name}' must be at least {least}{' and finite' * (value == math.inf)} (got {value})")


def positive(**values: float | None) -> None:
    """Raise a ``ValueError`` that names the first of these arguments not above 0 or infinite; ``None`` passes."""
    for name, value in values.items():
        if value is not None and not 0 < value < math.inf:
            raise ValueError(f"'{name}' must be positive{' and finite' * (value == math.inf)} (got {value})")


def is_share(**values: float) -> None:
    """Raise a ``ValueError`` that names the first of these arguments outside of ``[0, 1)``."""
    for name, value in values.items():
        if not 0 <= value < 1:
            raise ValueError(f"'{name}' must be in [0, 1) (got {value})")


def one_of(choices: Sequence[str], **values: str) -> None:
    """Raise a ``ValueError`` that names the first of these arguments that is none of the choices."""
    for name, value in values.items():
        if value not in choices:
            *others, last = map(repr, choices)
            raise ValueError(f"'{name}' must be {', '.join(others)} or {last} (got {value!r})")
