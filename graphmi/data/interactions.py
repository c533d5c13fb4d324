"""User-item interactions as index vectors with the vocabularies of their ids."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import polars as pl
import torch
from torch import Tensor

from graphmi.data.categories import Categories
from graphmi.data.clean import clean_categories, clean_ids, clean_time, clean_weight
from graphmi.data.columns import choose_columns, column_names, select_columns
from graphmi.data.errors import DataError
from graphmi.data.fingerprint import digest
from graphmi.data.labels import read_categories, read_titles, read_vectors
from graphmi.data.vocabulary import Values, Vocabulary
from graphmi.sorting import sort_rows

if TYPE_CHECKING:
    from torch_geometric.data import HeteroData

__all__ = ["Interactions", "Keep"]

Keep = Literal["first", "last"]


@dataclass(frozen=True, eq=False)
class Interactions:
    """Which user met which item, one row per interaction, in the order of the source.

    Args:
        user: User index per row, ``[num_rows]`` int64.
        item: Item index per row, ``[num_rows]`` int64.
        users: Ids of the users; may hold users without a row.
        items: Ids of the items; may hold items without a row.
        time: Time per row, unix time or a position, ``[num_rows]`` int64.
        weight: Rating or strength per row, ``[num_rows]`` float32.
        categories: Categories of the items.
        titles: A title per item index.
        vectors: What is known of each item's text, picture or the like, ``[num_items, size]`` float32, zeros where
            nothing is.

    Raises:
        ValueError: If shapes, types or index ranges do not fit.

    Example:
        >>> import polars as pl
        >>> data = Interactions.from_frame(pl.DataFrame({"user_id": ["a", "a", "b"], "item_id": [7, 8, 7]}))
        >>> data.user, data.item  # by their places in data.users and data.items
        (tensor([0, 0, 1]), tensor([0, 1, 0]))
    """

    user: Tensor
    item: Tensor
    users: Vocabulary
    items: Vocabulary
    time: Tensor | None = None
    weight: Tensor | None = None
    categories: Categories | None = None
    titles: tuple[str, ...] | None = None
    vectors: Tensor | None = None

    def __post_init__(self) -> None:
        _check("user", self.user, torch.int64, len(self), self.num_users)
        _check("item", self.item, torch.int64, len(self), self.num_items)
        if self.time is not None:
            _check("time", self.time, torch.int64, len(self))
        if self.weight is not None:
            _check("weight", self.weight, torch.float32, len(self))
        if self.titles is not None and len(self.titles) != self.num_items:
            raise ValueError(f"'titles' must hold {self.num_items} titles (got {len(self.titles)})")
        if (found := self.vectors) is not None and (found.dtype, *found.shape[:-1]) != (torch.float32, self.num_items):
            expected = f"torch.float32 of shape ({self.num_items}, size)"
            raise ValueError(f"'vectors' must be {expected} (got {found.dtype} of shape {tuple(found.shape)})")

    @classmethod
    def from_frame(
        cls,
        frame: Any,
        *,
        user: str | int = "user_id",
        item: str | int = "item_id",
        time: str | int | None = None,
        weight: str | int | None = None,
        category: str | int | None = None,
    ) -> "Interactions":
        """Return the interactions of a table.

        Args:
            frame: A polars or pandas DataFrame, or a polars LazyFrame.
            user: Column of user ids, integers or strings.
            item: Column of item ids, integers or strings.
            time: Column of times, whole numbers or dates (which become unix seconds, or the finer unit that their
                fractions need); without a name the first of ``timestamp``, ``time`` and ``order`` that exists.
            weight: Column of weights; without a name the first of ``rating`` and ``weight`` that exists.
            category: Column with a category of the item of each row, or a list of them; empty for none. An item that
                comes with several has them all.

        Raises:
            DataError: If a column is missing or there are two of its name, the table has no rows, or a value cannot be
                used.
        """
        names = choose_columns(column_names(frame), user=user, item=item, time=time, weight=weight, category=category)
        table = select_columns(frame, names.used)
        if not len(table):
            raise DataError("the table has no rows")
        users, user_index = Vocabulary.index(clean_ids(table[names.user], f"column '{names.user}'"))
        items, item_index = Vocabulary.index(clean_ids(table[names.item], f"column '{names.item}'"))
        interactions = cls(
            user=user_index,
            item=item_index,
            users=users,
            items=items,
            time=clean_time(table[names.time], f"column '{names.time}'").to_torch() if names.time else None,
            weight=clean_weight(table[names.weight], f"column '{names.weight}'").to_torch() if names.weight else None,
        )
        if names.category is None:
            return interactions
        labels = pl.DataFrame({"item": item_index.numpy(), "category": table[names.category]})
        if isinstance(labels["category"].dtype, pl.List | pl.Array):
            labels = labels.explode("category")
        labels = labels.unique()
        labels = labels.with_columns(clean_categories(labels["category"])).drop_nulls()
        return interactions.with_categories(items.ids.gather(labels["item"]), labels["category"])

    @classmethod
    def from_hetero(cls, data: "HeteroData") -> "Interactions":
        """Return the ``('user', 'interacts', 'item')`` edges of a graph; ids are the node numbers.

        Edge attributes ``time`` and ``weight`` and the item attributes ``category`` (multi-hot), ``category_names`` and
        ``x`` (the vectors) are taken where they exist.

        Raises:
            DataError: If the graph has no such edges, or an edge leaves the node range.
        """
        from graphmi.data.graph import from_graph  # graph.py builds on this class

        return from_graph(data)

    def __len__(self) -> int:
        return len(self.user)

    def __repr__(self) -> str:
        size = f"{len(self):,} rows, {self.num_users:,} users, {self.num_items:,} items"
        names = ("time", "weight", "categories", "titles", "vectors")
        more = [name for name in names if getattr(self, name) is not None]
        return f"Interactions({size}{'; ' * bool(more)}{', '.join(more)})"

    @property
    def num_users(self) -> int:
        """The number of user ids, users without a row included."""
        return len(self.users)

    @property
    def num_items(self) -> int:
        """The number of item ids, items without a row included."""
        return len(self.items)

    def pairs(self) -> Tensor:
        """Return one number per user-item pair, ``user * num_items + item``, ``[num_rows]`` int64."""
        return self.user * self.num_items + self.item

    def distinct_rows(self, keep: Keep = "first") -> Tensor:
        """Return one row per pair, the first or last in time (ties by row), in the order of user and item."""
        pairs, rows = sort_rows(self.pairs())
        first, last = torch.ones(2, len(pairs), dtype=torch.bool)  # where a run of equal pairs begins and ends
        first[1:] = last[:-1] = pairs[1:] != pairs[:-1]
        if self.time is not None and len(repeated := (~(first & last)).nonzero().squeeze(1)):
            by_time = sort_rows(self.time[rows[repeated]])[1]
            by_pair = sort_rows(pairs[repeated][by_time])[1]
            rows[repeated] = rows[repeated][by_time][by_pair]
        return rows[first if keep == "first" else last]

    def take(self, index: Tensor) -> "Interactions":
        """Return these rows, under the same vocabularies.

        Args:
            index: Row numbers, int64, or a mask ``[num_rows]``.
        """
        if index.dtype == torch.bool:  # looked through once, not once per column
            index = index.nonzero().squeeze(1)
        return replace(
            self,
            user=self.user.index_select(0, index),
            item=self.item.index_select(0, index),
            time=None if self.time is None else self.time.index_select(0, index),
            weight=None if self.weight is None else self.weight.index_select(0, index),
        )

    def followed_by(self, other: "Interactions") -> "Interactions":
        """Return these rows, and after them those of another part; times and weights where both have them.

        Raises:
            ValueError: If the other part has other vocabularies.
        """
        if (other.users, other.items) != (self.users, self.items):
            raise ValueError("interactions that follow others must have their vocabularies")
        return replace(
            self,
            user=torch.cat([self.user, other.user]),
            item=torch.cat([self.item, other.item]),
            time=_joined(self.time, other.time),
            weight=_joined(self.weight, other.weight),
        )

    def compact(self) -> "Interactions":
        """Return the same rows without the users and items that have none; indices are renumbered."""
        kept_users, user = _renumber(self.user, self.num_users)
        kept_items, item = _renumber(self.item, self.num_items)
        labels, titles, vectors = self.categories, self.titles, self.vectors
        return replace(
            self,
            user=user,
            item=item,
            users=self.users.take(kept_users),
            items=self.items.take(kept_items),
            categories=None if labels is None else labels.take(kept_items, self.num_items),
            titles=None if titles is None else tuple(titles[index] for index in kept_items.tolist()),
            vectors=None if vectors is None else vectors.index_select(0, kept_items),
        )

    def with_categories(
        self, items: Values, categories: Sequence[str] | pl.Series, *, ignore_unknown: bool = False
    ) -> "Interactions":
        """Return the interactions with item categories, one pair of ``items`` and ``categories`` per label.

        Args:
            items: Item ids; an item with several categories comes several times.
            categories: The category name of each pair.
            ignore_unknown: Leave out items that have no interactions, for tables of a whole catalogue.

        Raises:
            DataError: If an item is unknown, or a category is missing.
        """
        return replace(self, categories=read_categories(self.items, items, categories, ignore_unknown))

    def with_titles(
        self, items: Values, titles: Sequence[str] | pl.Series, *, ignore_unknown: bool = False
    ) -> "Interactions":
        """Return the interactions with item titles; an item without one keeps its id as title.

        Args:
            items: Item ids.
            titles: The title of each.
            ignore_unknown: Leave out items that have no interactions, for tables of a whole catalogue.

        Raises:
            DataError: If an item is unknown, or a title is missing.
        """
        return replace(self, titles=read_titles(self.items, items, titles, ignore_unknown))

    def with_vectors(self, items: Values, vectors: Any, *, ignore_unknown: bool = False) -> "Interactions":
        """Return the interactions with a vector per item, such as an embedding of its text; zeros for an item without.

        Args:
            items: Item ids.
            vectors: The vector of each, ``[num, size]``, or a series of lists of numbers; read as float32.
            ignore_unknown: Leave out items that have no interactions, for tables of a whole catalogue.

        Raises:
            DataError: If an item is unknown or comes twice, or vectors are of several sizes, missing or not finite.
        """
        return replace(self, vectors=read_vectors(self.items, items, vectors, ignore_unknown))

    def fingerprint(self) -> str:
        """Return the SHA-256 of ids, rows, times, weights, categories and vectors, equal on every machine."""
        rows, labels = (self.user, self.item, self.time, self.weight), self.categories
        named: tuple[Tensor | pl.Series | None, ...] = (None, None, None)
        if labels is not None:
            named = labels.item, labels.category, pl.Series(labels.names, dtype=pl.String)
        vectors = () if self.vectors is None else (self.vectors,)
        return digest(self.users.ids, self.items.ids, *rows, *named, *vectors)


def _joined(one: Tensor | None, other: Tensor | None) -> Tensor | None:
    return None if one is None or other is None else torch.cat([one, other])


def _renumber(index: Tensor, size: int) -> tuple[Tensor, Tensor]:
    occurs = torch.zeros(size, dtype=torch.bool).index_fill_(0, index, True)
    return occurs.nonzero().squeeze(1), (occurs.cumsum(0) - 1).index_select(0, index)


def _check(name: str, values: Tensor, dtype: torch.dtype, length: int, bound: int | None = None) -> None:
    if values.dtype != dtype or values.shape != (length,):
        expected = f"{dtype} of shape ({length},)"
        raise ValueError(f"'{name}' must be {expected} (got {values.dtype} of shape {tuple(values.shape)})")
    if bound is not None and length and not 0 <= int(values.min()) <= int(values.max()) < bound:
        raise ValueError(f"'{name}' must be in [0, {bound}) (got {int(values.min())} to {int(values.max())})")
