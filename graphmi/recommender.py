"""Recommendations by the ids of the data, for users of the data and for new ones."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from itertools import islice
from threading import Lock

import polars as pl
import torch
from torch import Tensor, nn

from graphmi.allowed_items import AllowedItems
from graphmi.asking import device_of, evaluating, propagating_once, question, require_items, unwrapped
from graphmi.data import Histories, Interactions
from graphmi.data.vocabulary import Values
from graphmi.ranges import at_least
from graphmi.recommendation import Recommendation, as_table
from graphmi.retrieval import ExactIndex, Index, TopK, diversified, nominate
from graphmi.typing import Batch, FoldsIn, HistoryReader, ItemTable, Propagates, Representations

__all__ = ["Recommender"]

_USERS = 1024  # users at once
_POOL = 10  # with variety: so many times the length of the list are candidates


class Recommender:
    """Lists of items for users, by the ids of the data.

    Args:
        interactions: What is known of users, with the ids, and the categories of items for ``variety``.
        model: ``model(Batch(user=ids))`` gives :class:`graphmi.typing.Representations`; it is asked in evaluation mode.
            Train it no further while it is asked, or give an ``index``, which has it propagated.
        k: Length of the lists, at least 1; they are shorter where fewer items are left.
        among: Ids of the only items that may be recommended; all when omitted.
        without: Ids of items that may not.
        repeat: Recommend items that a user knows, too.
        quota: Most items that an interest may bring, see :func:`graphmi.retrieval.nominate`.
        variety: How many score points an item loses for each one of its category that stands before it in the list, at
            least 0, see :func:`graphmi.retrieval.diversified`. The ten times ``k`` best items are candidates.
        index: Makes an index of the item vectors, such as :class:`graphmi.retrieval.FaissIndex`, or
            :class:`graphmi.retrieval.ExactIndex`. It is made once, at the first request, and a
            graph model propagates once over its graph then (:meth:`propagated
            <graphmi.models.InterestGCN.propagated>`), so a model that is trained on needs a new recommender. When
            omitted, exact search of the vectors of the moment: a graph model propagates anew at every call.

    Raises:
        ValueError: If a number is out of its range, no item is left, ``variety`` has no categories to go by, or in use
            the model has another number of items than the data or does not know a user.
        DataError: If an item is unknown, or a single id is given for a list of them.

    Example:
        >>> from graphmi.data import LeaveOneOut, planted
        >>> from graphmi.models import InterestGCN
        >>> data = planted(num_users=50, num_items=40, num_clusters=4)
        >>> recommender = Recommender(data, InterestGCN(LeaveOneOut()(data).graph()), k=3)
        >>> [[first, *rest]] = recommender([7])
        >>> first.item in data.items.ids.to_list(), first.interest in range(4)
        (True, True)
        >>> len(recommender.for_histories([data.items.ids[:2]])[0])
        3
    """

    def __init__(
        self,
        interactions: Interactions,
        model: nn.Module,
        k: int = 10,
        *,
        among: Values | None = None,
        without: Values = (),
        repeat: bool = False,
        quota: int | None = None,
        variety: float = 0.0,
        index: Callable[[Tensor], Index] | None = None,
    ) -> None:
        at_least(1, k=k, quota=quota)
        at_least(0, variety=variety)
        if variety and interactions.categories is None:
            raise ValueError(f"'variety' = {variety} needs categories of the items, and the data has none")
        self.interactions, self.model, self.device = interactions, unwrapped(model), device_of(model)
        self.k, self.repeat, self.quota, self.variety = k, repeat, quota, variety
        self.make_index = index
        self.index: Index | None = None
        self._making = Lock()  # of what is made once, at the first request
        self.history = Histories(interactions).to(self.device)
        self.allowed = AllowedItems(interactions, among, without, self.device)
        self.categories = None
        if variety and interactions.categories is not None:
            self.categories = interactions.categories.lists(interactions.num_items).to(self.device)

    def __getstate__(self) -> dict[str, object]:
        return {name: value for name, value in vars(self).items() if name != "_making"}  # a lock cannot be copied

    def __setstate__(self, state: dict[str, object]) -> None:
        vars(self).update(state, _making=Lock())

    def __call__(self, users: Values) -> list[list[Recommendation]]:
        """Return the list of each user, best first.

        Args:
            users: User ids of the data.

        Raises:
            DataError: If a user is unknown.
        """
        index = self.interactions.users.encode(users)
        with self._asking():
            return [each for _, lists in self._batches(index) for each in lists]

    def for_histories(self, histories: Sequence[Values]) -> list[list[Recommendation]]:
        """Return the list of each of some users that the data does not have, by what they had so far.

        Models that read histories read these; graph models fold them in (:meth:`InterestGCN.fold_in
        <graphmi.models.InterestGCN.fold_in>`).

        An item that came after the training is unknown, and the call fails for all: leave such items out before, by
        ``interactions.items.contains(history)``, which tells of each whether it is known, or take :meth:`table_for`.

        Args:
            histories: Item ids of each user, the latest last.

        Raises:
            ValueError: If a history is empty, or the model knows the users of its training only.
            DataError: If an item is unknown; the message names the first few.
        """
        self._require_others()
        items = self.interactions.items.encode_each(histories)
        if empty := [number for number, history in enumerate(items, start=1) if not len(history)]:
            raise ValueError(f"a history needs at least one item, and number {empty[0]} has none")
        parts = [items[start : start + _USERS] for start in range(0, len(items), _USERS)]
        with self._asking():
            return [each for part in parts for each in self._of_histories(part)]

    def table(self, users: Values | None = None, on_users: Callable[[int], None] | None = None) -> pl.DataFrame:
        """Return the lists of many users as a table with the columns user_id, rank, item_id, score and interest.

        Ranks and interests count from 1.

        Args:
            users: User ids; all of the data when omitted.
            on_users: Called with the number of users done so far.

        Raises:
            DataError: If a user is unknown.
        """
        vocabulary = self.interactions.users
        index = torch.arange(len(vocabulary)) if users is None else vocabulary.encode(users)
        return self._table(vocabulary.ids, self._batches(index), on_users)

    def table_for(self, others: Interactions, on_users: Callable[[int], None] | None = None) -> pl.DataFrame:
        """Return the lists of the users of other interactions, such as a log that has grown, as :meth:`table` does.

        Each is answered as by :meth:`for_histories`, by its items there, whether or not the data has it too. Items
        that the data does not have are passed over, and so are users who have no others.

        Args:
            others: The interactions, with the same ids of items.
            on_users: Called with the number of users done so far.

        Raises:
            ValueError: If the model knows the users of its training only.
        """
        self._require_others()
        return self._table(others.users.ids, self._batches_of(others), on_users)

    def _require_others(self) -> None:
        if not isinstance(self.model, HistoryReader | FoldsIn):
            raise ValueError(
                f"{type(self.model).__name__} knows the users that it was trained with and no others: take a sequence "
                "model or InterestGCN, or give it 'fold_in' (graphmi.typing.FoldsIn)"
            )

    def _table(
        self,
        ids: pl.Series,
        batches: Iterator[tuple[Tensor, list[list[Recommendation]]]],
        on_users: Callable[[int], None] | None,
    ) -> pl.DataFrame:
        parts, done, items = [], 0, self.interactions.items.ids.dtype
        with self._asking():
            for users, lists in batches:
                parts.append(as_table(ids.gather(users.numpy()), lists, items))
                done += len(users)
                if on_users is not None:
                    on_users(done)
        return pl.concat([as_table(ids[:0], [], items), *parts])

    def _batches(self, users: Tensor) -> Iterator[tuple[Tensor, list[list[Recommendation]]]]:
        """Yield some users after the other, with their lists."""
        for chosen in torch.split(users, _USERS) if len(users) else ():
            with evaluating(self._asked):  # another thread may train it meanwhile
                out = self._asked(question(self._asked, chosen, self.history, self.device))
            yield chosen, self._lists(out, None if self.repeat else self.history.rows(chosen))

    def _batches_of(self, others: Interactions) -> Iterator[tuple[Tensor, list[list[Recommendation]]]]:
        """Yield some users of other interactions after the other, with the lists for what they have of known items."""
        items, ids = self.interactions.items, others.items.ids
        known = items.contains(ids)
        place = torch.full((len(ids),), -1)
        place[known] = items.encode(ids.filter(known.numpy()))
        histories = Histories(others.take(known[others.item]))
        users = histories.length.nonzero().squeeze(1)
        for chosen in torch.split(users, _USERS) if len(users) else ():
            rowptr, item = histories.rows(chosen)
            yield chosen, self._of_histories([*torch.split(place[item], rowptr.diff().tolist())])

    @contextmanager
    def _asking(self) -> Iterator[None]:
        with self._making:  # several threads may ask first
            asked = self._asked
        with evaluating(asked), propagating_once(asked), torch.no_grad():
            yield

    @cached_property
    def _asked(self) -> nn.Module:
        """The model, as it is at the first request where the index is of that moment too."""
        if self.make_index is not None and isinstance(self.model, Propagates):
            return self.model.propagated()
        return self.model

    def _of_histories(self, items: list[Tensor]) -> list[list[Recommendation]]:
        model, everyone = self._asked, torch.arange(len(items))
        histories = Histories.of(items).to(self.device)
        with evaluating(model):  # another thread may train it meanwhile
            if isinstance(model, FoldsIn):  # it knows how much of a history it reads
                out = model.fold_in(*histories.read(everyone, max(map(len, items))))
            elif isinstance(model, HistoryReader):
                history, mask = histories.read(everyone, model.max_length)
                out = model(Batch(torch.full((len(items),), -1, device=self.device), history=history, mask=mask))
        return self._lists(out, None if self.repeat else histories.rows(everyone))

    def _lists(self, out: Representations, known: tuple[Tensor, Tensor] | None) -> list[list[Recommendation]]:
        """Return the lists of users without the items that they know, in compressed rows."""
        index = self._index(out.items)
        size = self.k * _POOL if self.variety else self.k
        queries, excluded = out.interests, None if known is None else self.allowed.places(*known)
        if self.quota is None:
            found = index.search(queries, size, exclude=excluded, interest_mask=out.interest_mask)
        else:
            found = nominate(queries, index, size, self.quota, exclude=excluded, interest_mask=out.interest_mask)
        found = found._replace(ids=self.allowed.at(found.ids))
        if self.categories is not None:
            place = diversified(found.scores, self.categories[found.ids.clamp(min=0)], self.k, self.variety)
            found = TopK(*(part.gather(1, place.clamp(min=0)) for part in found))
            found = found._replace(ids=found.ids.masked_fill(place < 0, -1))
        return self._named(found)

    def _index(self, items: Tensor | ItemTable) -> Index:
        """Return what the items that are allowed are searched by."""
        require_items(items, self.interactions.num_items)
        if self.make_index is None:
            return ExactIndex(self.allowed.vectors(items))
        with self._making:
            if self.index is None:
                self.index = self.make_index(self.allowed.vectors(items)[:])
            return self.index

    def _named(self, found: TopK) -> list[list[Recommendation]]:
        left = (found.ids >= 0).cpu()
        ids = self.interactions.items.decode(found.ids.cpu()[left])
        rows = map(Recommendation, ids, found.scores.cpu()[left].tolist(), found.interest.cpu()[left].tolist())
        return [list(islice(rows, number)) for number in left.sum(1).tolist()]
