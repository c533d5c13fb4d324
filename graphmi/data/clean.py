"""Columns of ids, times, weights and categories, checked and brought to one type each."""

from collections.abc import Iterable, Mapping, Set
from contextlib import suppress
from typing import Any, Literal

import numpy as np
import polars as pl

from graphmi.data.errors import DataError

__all__ = ["by_category", "clean_categories", "clean_ids", "clean_time", "clean_weight", "infer_ids", "to_series"]

_WHOLE = r"^(0|-?[1-9][0-9]*)$"  # no leading zeros: "007" and "7" are two ids
_NUMBER = r"^-?[0-9]+(\.[0-9]*)?$"
_DATE = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}"  # 01/02/2024 is in January for some and in February for others
_UNITS: dict[Literal["s", "ms", "us", "ns"], int] = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}  # in nanoseconds


def to_series(values: Any, what: str) -> pl.Series:
    """Return values as a series of one type.

    Args:
        values: A list, set or array, or what polars or pandas have in their place.
        what: How an error names the values.

    Raises:
        DataError: If they are a single value, or mix types.
    """
    if isinstance(values, pl.Series):
        return values
    if isinstance(values, str | bytes | Mapping) or not isinstance(values, Iterable):
        raise DataError(f"{what} must be a list, such as [{values!r}] (got {values!r})")
    if hasattr(values, "isna") and hasattr(values, "dtype"):
        values = _from_pandas(values)
    try:
        return pl.Series(list(values) if isinstance(values, Set) else values)
    except (TypeError, OverflowError):
        raise DataError(f"{what} mix types; make them all strings or all integers") from None


def infer_ids(ids: pl.Series, what: str) -> pl.Series:
    """Return ids read as text as integers where all of them are integers, else as categories; null for empty ones.

    Args:
        ids: ``String`` or ``Categorical`` values.
        what: How an error names the column.

    Raises:
        DataError: If all ids are numbers, but some are fractions or beyond 64 bits.
    """
    ids = ids.cast(pl.Categorical)
    names = ids.drop_nulls().unique()
    distinct = names.cast(pl.String)
    if (distinct == "").any():
        return pl.select(pl.when(ids.cast(pl.String) != "").then(ids)).to_series()
    if not distinct.str.contains(_NUMBER).all() or distinct.is_empty():
        return ids
    if not distinct.str.contains(_WHOLE).all():
        fractions = distinct.filter(distinct.str.contains(".", literal=True))
        if len(fractions):
            raise _float_ids(what, fractions.min())
        return ids
    numbers = distinct.cast(pl.Int64, strict=False)
    if numbers.null_count():
        raise _overflow(what, distinct.filter(numbers.is_null()).min())
    return by_category(ids, names, numbers)


def by_category(values: pl.Series, names: pl.Series, numbers: pl.Series) -> pl.Series:
    """Return the number of each value's category, null for null.

    Args:
        values: ``Categorical`` values.
        names: All categories among them, each once.
        numbers: The number of each, ``Int64``.
    """
    codes = names.to_physical()
    table = np.zeros(int(codes.max() or 0) + 1, dtype=np.int64)  # type: ignore[arg-type]
    table[codes.to_numpy()] = numbers.to_numpy()
    return pl.Series(values.name, table).gather(values.to_physical())


def clean_ids(ids: pl.Series, what: str) -> pl.Series:
    """Return ids as ``Int64``, ``String`` or ``Categorical`` without missing values.

    Args:
        ids: Integers of any width, strings or categoricals.
        what: How an error names the column.

    Raises:
        DataError: If an id is missing, a floating-point number, beyond 64 bits, or of another type.
    """
    _require_no_nulls(ids, what)
    if ids.dtype == pl.Null or (ids.dtype.is_float() and not len(ids)):  # an empty list or array
        return ids.cast(pl.String)
    if ids.dtype.is_float():
        raise _float_ids(what, ids[0])
    if ids.dtype.is_integer():
        whole = ids.cast(pl.Int64, strict=False)
        if whole.null_count():
            raise _overflow(what, ids.filter(whole.is_null())[0])
        return whole
    if ids.dtype in (pl.String, pl.Categorical):
        return ids
    if ids.dtype == pl.Enum:
        return ids.cast(pl.String)
    raise DataError(f"{what} must be strings or integers (got {ids.dtype})")


def clean_time(time: pl.Series, what: str) -> pl.Series:
    """Return times as ``Int64``: unix time for dates, the numbers themselves otherwise.

    Unix time is in seconds; where a date has a fraction of a second, all are in the first of milli-, micro- and
    nanoseconds that keeps it. Text is read to the microsecond.

    Args:
        time: Whole numbers, dates, or text of either.
        what: How an error names the column.

    Raises:
        DataError: If a time is missing, not finite, a fraction, a floating-point number beyond ``2**53``, or neither a
            number nor an ISO date.
    """
    _require_no_nulls(time, what)
    time = _spelled(time)
    if time.dtype == pl.String:
        time = _parse_time(time, what)
    if time.dtype in (pl.Date, pl.Datetime):
        return _epoch(time)
    if time.dtype.is_float():
        _require_finite(time, what)
    if not time.dtype.is_numeric():
        raise DataError(f"{what} must be whole numbers or dates (got {time.dtype})")
    whole = time.cast(pl.Int64, strict=False)
    if whole.null_count():
        raise DataError(f"{what} has a value beyond 64 bits: {time.filter(whole.is_null())[0]}")
    if not time.dtype.is_integer() and len(fractions := time.filter(whole.cast(time.dtype) != time)):
        raise DataError(f"{what} has a fraction, {fractions[0]}; scale it to whole numbers so that no order is lost")
    if time.dtype.is_float() and len(rounded := time.filter(time.abs() > 2**53)):
        raise DataError(f"{what} has {rounded[0]:.0f} as a floating-point number, which loses digits: store integers")
    return whole


def clean_weight(weight: pl.Series, what: str) -> pl.Series:
    """Return weights as finite ``Float32``.

    Args:
        weight: Numbers or text of numbers.
        what: How an error names the column.

    Raises:
        DataError: If a weight is missing, not a number, or not finite.
    """
    _require_no_nulls(weight, what)
    weight = _spelled(weight)
    if not weight.dtype.is_numeric() and weight.dtype not in (pl.Boolean, pl.String):
        raise DataError(f"{what} must be numbers (got {weight.dtype})")
    numbers = weight.cast(pl.Float64, strict=False)
    if numbers.null_count():
        raise DataError(f"{what} has a value that is no number: {weight.filter(numbers.is_null())[0]!r}")
    small = numbers.cast(pl.Float32)
    _require_finite(small, what)
    return small


def clean_categories(categories: pl.Series) -> pl.Series:
    """Return categories as ``String``, null where there is none: missing values, NaN and empty text.

    Raises:
        DataError: If they are neither text nor numbers.
    """
    wrong = DataError(f"categories must be text or numbers, or lists of them (got {categories.dtype})")
    if categories.dtype.is_nested():
        raise wrong
    if categories.dtype.is_float():  # how pandas holds integers of which some are missing
        categories = categories.fill_nan(None)
        whole = categories.cast(pl.Int64, strict=False)
        categories = whole if whole.eq_missing(categories).all() else categories
    try:
        text = categories.cast(pl.String)
    except pl.exceptions.PolarsError:
        raise wrong from None
    return text.set(text == "", None)


def _from_pandas(values: Any) -> Any:
    """Return a series, index or array of pandas in a type of numpy, else as a list, ``None`` for what is missing."""
    # polars reads pandas' own types through pyarrow only, which is no dependency
    plain = values.to_numpy()
    if plain.dtype != object and (isinstance(values.dtype, np.dtype) or not values.isna().any()):
        return plain.astype(plain.dtype.str.replace("[s]", "[ms]"), copy=False)  # polars knows no whole seconds
    objects = np.array(values, dtype=object)
    objects[np.asarray(values.isna())] = None
    cells = objects.tolist()
    if np.ndarray not in set(map(type, cells)):
        return cells
    return [cell.tolist() if isinstance(cell, np.ndarray) else cell for cell in cells]


def _spelled(values: pl.Series) -> pl.Series:
    return values.cast(pl.String) if values.dtype in (pl.Categorical, pl.Enum) else values


def _parse_time(time: pl.Series, what: str) -> pl.Series:
    # Int64 first: a float64 holds whole numbers up to 2**53 only
    for parsed in (time.cast(pl.Int64, strict=False), time.cast(pl.Float64, strict=False)):
        if not parsed.null_count():
            return parsed
    wrong = parsed.is_null()
    if (other := wrong & ~time.str.contains(_DATE)).any():
        wrong = other
    else:
        with suppress(pl.exceptions.PolarsError):
            return time.str.to_datetime(time_unit="us")
    few = ", ".join(repr(value) for value in time.filter(wrong).head(3))
    raise DataError(f"{what} has values that are neither numbers nor dates such as 2024-05-31: {few}")


def _epoch(dates: pl.Series) -> pl.Series:
    moments = dates.cast(pl.Datetime) if dates.dtype == pl.Date else dates
    fraction = moments.dt.nanosecond()
    unit = next(unit for unit, size in _UNITS.items() if (fraction % size == 0).all())
    return moments.dt.epoch(unit).cast(pl.Int64)


def _require_no_nulls(values: pl.Series, what: str) -> None:
    if nulls := values.null_count():
        row = values.is_null().arg_true()[0] + 1
        where = f"row {row}" if nulls == 1 else f"{nulls:,} rows, first in row {row}"
        raise DataError(f"{what} must have a value in every row (got none in {where}): remove such rows")


def _require_finite(values: pl.Series, what: str) -> None:
    if not (finite := values.is_finite()).all():
        row = (~finite).arg_true()[0]
        raise DataError(f"{what} has a non-finite value, {values[row]}, in row {row + 1}; remove such rows")


def _float_ids(what: str, value: object) -> DataError:
    return DataError(f"{what} has floating-point ids such as {value}; ids are integers or strings")


def _overflow(what: str, value: object) -> DataError:
    return DataError(f"{what} has an id beyond 64-bit integers, {value}; put a letter before such ids")
