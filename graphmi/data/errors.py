"""The error for data that cannot be used as it is."""

__all__ = ["DataError", "given_as"]


class DataError(ValueError):
    """Data cannot be used as it is; the message is one sentence that names the value and the remedy."""


def given_as(option: str, value: str) -> str:
    """Return how an option of a file is given: as an argument of the function that reads it, and by the command."""
    return f"{option}='{value}' (by the command, --columns.{option}='{value}')"
