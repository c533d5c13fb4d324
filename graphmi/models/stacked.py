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


def _alike(center: Tensor, num_interests: int) -> Tensor:
    return center.unsqueeze(1).expand(-1, num_interests, -1)
