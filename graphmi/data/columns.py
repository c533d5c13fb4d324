"""Which columns of a table hold users, items, times, weights and categories."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import polars as pl

from graphmi.data.clean import to_series
from graphmi.data.errors import DataError, given_as

__all__ = ["Columns", "choose_columns", "column_names", "plain_names", "select_columns"]

TIME_COLUMNS = ("timestamp", "time", "order")
WEIGHT_COLUMNS = ("rating", "weight")
_ATOMIC_TYPES = ("token", "token_seq", "float", "float_seq")


@dataclass(frozen=True)
class Columns:
    """The chosen columns under the names that the table gives them."""

    user: str
    item: str
    time: str | None
    weight: str | None
    category: str | None = None

    @property
    def used(self) -> list[str]:
        """The distinct columns to read."""
        names = (self.user, self.item, self.time, self.weight, self.category)
        return list(dict.fromkeys(name for name in names if name is not None))


def choose_columns(
    found: Sequence[str],
    *,
    user: str | int,
    item: str | int,
    time: str | int | None = None,
    weight: str | int | None = None,
    category: str | int | None = None,
) -> Columns:
    """Return the columns to use; times and weights without a name are looked for under the usual ones.

    Names that are numbers, as pandas gives them to columns of files without a header, are taken as text.

    Raises:
        DataError: If a named column does not exist (lists the columns and the nearest names), or users and items are
            one.
    """
    names = dict(zip(plain_names(found), found, strict=True)) | {name: name for name in found}
    who, what = _require(names, found, "user", user), _require(names, found, "item", item)
    if who == what:
        raise DataError(f"users and items cannot be one column, {who!r}; name two")
    return Columns(
        user=who,
        item=what,
        time=_require(names, found, "time", time) if _named(time) else _first(names, TIME_COLUMNS),
        weight=_require(names, found, "weight", weight) if _named(weight) else _first(names, WEIGHT_COLUMNS),
        category=_require(names, found, "category", category) if _named(category) else None,
    )


def plain_names(names: Iterable[str]) -> list[str]:
    """Return column names without blanks and without the types of RecBole's headers (``user_id:token``)."""
    plain = []
    for name in names:
        stem, _, kind = name.strip().rpartition(":")
        plain.append(stem if stem and kind in _ATOMIC_TYPES else name.strip())
    return plain


def column_names(frame: Any) -> list[str]:
    """Return the columns of a polars or pandas table.

    Raises:
        DataError: If it is neither.
    """
    if isinstance(frame, pl.DataFrame | pl.LazyFrame):
        return frame.collect_schema().names()
    if not hasattr(frame, "columns") or not hasattr(frame, "iloc"):
        raise DataError(f"a table is a polars or pandas DataFrame (got {type(frame).__name__})")
    return [str(name) for name in frame.columns]


def select_columns(frame: Any, names: list[str]) -> pl.DataFrame:
    """Return these columns of a polars or pandas table.

    Raises:
        DataError: If a column mixes types, or two have one name.
    """
    if isinstance(frame, pl.DataFrame | pl.LazyFrame):
        return frame.lazy().select(names).collect()
    chosen = [name for name in frame.columns if str(name) in names]
    if len(chosen) > len(names):
        twice = max(names, key=[str(name) for name in chosen].count)
        raise DataError(f"the table has several columns '{twice}'; rename or drop those that are not meant")
    return pl.DataFrame({str(name): to_series(frame[name], f"column '{name}'") for name in chosen})


def _named(name: str | int | None) -> bool:
    return name not in (None, "")


def _require(names: dict[str, str], found: Sequence[str], role: str, name: str | int | None) -> str:
    if (name := str(name)) in names:
        return names[name]
    near = get_close_matches(name.lower(), [plain.lower() for plain in names], n=1, cutoff=0.5)
    hint = next((plain for plain in names if near and plain.lower() == near[0]), "NAME")
    columns = ", ".join(map(repr, found[:20])) + (", ..." if len(found) > 20 else "")
    raise DataError(
        f"there is no column '{name}' among {columns}; name the {role} column, such as {given_as(role, hint)}"
    )


def _first(names: dict[str, str], candidates: Sequence[str]) -> str | None:
    return next((names[name] for name in candidates if name in names), None)
