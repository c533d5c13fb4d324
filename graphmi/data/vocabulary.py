"""External ids to consecutive indices and back."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import polars as pl
import torch
from torch import Tensor

from graphmi.data.clean import by_category, clean_ids, to_series
from graphmi.data.errors import DataError
from graphmi.sorting import rank

__all__ = ["Vocabulary"]

Values = pl.Series | Collection[str] | Collection[int]  # and what pandas has in their place

_FEW = 16  # so many times fewer values than ids are found by bisection, which is then faster than a join with all ids


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """The distinct external ids of users or items in increasing order; the position of an id is its index.

    Integers stay 64-bit integers and strings stay strings (ordered by their UTF-8 bytes), so the same ids
    give the same indices on every machine.

    Args:
        ids: Distinct ids in increasing order, ``Int64`` or ``String``.

    Raises:
        DataError: If the ids are of another type, repeated, missing or out of order.

    Example:
        >>> vocabulary = Vocabulary.of(["b", "a", "b"])
        >>> vocabulary.encode(["b"])
        tensor([1])
        >>> vocabulary.decode(vocabulary.encode(["b", "a"]))
        ['b', 'a']
    """

    ids: pl.Series

    def __post_init__(self) -> None:
        if self.ids.dtype not in (pl.Int64, pl.String):
            raise DataError(f"ids of a vocabulary are Int64 or String (got {self.ids.dtype}); use Vocabulary.of")
        if self.ids.null_count() or not (self.ids[1:] > self.ids[:-1]).all():
            raise DataError("ids of a vocabulary are distinct and in increasing order; use Vocabulary.of")

    @classmethod
    def of(cls, values: Values) -> "Vocabulary":
        """Return the vocabulary of all distinct ``values``.

        Raises:
            DataError: If a value is missing, a floating-point number, or beyond 64 bits, or ``values`` is a single one.
        """
        return cls(_spelled(_series(values).unique()).sort())

    @classmethod
    def index(cls, values: Values) -> tuple["Vocabulary", Tensor]:
        """Return the vocabulary of all distinct ``values`` and the index of each, ``[len(values)]`` int64.

        Raises:
            DataError: As :meth:`of` does.
        """
        series = _series(values)
        if series.dtype == pl.Int64:
            ids, index = rank(series.to_torch())
            return cls(pl.Series(ids.numpy())), index
        series = series.cast(pl.Categorical)  # short numbers stand for texts
        names = series.unique()
        vocabulary = cls(_spelled(names).sort())
        return vocabulary, by_category(series, names, vocabulary._find(_spelled(names))).to_torch()

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        few = ", ".join(repr(value) for value in self.ids.head(3))
        return f"Vocabulary({len(self):,} ids: {few}{', ...' if len(self) > 3 else ''})"

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        return isinstance(other, Vocabulary) and self.ids.dtype == other.ids.dtype and self.ids.equals(other.ids)

    __hash__ = None  # type: ignore[assignment]

    def encode(self, values: Values) -> Tensor:
        """Return the index of each id, ``[len(values)]`` int64.

        Integers written as text find integer ids, and the other way round.

        Raises:
            DataError: If an id is not in the vocabulary (names the first few), or ``values`` is a single id.
        """
        ids = _series(values)
        index = self._find(self._keys(ids))
        if missing := index.null_count():
            unknown = _spelled(ids).filter(index.is_null()).unique(maintain_order=True)
            few = ", ".join(repr(value) for value in unknown.head(5))
            raise DataError(f"{missing:,} of {len(index):,} ids are not in the vocabulary: {few}")
        return index.to_torch()

    def encode_each(self, lists: Sequence[Values]) -> list[Tensor]:
        """Return what :meth:`encode` does for each of some lists; all are looked up at once.

        Raises:
            DataError: As :meth:`encode`, of the first list with an unknown id.
        """
        series = [_series(values) for values in lists]
        index = self._find(pl.concat([self.ids.clear(), *map(self._keys, series)]))
        if index.null_count():
            return [self.encode(each) for each in series]
        return list(torch.split(index.to_torch(), [len(each) for each in series]))

    def contains(self, values: Values) -> Tensor:
        """Return which ids are in the vocabulary, ``[len(values)]`` bool."""
        return self._find(self._keys(_series(values))).is_not_null().to_torch()

    def decode(self, index: Tensor) -> list[str] | list[int]:
        """Return the ids at these indices, in their order.

        Raises:
            DataError: If an index is not in ``[0, len(self))``.
        """
        flat = index.reshape(-1).cpu()
        if len(flat) and not 0 <= int(flat.min()) <= int(flat.max()) < len(self):
            raise DataError(f"indices must be in [0, {len(self)}) (got {int(flat.min())} to {int(flat.max())})")
        ids: list[str] | list[int] = self.ids.gather(flat.numpy()).to_list()
        return ids

    def take(self, index: Tensor) -> "Vocabulary":
        """Return the vocabulary of the ids at these increasing indices."""
        return Vocabulary(self.ids.gather(index.cpu().numpy()))

    def _keys(self, ids: pl.Series) -> pl.Series:
        # strict=False: what cannot be an id of this type is an unknown id
        return _spelled(ids).cast(self.ids.dtype, strict=False)

    def _find(self, keys: pl.Series) -> pl.Series:
        """Return the index of each key, null for those that are unknown or null."""
        if len(keys) * _FEW < len(self):
            place = self.ids.search_sorted(keys).cast(pl.Int64).clip(upper_bound=len(self) - 1)
            return place.set(self.ids.gather(place).ne_missing(keys), None)
        table = pl.DataFrame({"id": self.ids, "index": pl.int_range(len(self), dtype=pl.Int64, eager=True)})
        return keys.to_frame("id").join(table, on="id", how="left", maintain_order="left").get_column("index")


def _spelled(ids: pl.Series) -> pl.Series:
    return ids.cast(pl.String) if ids.dtype == pl.Categorical else ids


def _series(values: Values) -> pl.Series:
    return clean_ids(to_series(values, "the ids"), "the ids")
