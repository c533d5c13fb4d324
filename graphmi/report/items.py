"""The map of the items: where a model puts them, in two dimensions."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np
import torch
from scipy.sparse.linalg import LinearOperator, eigsh
from torch import Tensor

from graphmi.asking import device_of, evaluating, propagating_once, question
from graphmi.data import Categories, Histories, Interactions
from graphmi.report.panel import COLORS
from graphmi.restore import Restored
from graphmi.retrieval import best_interest
from graphmi.typing import Representations

__all__ = ["ItemMap", "coloured_categories", "item_category", "map_items"]

_NARROW = 1024  # widest vectors of which all principal components are found
_USERS, _LENGTH, _BATCH = 2000, 100, 256  # users asked which interest fits an item, their latest items, at once


@dataclass(frozen=True, eq=False)
class ItemMap:
    """Items in the plane.

    Attributes:
        item: The items shown, ``[num_shown]``, the most popular first.
        place: Where they lie, ``[num_shown, 2]`` in ``[0, 1]``.
        interest: The interest that fits an item best for most users who had it, ``[num_shown]``; -1 where nobody was
            asked. ``None`` for a model with one interest.
        method: How the places were found.
    """

    item: Tensor
    place: Tensor
    interest: Tensor | None
    method: str


def map_items(run: Restored, num_items: int = 5000) -> ItemMap | None:
    """Return the map of the most popular items; ``None`` where items are a single number (popularity).

    The places are UMAP's (https://arxiv.org/abs/1802.03426) where the package ``umap`` is installed, and the first two
    principal components otherwise.

    How to read it: items that lie close are recommended together. Principal components keep the large distances and
    hide the small ones; UMAP keeps neighbourhoods, and its distances between clusters mean nothing.

    Args:
        run: The run.
        num_items: Most items shown, at least 1.
    """
    train, device = run.dataset.train, device_of(run.model)
    shown = train.item.bincount(minlength=train.num_items).argsort(descending=True, stable=True)[:num_items]
    histories = Histories(train).to(device)
    users = torch.unique(train.user)
    users = users[torch.linspace(0, len(users) - 1, min(_USERS, len(users))).round().long()]
    with evaluating(run.model), propagating_once(run.model), torch.no_grad():
        out: Representations = run.model(question(run.model, users[:1], histories, device))
        vectors = out.items[shown.to(device)].float().cpu()
        if vectors.size(1) < 2:
            return None
        interest = _interest(run, users, histories)[shown] if out.interests.size(1) > 1 else None
    place, method = _place(vectors)
    return ItemMap(shown, place, interest, method)


def _interest(run: Restored, users: Tensor, histories: Histories) -> Tensor:
    """Return the interest that fits each item best for most of its users, ``[num_items]``."""
    device, num_items, parts = device_of(run.model), run.dataset.num_items, []
    for some in torch.split(users, _BATCH):
        out: Representations = run.model(question(run.model, some, histories, device))
        item, mask = histories.read(some, _LENGTH)
        best = best_interest(out.interests, out.items, item, interest_mask=out.interest_mask)
        flat = (item * out.interests.size(1) + best)[mask].cpu()
        parts.append(flat.bincount(minlength=num_items * out.interests.size(1)).view(num_items, -1))
    count = torch.stack(parts).sum(0)  # [num_items, num_interests]
    return count.argmax(1).where(count.any(1), -1)


def _place(vectors: Tensor) -> tuple[Tensor, str]:
    """Return places in ``[0, 1]``, ``[num_items, 2]``, and how they were found."""
    if find_spec("umap") is not None and len(vectors) > 15:
        import umap  # slow to import, and not there for most

        found = umap.UMAP(random_state=0, n_jobs=1).fit_transform(vectors.numpy())
        return _scaled(torch.from_numpy(found)), "UMAP"
    centred = vectors - vectors.mean(0)
    if centred.size(1) <= _NARROW:
        centred = centred.double()
        value, direction = torch.linalg.eigh(centred.T @ centred)  # ascending
    else:
        value, direction = _two_largest(centred)
    variance = torch.linalg.vector_norm(centred, dim=1).double().square().sum()  # without another copy of them
    share = value[-2:].sum() / variance.clamp(min=1e-12)
    top = direction[:, [-1, -2]]
    top = top * top.gather(0, top.abs().argmax(0, keepdim=True)).sign()  # the same picture on every machine
    return _scaled(centred @ top), f"the first two principal components, {100 * share:.0f} % of the variance"


def _two_largest(centred: Tensor) -> tuple[Tensor, Tensor]:
    """Return the two largest eigenvalues of ``centred.T @ centred``, ascending, and their vectors, ``[dim, 2]``.

    Vectors of item neighbours are as wide as there are items, where all eigenvalues would take minutes.
    """
    rows, dim = centred.numpy(), centred.size(1)
    # The last term changes nothing but where all vectors are alike: the start would be mapped to zero there.
    square = LinearOperator((dim, dim), matvec=lambda x: rows.T @ (rows @ x) + 1e-30 * x, dtype=rows.dtype)
    start = np.random.default_rng(0).standard_normal(dim, dtype=rows.dtype)
    value, direction = eigsh(square, k=2, v0=start, tol=1e-6)
    return torch.from_numpy(value), torch.from_numpy(direction)


def _scaled(place: Tensor) -> Tensor:
    place = place.double() - place.double().amin(0)
    return place / place.amax().clamp(min=1e-12)


def coloured_categories(train: Interactions, count: int = len(COLORS) - 1) -> list[int]:
    """Return the categories with the most interactions, the largest first, as many as there are colors."""
    if train.categories is None:
        return []
    popularity = train.item.bincount(minlength=train.num_items).double()
    size = popularity @ train.categories.matrix(train.num_items).double()
    return size.argsort(descending=True, stable=True)[:count].tolist()


def item_category(categories: Categories, num_items: int, coloured: Sequence[int]) -> Tensor:
    """Return which of the coloured categories each item shows, ``[num_items]``; -1 for none.

    An item of several shows the one with the fewest items, which says most about it.
    """
    has = categories.matrix(num_items)[:, list(coloured)]
    size = has.sum(0)
    rarest = size.where(has > 0, torch.inf).argmin(1)
    return rarest.where(has.any(1), -1)
