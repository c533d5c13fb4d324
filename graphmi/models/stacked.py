"""Multi-interest convolutions one after the other."""

from collections.abc import Sequence

import torch
from torch import Tensor

from graphmi.nn.adjacency import Adjacency
from graphmi.nn.conv import MultiInterestConv

__all__ = ["stacked", "stacked_for_users"]

Layers = tuple[list[Tensor], list[Tensor]]


def stacked(
    convs: Sequence[MultiInterestConv], center: Tensor, num_interests: int, edges: Sequence[Adjacency]
) -> Layers:
    """Return virtual interests ``[num_nodes, num_interests, dim]`` and centers ``[num_nodes, dim]``, layer 0 first.

    Layer 0 has the center as every interest.

    Args:
        convs: The layers.
        center: Centers before the first one, ``[num_nodes, dim]``.
        num_interests: Interests of each node.
        edges: Those of each layer; destinations are the first of the sources.
    """
    virtuals, centers = [_alike(center, num_interests)], [center]
    for conv, adjacency in zip(convs, edges, strict=True):
        num_src, num_dst = adjacency.size
        virtual, center = conv(center if num_src == num_dst else (center, center[:num_dst]), adjacency)
        virtuals.append(virtual)
        centers.append(center)
    return virtuals, centers


def stacked_for_users(
    convs: Sequence[MultiInterestConv], center: Tensor, num_interests: int, to_user: Adjacency, to_item: Adjacency
) -> Layers:
    """Return what :func:`stacked` does where centers are sums, of virtual interests those of users only.

    Nobody asks for those of items, not even to choose a center: their sum is one product instead of ``num_interests``.

    Args:
        convs: The layers, with ``center="sum"``.
        center: Centers before the first one, users first, ``[num_nodes, dim]``.
        num_interests: Interests of each node.
        to_user: Edges from items to users.
        to_item: Edges from users to items.
    """
    virtuals, centers = [_alike(center, num_interests)], [center]
    for conv in convs:
        users, items = torch.split(center, [*to_item.size])
        virtual, own = conv((items, users), to_user)
        center = torch.cat([own, conv.generator.summed(users, to_item)])
        virtuals.append(virtual)
        centers.append(center)
    return virtuals, centers


def stacked_for_few(
    convs: Sequence[MultiInterestConv], center: Tensor, user: Tensor, edges: Adjacency, to_item: Adjacency
) -> Layers:
    """Return virtual interests of some users ``[num, num_interests, dim]`` and centers of items, layer 0 first.

    The last layer makes virtual interests for these users alone, and no centers of users. Where centers are sums, no
    layer makes virtual interests for others. Layer 0 has the center as the one interest, ``[num, 1, dim]``.

    Args:
        convs: The layers, at least one, with another ``center`` than ``"edge_dot"``.
        center: Centers before the first one, users first, ``[num_nodes, dim]``.
        user: The users, ``[num]``, on the CPU.
        edges: All edges.
        to_item: Those from users to items.
    """
    sizes = [*to_item.size]
    to_few = _edges_to(user, edges, sizes[0])
    users, items = torch.split(center, sizes)
    virtuals, centers = [users.index_select(0, user).unsqueeze(1)], [items]
    for conv in convs[:-1]:
        if conv.sums:
            virtual = conv.generator((items, None), to_few, size=to_few.size)
            center = conv.generator.summed(center, edges)
        else:
            virtual, center = conv(center, edges)
            virtual = virtual.index_select(0, user)
        users, items = torch.split(center, sizes)
        virtuals.append(virtual)
        centers.append(items)
    last = convs[-1]
    virtuals.append(last.generator((items, None), to_few, size=to_few.size))
    centers.append(last.generator.summed(users, to_item) if last.sums else last((users, items), to_item)[1])
    return virtuals, centers


def _edges_to(user: Tensor, edges: Adjacency, num_users: int) -> Adjacency:
    """Return the edges from items to some users, of those between users and items."""
    entries, row = edges.entries(user)
    item = edges.col[entries].long() - num_users
    return Adjacency.from_sorted(item, row, edges.value[entries], size=(edges.size[0] - num_users, len(user)))


def _alike(center: Tensor, num_interests: int) -> Tensor:
    return center.unsqueeze(1).expand(-1, num_interests, -1)
