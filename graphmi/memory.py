"""What is said where memory is lacking."""

import re

__all__ = ["lack_of_memory"]


def lack_of_memory(error: BaseException) -> str | None:
    """Return what to say of an error where memory is lacking, else ``None``; torch has no type for it on the CPU."""
    found = re.search(r"(?:[Tt]ried|Unable) to allocate ([\d.]+ \w+)|size calculation overflowed", str(error))
    if found is None and not isinstance(error, MemoryError):
        return None
    wanted = f" for {found[1]} at once" if found and found[1] else ""
    return f"there is not enough memory{wanted}: make vectors, batches or the data smaller"
