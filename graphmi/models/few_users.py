"""Multi-interest convolutions whose virtual interests few users ask for."""

from collections.abc import Sequence

import torch
from torch import Tensor

from graphmi.models.stacked import Layers
from graphmi.nn.adjacency import Adjacency
from graphmi.nn.conv import MultiInterestConv

__all__ = ["are_few", "stacked_for_few"]

_FEW = 4  # so many times as many users and edges there must be


def are_few(user: Tensor, edges: Adjacency, num_users: int) -> bool:
    """Tell whether users are so few that what is made for them alone pays; on the CPU, an accelerator would wait.

    Args:
        user: The users, ``[num]``, which come first among the nodes.
        edges: All edges, half of which lead to users.
        num_users: How many there are.
    """
    if not user.is_cpu or torch.compiler.is_compiling() or _FEW * user.numel() > num_users:
        return False
    degree = edges.rowptr[user + 1] - edges.rowptr[user]
    return _FEW * int(degree.sum()) <= edges.num_edges // 2


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
