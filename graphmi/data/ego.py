"""The surroundings of one user as a networkx graph, for pictures and for analysis."""

from collections.abc import Iterator
from typing import Any

import networkx as nx
import torch
from torch import Tensor

from graphmi.data.interactions import Interactions
from graphmi.data.order import chronological
from graphmi.ranges import at_least

__all__ = ["ego_graph"]

_Node = tuple[str, int]
_Edge = tuple[_Node, _Node, dict[str, Any]]


def ego_graph(
    train: Interactions,
    user: int,
    *,
    items: Tensor | None = None,
    interests: Tensor | None = None,
    num_others: int = 0,
) -> "nx.Graph":
    """Return a user, its items, their categories, its interests, and others who met the same items.

    Nodes are pairs such as ``("item", 3)`` of kind and index. They have the attributes ``kind`` (``user``, ``item``,
    ``interest`` or ``category``), ``index`` and ``label`` (the title of an item, the name of a category, or the id);
    the user itself has ``ego=True``. Edges from users to items have ``weight`` and ``time`` where the data has them
    (of repeated pairs, those of the earliest row), edges from interests to items have ``weight``.

    Args:
        train: Training interactions.
        user: Index of the user.
        items: Indices of the items of the user that are shown, ``[n]``, each once; all, in time order, when omitted.
        interests: The interest of each of these items, ``[n]`` integers from 0 on, -1 for none; or the weight of each
            item in each interest, ``[num_interests, n]``, such as a model's routing, where 0 means none.
        num_others: At most so many other users, at least 0: those with most of the items, ties by the lower index.

    Raises:
        ValueError: If the user does not exist, an item is not one of the user's, or a number or shape does not fit.

    Example:
        >>> from graphmi.data import planted
        >>> graph = ego_graph(planted(interactions_per_user=5), user=0, interests=torch.tensor([0, 0, 1, 1, -1]))
        >>> sorted(graph.nodes[node]["kind"] for node in graph["interest", 1])
        ['item', 'item', 'user']
    """
    if not 0 <= user < train.num_users:
        raise ValueError(f"'user' must be in [0, {train.num_users}) (got {user})")
    at_least(0, num_others=num_others)
    shown = _shown(train, user, items)
    graph = nx.Graph()
    graph.add_node(("user", user), ego=True)
    others = _others(train, user, shown, num_others)
    graph.add_edges_from(_interactions(train, torch.cat([torch.tensor([user]), others]), shown))
    graph.add_edges_from(_categories(train, shown))
    if interests is not None:
        graph.add_edges_from(_interests(user, shown, interests))
    for kind, index in graph:
        graph.nodes[kind, index].update(kind=kind, index=index, label=_label(train, kind, index))
    return graph


def _shown(train: Interactions, user: int, items: Tensor | None) -> list[int]:
    """Return the different items of the user, or those that were asked for."""
    mine = train.take(train.user == user)
    known = list(dict.fromkeys(mine.item[chronological(mine)].tolist()))
    if items is None:
        return known
    chosen: list[int] = items.tolist()
    if len(set(chosen)) < len(chosen):
        raise ValueError(f"'items' must name each item once (got {len(chosen) - len(set(chosen))} repeated)")
    if strange := sorted(set(chosen) - set(known)):
        raise ValueError(f"'items' must be items of user {user} (got {', '.join(map(str, strange[:5]))})")
    return chosen


def _others(train: Interactions, user: int, shown: list[int], number: int) -> Tensor:
    """Return the users with most of these items but the user itself, the lower index first."""
    rows = train.take(torch.isin(train.item, torch.tensor(shown, dtype=torch.int64)) & (train.user != user))
    shared = torch.unique(rows.pairs()).div(max(1, train.num_items), rounding_mode="floor")
    count = shared.bincount(minlength=train.num_users)
    best: Tensor = count.argsort(descending=True, stable=True)[:number]
    return best[count[best] > 0]


def _interactions(train: Interactions, users: Tensor, shown: list[int]) -> Iterator[_Edge]:
    """Yield the edges of users to items with what is known of them."""
    both = torch.isin(train.user, users) & torch.isin(train.item, torch.tensor(shown, dtype=torch.int64))
    rows = train.take(both)
    rows = rows.take(rows.distinct_rows())
    columns = {"weight": rows.weight, "time": rows.time}
    known = {name: values.tolist() for name, values in columns.items() if values is not None}
    for row, (user, item) in enumerate(zip(rows.user.tolist(), rows.item.tolist(), strict=True)):
        yield ("user", user), ("item", item), {name: values[row] for name, values in known.items()}


def _categories(train: Interactions, shown: list[int]) -> Iterator[_Edge]:
    if (labels := train.categories) is not None:
        chosen = torch.isin(labels.item, torch.tensor(shown, dtype=torch.int64))
        for item, category in zip(labels.item[chosen].tolist(), labels.category[chosen].tolist(), strict=True):
            yield ("item", item), ("category", category), {}


def _interests(user: int, shown: list[int], interests: Tensor) -> Iterator[_Edge]:
    """Yield the edges of the user to its interests, and of these to their items."""
    if interests.shape[-1:] != (len(shown),) or interests.dim() > 2:
        raise ValueError(
            f"'interests' must be [{len(shown)}] or [num_interests, {len(shown)}], with a place for each of the items "
            f"that are shown (got {tuple(interests.shape)})"
        )
    if interests.dim() == 1:
        number = int(interests.max()) + 1 if len(interests) else 0
        interests = (interests == torch.arange(number, device=interests.device).unsqueeze(1)).float()
    for interest, weights in enumerate(interests.tolist()):  # [num_interests, n]
        yield ("user", user), ("interest", interest), {}
        for item, weight in zip(shown, weights, strict=True):
            if weight > 0:
                yield ("interest", interest), ("item", item), {"weight": weight}


def _label(train: Interactions, kind: str, index: int) -> str:
    if kind == "item" and train.titles is not None:
        return train.titles[index]
    if kind == "category" and train.categories is not None:
        return train.categories.names[index]
    if kind == "interest":
        return f"interest {index + 1}"
    ids = train.users if kind == "user" else train.items
    return str(ids.decode(torch.tensor([index]))[0])
