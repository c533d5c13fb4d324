"""The error for data that cannot be used as it is."""

__all__ = ["DataError"]


class DataError(ValueError):
    """Data cannot be used as it is; the message is one sentence that names the value and the remedy."""
