"""Which items the interests and recommendations of users come from, as shares."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from graphmi.retrieval import TopK
from graphmi.typing import Contributions, Representations

__all__ = ["Attribution", "Cause", "attribute"]


@dataclass(frozen=True, slots=True)
class Cause:
    """An item that a user knows, and how much of something comes from it.

    Attributes:
        item: Item id.
        weight: Its share, in ``[0, 1]``; see :class:`graphmi.explain.Explainer`.
    """

    item: int
    weight: float


Causes = tuple[Cause, ...]


class Attribution(NamedTuple):
    """What the interests and the recommendations of one user come from.

    Attributes:
        interests: For each interest the items that it comes from, largest share first.
        items: For each recommendation the items that it comes from.
    """

    interests: list[Causes]
    items: list[Causes]


class _Terms(NamedTuple):
    """The sums of one user: items ``[n]``, vectors ``[n, num_interests, dim]``, rest ``[num_interests, dim]``."""

    item: Tensor
    vector: Tensor
    rest: Tensor


class _Routing(NamedTuple):
    """The routing of one user: items ``[n]``, weights ``[num_interests, n]``."""

    item: Tensor
    weight: Tensor


@torch.no_grad()
def attribute(
    out: Representations, found: TopK, parts: Contributions | None, history: Tensor | None, num_causes: int
) -> list[Attribution]:
    """Return the attribution of each user of a batch.

    Args:
        out: What the model says of the users.
        found: The recommendations of the users.
        parts: The sums behind the interests, where the model has them.
        history: Items of the histories, ``[batch, length]``, where the model read them.
        num_causes: Most causes of each interest and recommendation, at least 0.
    """
    size, num_interests, _ = out.interests.shape
    origin, vector = found.interest.clamp(min=0).cpu(), _scored(out, found).cpu()
    none = [None] * size
    attributions = []
    for row, (terms, routing) in enumerate(
        zip(none if parts is None else _terms(parts, size), _routing(out, history) or none, strict=True)
    ):
        interests: list[Causes] = [()] * num_interests
        items: list[Causes] = [()] * len(origin[row])
        if terms is not None:
            interests = _of_interests(terms, num_causes)
            items = _of_scores(terms, origin[row], vector[row], num_causes)
        if routing is not None:
            interests = _largest(routing.item, routing.weight, routing.weight.new_zeros(num_interests), num_causes)
            items = items if terms is not None else [interests[index] for index in origin[row].tolist()]
        attributions.append(Attribution(interests, items))
    return attributions


def _of_scores(terms: _Terms, origin: Tensor, vector: Tensor, num_causes: int) -> list[Causes]:
    """Return what scores come from: those of item vectors ``[k, dim]`` with the interests ``origin [k]``."""
    scores = terms.vector @ vector.t()  # [n, num_interests, k]
    values = scores[:, origin, torch.arange(len(origin))].t()
    return _largest(terms.item, values, (terms.rest[origin] * vector).sum(-1), num_causes)


def _of_interests(terms: _Terms, num_causes: int) -> list[Causes]:
    """Return what interests come from, along their own directions."""
    interests = terms.vector.sum(0) + terms.rest
    values = torch.einsum("nkd,kd->kn", terms.vector, interests)
    return _largest(terms.item, values, (terms.rest * interests).sum(-1), num_causes)


def _largest(item: Tensor, values: Tensor, rest: Tensor, num_causes: int) -> list[Causes]:
    """Return the largest shares of each row in all that is above 0.

    Args:
        item: Item of each column, ``[n]``; what repeats adds up.
        values: ``[rows, n]``.
        rest: What belongs to no item, ``[rows]``.
        num_causes: How many shares.
    """
    distinct, column = torch.unique(item, return_inverse=True)
    summed = values.new_zeros(len(values), len(distinct)).index_add(1, column, values).clamp(min=0)
    total = summed.sum(1) + rest.clamp(min=0)
    share, order = (summed / total.where(total > 0, 1.0).unsqueeze(1)).sort(dim=1, descending=True, stable=True)
    pairs = zip(distinct[order[:, :num_causes]].tolist(), share[:, :num_causes].tolist(), strict=True)
    return [tuple(Cause(i, w) for i, w in zip(*row, strict=True) if w > 0) for row in pairs]


def _scored(out: Representations, found: TopK) -> Tensor:
    """Return the item vectors that gave the scores, ``[batch, k, dim]``; items can have several."""
    dim = out.interests.size(2)
    vectors = out.items[found.ids.clamp(min=0)].view(*found.ids.shape, -1, dim)  # [batch, k, num_vectors, dim]
    interest = out.interests.gather(1, found.interest.clamp(min=0).unsqueeze(-1).expand(-1, -1, dim))
    best = (vectors * interest.unsqueeze(2)).sum(-1).argmax(-1)
    return vectors.gather(2, best.view(*best.shape, 1, 1).expand(-1, -1, 1, dim)).squeeze(2)


def _terms(parts: Contributions, size: int) -> Iterator[_Terms]:
    """Yield the sums of each user."""
    counts = parts.row.bincount(minlength=size).tolist()
    items, vectors = (torch.split(part.cpu(), counts) for part in (parts.item, parts.vector))
    yield from (_Terms(*row) for row in zip(items, vectors, parts.rest.cpu(), strict=True))


def _routing(out: Representations, history: Tensor | None) -> list[_Routing] | None:
    """Return the routing of each user over its history, where there is any."""
    if out.routing is None or out.mask is None or history is None or out.mask.shape != history.shape:
        return None
    rows = zip(out.routing.cpu(), out.mask.cpu(), history.cpu(), strict=True)
    return [_Routing(item[mask], weight[:, mask]) for weight, mask, item in rows]
