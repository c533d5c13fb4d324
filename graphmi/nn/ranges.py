"""Checks of arguments that many layers share."""

__all__ = ["at_least_one", "is_share"]


def at_least_one(**sizes: int) -> None:
    """Raise a ``ValueError`` that names the first of these arguments below 1."""
    for name, value in sizes.items():
        if value < 1:
            raise ValueError(f"{name!r} must be at least 1 (got {value})")


def is_share(**shares: float) -> None:
    """Raise a ``ValueError`` that names the first of these arguments outside of ``[0, 1)``."""
    for name, value in shares.items():
        if not 0 <= value < 1:
            raise ValueError(f"{name!r} must be in [0, 1) (got {value})")
