"""Users of a graph model by some of their items: the latest ones, or those of somebody who was not in the graph."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from graphmi.nn.adjacency import Adjacency
from graphmi.nn.conv import MultiInterestConv
from graphmi.typing import Batch, HistoryReader

__all__ = ["Readers", "fold_in", "fold_in_edges", "fold_in_rows", "histories", "latest", "require_readable"]

_FEW = 2048  # positions for which it takes less time to compare each with up to 64 than to sort items and edges


@dataclass(frozen=True)
class Readers:
    """Users and what they are read by.

    Attributes:
        history: Items of each user, ``[batch, length]``; an item that comes several times counts once.
        mask: True where they are real, ``[batch, length]``.
        center: The user's own center, ``[batch, dim]``, 0 for who has none.
        degree: Items of each user in the graph, ``[batch]``, 0 for who is not in it.
    """

    history: Tensor
    mask: Tensor
    center: Tensor
    degree: Tensor


def fold_in(
    convs: Sequence[MultiInterestConv],
    centers: Sequence[Tensor],
    degree: Tensor,
    readers: Readers,
    *,
    plain: bool = True,
) -> tuple[list[Tensor], list[Tensor]]:
    r"""Return the virtual interests and centers that layers give to users, for each layer from 0 on.

    A user :math:`u` hears from the :math:`n` items that it is read by as it would in the graph; items do not hear from
    it. They stand for all its :math:`d_u` items there: LightGCN's weight :math:`1 / \sqrt{d_u d_i}` is multiplied by
    :math:`d_u / n`. For who is not in the graph :math:`d_u = n`.

    Args:
        convs: The layers.
        centers: Centers of the items for each layer from 0 on, ``[num_items, dim]``.
        degree: Users of each item in the graph, ``[num_items]``; an item without any counts as having one.
        readers: The users.
        plain: Whether all layers are graphmi's, and may be asked in rows.

    Returns:
        ``[batch, num_interests, dim]`` and ``[batch, dim]`` for each layer.
    """
    positions = readers.history.numel()
    if plain and positions <= _FEW and positions * readers.history.size(1) <= 64 * _FEW:
        return fold_in_rows(convs, centers, degree, readers)
    return fold_in_edges(convs, centers, degree, readers)[:2]


def fold_in_edges(
    convs: Sequence[MultiInterestConv], centers: Sequence[Tensor], degree: Tensor, readers: Readers
) -> tuple[list[Tensor], list[Tensor], Tensor, Adjacency]:
    """Return what :func:`fold_in` does, the items that are read, ascending, and the edges from these to users."""
    num_items, batch = len(degree), len(readers.history)
    row = torch.arange(batch, device=degree.device).unsqueeze(1)
    pair = torch.unique((row * num_items + readers.history)[readers.mask])
    user, item = pair // num_items, pair % num_items
    number = user.bincount(minlength=batch)
    stands_for = torch.where(readers.degree > 0, readers.degree, number)
    weight = (stands_for[user] / degree[item].clamp_min(1)).sqrt() / number[user]
    read, place = torch.unique(item, return_inverse=True)
    adjacency = Adjacency.from_sorted(place, user, weight.to(centers[0]), size=(len(read), batch))
    virtuals, own = list[Tensor](), [readers.center]
    for conv, center in zip(convs, centers, strict=False):
        virtual, next_own = conv((center.index_select(0, read), own[-1]), adjacency)
        virtuals.append(virtual)
        own.append(next_own)
    return [readers.center.unsqueeze(1).expand_as(virtuals[0]), *virtuals], own, read, adjacency


def fold_in_rows(
    convs: Sequence[MultiInterestConv], centers: Sequence[Tensor], degree: Tensor, readers: Readers
) -> tuple[list[Tensor], list[Tensor]]:
    """Return what :func:`fold_in` does, in dense operations over the positions of histories.

    For the few users of a request, and for ``torch.export``: nothing is sorted, but each position is compared with
    all others.
    """
    mask = readers.mask
    history = readers.history.where(mask, 0)  # what pads need be no item
    place = torch.arange(history.size(1), device=history.device)
    same = (history.unsqueeze(2) == history.unsqueeze(1)) & mask.unsqueeze(1)  # [batch, length, length]
    counts = mask & ~(same & (place < place.unsqueeze(1))).any(2)  # an item that comes several times counts once
    number = counts.sum(1, keepdim=True).clamp_min(1)
    stands_for = torch.where(readers.degree > 0, readers.degree, number.squeeze(1)).unsqueeze(1)
    weight = counts * ((stands_for / degree[history].clamp_min(1)).sqrt() / number).to(readers.center)
    virtuals, own = list[Tensor](), [readers.center]
    for conv, center in zip(convs, centers, strict=False):
        virtuals.append(conv.generator.of_rows(center[history], weight))
        own.append(conv.aggregator(virtuals[-1], own[-1]))
    return [readers.center.unsqueeze(1).expand_as(virtuals[0]), *virtuals], own


def histories(batch: Batch) -> tuple[Tensor, Tensor]:
    """Return the histories of a batch, ``[batch, length]``, and where they are real.

    Raises:
        ValueError: If it has none.
    """
    if batch.history is None or batch.mask is None:
        raise ValueError("users are read by their histories, and the batch has none")
    return batch.history, batch.mask


def latest(model: nn.Module, history: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Return the latest items that a model reads, all for one without ``max_length``, and which are real.

    Args:
        model: Reads histories if it is a :class:`~graphmi.typing.HistoryReader`.
        history: Items of each user, left-aligned, ``[batch, length]``.
        mask: True where they are real, ``[batch, length]``.
    """
    if not isinstance(model, HistoryReader):
        return history, mask
    if not torch.compiler.is_exporting() and model.max_length >= mask.size(1):  # a program reads any length
        return history, mask
    length = mask.sum(1, keepdim=True)
    place = (length - model.max_length).clamp(min=0) + torch.arange(model.max_length, device=mask.device)
    return history.gather(1, place.clamp(max=mask.size(1) - 1)), place < length


def require_readable(num_layers: int, lightgcn: bool, center: str) -> None:
    """Check that users of a model can be read by some of their items.

    Args:
        num_layers: Number of its layers.
        lightgcn: Whether its edges have LightGCN's weights.
        center: How its layers choose centers.

    Raises:
        ValueError: If they cannot.
    """
    if not (num_layers and lightgcn and center != "edge_dot"):
        raise ValueError(
            "to read users by some of their items ('max_length', 'fold_in', '--program') a graph model needs layers, "
            f"LightGCN's weights and a 'center' other than 'edge_dot' (got {num_layers} layers, "
            f"{'its' if lightgcn else 'other'} weights and {center!r})"
        )
