"""The data of the user explorer and of the item map, as the page's script reads it."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from graphmi.asking import evaluating, propagating_once
from graphmi.comparison import NamedRun
from graphmi.explain import Cause, Explainer, Explanation
from graphmi.report.items import coloured_categories, item_category, map_items
from graphmi.restore import Restored, restore

__all__ = ["Explorer", "sample_users"]

_LIST, _CAUSES, _HISTORY, _TITLE = 10, 3, 200, 100  # recommendations, causes, latest items, characters of a title
_AT_ONCE = 128


class Explorer:
    """Collects what the page shows of users and items, run by run, with every item named once.

    Args:
        users: Users in the page, ``[num_users]``, at least one.
        groups: Diversity group of each, ``[num_users]``, -1 for none; ``None`` where there are no groups.
        num_groups: Number of groups, 0 where there are none.
        on_users: Called with the number of users done so far.
    """

    def __init__(
        self, users: Tensor, groups: Tensor | None, num_groups: int, on_users: Callable[[int], object] = lambda _: None
    ) -> None:
        self.users, self.groups, self.num_groups, self.on_users = users, groups, num_groups, on_users
        self._local: dict[int, int] = {}  # item id -> its place in the page
        self._data: dict[str, Any] = {"runs": []}
        self._done = 0
        self._first: Restored
        self._labels: dict[int, list[int]] = {}  # item id -> its categories

    def add(self, run: NamedRun) -> None:
        """Ask the model of a run what it makes of the users and items."""
        restored = restore(run.folder)
        explainer = Explainer(restored.dataset, restored.model, repeat=restored.experiment.repeat)
        told = []
        with evaluating(restored.model), propagating_once(restored.model):
            for some in torch.split(self.users, _AT_ONCE):
                told += explainer(some, k=_LIST, num_nearest=5, num_causes=5)
                self._done += len(some)
                self.on_users(self._done)
        if not self._data["runs"]:
            self._first, self._labels = restored, _labels(restored)
            self._data["users"] = [self._user(restored, n, one) for n, one in enumerate(told)]
        self._data["runs"].append(
            {
                "name": run.name,
                "interests": len(told[0].interests),
                "map": self._map(restored),
                "told": [self._told(one) for one in told],
            }
        )

    def data(self) -> dict[str, Any]:
        """Return everything as plain lists and numbers; items are places in ``"items"``, titles and categories.

        At least one run must have been added.
        """
        train = self._first.dataset.train
        ids = list(self._local)
        titles = train.titles or tuple(map(str, train.items.decode(torch.arange(train.num_items))))
        coloured = coloured_categories(train)
        shown = torch.full((train.num_items,), -1)
        if train.categories is not None and coloured:
            shown = item_category(train.categories, train.num_items, coloured)
        return {
            **self._data,
            "items": [[_short(titles[item]), self._labels.get(item, [])] for item in ids],
            "categories": list(train.categories.names) if train.categories is not None else [],
            "coloured": coloured,
            "shown": [int(shown[item]) for item in ids],
            "groups": self.num_groups,
            "numItems": train.num_items,
        }

    def _user(self, run: Restored, index: int, told: Explanation) -> dict[str, Any]:
        counts = Counter(category for item in told.history for category in self._labels.get(item, []))
        return {
            "id": str(run.dataset.train.users.decode(torch.tensor([told.user]))[0]),
            "group": -1 if self.groups is None else int(self.groups[index]),
            "size": len(told.history),
            "history": self._items(told.history[-_HISTORY:]),
            "targets": self._items(told.targets[:_HISTORY]),
            "categories": sorted(([c, n] for c, n in counts.items()), key=lambda pair: (-pair[1], pair[0])),
        }

    def _told(self, told: Explanation) -> dict[str, Any]:
        nearest = {item for one in told.interests for item in one.nearest}
        return {
            "interests": [
                [int(one.active), self._items(one.nearest), self._causes(one.causes, 5)] for one in told.interests
            ],
            "list": [
                [self._item(one.item), one.interest, int(one.hit), self._causes(one.causes, _CAUSES)]
                for one in told.recommendations
            ],
            # Of the nearest items, those of the user's history that is too long for the page.
            "known": self._items(sorted(nearest.intersection(told.history[:-_HISTORY]))),
        }

    def _map(self, run: Restored) -> dict[str, Any] | None:
        found = map_items(run)
        if found is None:
            return None
        x, y = (1000 * found.place).round().int().T.tolist()
        interest = None if found.interest is None else found.interest.tolist()
        return {"items": self._items(found.item.tolist()), "x": x, "y": y, "interest": interest, "method": found.method}

    def _causes(self, causes: Sequence[Cause], count: int) -> list[list[int]]:
        return [[self._item(cause.item), round(100 * cause.weight)] for cause in causes[:count]]

    def _items(self, items: Sequence[int]) -> list[int]:
        return [self._item(item) for item in items]

    def _item(self, item: int) -> int:
        return self._local.setdefault(item, len(self._local))


def sample_users(run: NamedRun, num_users: int) -> tuple[Tensor, Tensor | None]:
    """Return evaluated users in ascending order, evenly from all diversity groups, and their groups.

    Args:
        run: A finished run.
        num_users: Most users, at least 1.

    Returns:
        User ids and groups, ``[num_users]`` each; ``None`` instead of groups where the run has none.
    """
    users, group = run.per_user["user"], run.per_user.get("group/diversity")
    order = torch.randperm(len(users), generator=torch.Generator().manual_seed(0))
    if group is not None:
        # The place of each user within its group, in random order: first all firsts, then all seconds.
        place = torch.empty_like(users)
        for number in torch.unique(group):
            members = order[group[order] == number]
            place[members] = torch.arange(len(members))
        order = order[place[order].argsort(stable=True)]
    chosen = order[:num_users].sort().values
    return users[chosen], None if group is None else group[chosen]


def _labels(run: Restored) -> dict[int, list[int]]:
    """Return the categories of each item."""
    labels: dict[int, list[int]] = {}
    if (categories := run.dataset.train.categories) is not None:
        for item, category in zip(categories.item.tolist(), categories.category.tolist(), strict=True):
            labels.setdefault(item, []).append(category)
    return labels


def _short(title: str) -> str:
    return title if len(title) <= _TITLE else f"{title[: _TITLE - 1]}…"
