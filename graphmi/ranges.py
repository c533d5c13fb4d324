"""Checks of arguments that many parts share."""

__all__ = ["at_least", "is_share", "positive"]


def at_least(least: float, **values: float | None) -> None:
    """Raise a ``ValueError`` that names the first of these arguments below the least; ``None`` passes."""
    for name, value in values.items():
        if value is not None and not value >= least:
            raise ValueError(f"'{name}' must be at least {least} (got {value})")


def positive(**values: float | None) -> None:
    """Raise a ``ValueError`` that names the first of these arguments that is not above 0; ``None`` passes."""
    for name, value in values.items():
        if value is not None and not value > 0:
            raise ValueError(f"'{name}' must be positive (got {value})")


def is_share(**values: float) -> None:
    """Raise a ``ValueError`` that names the first of these arguments outside of ``[0, 1)``."""
    for name, value in values.items():
        if not 0 <= value < 1:
            raise ValueError(f"'{name}' must be in [0, 1) (got {value})")
