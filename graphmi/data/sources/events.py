"""Rows of one kind of event."""

from collections.abc import Sequence

import polars as pl

from graphmi.data.errors import DataError

__all__ = ["select_events"]


def select_events(table: pl.DataFrame, column: str, event: str, known: Sequence[str]) -> pl.DataFrame:
    """Return the rows with this event, or all rows for ``"all"``.

    Raises:
        DataError: If the event is not a known one.
    """
    if event == "all":
        return table
    if event not in known:
        raise DataError(f"'event' must be one of all, {', '.join(known)} (got {event!r})")
    return table.filter(pl.col(column) == event)
