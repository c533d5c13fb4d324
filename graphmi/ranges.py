"""Checks of arguments that many parts share."""

import math

__all__ = ["at_least", "is_share", "positive"]


def at_least(least: float, **values: float | None) -> None:
    """Raise a ``ValueError`` that names the first of these arguments below the least or infinite; ``None`` passes."""
    for name, value in values.items():
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
