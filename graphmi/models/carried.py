"""What neighbours bring to users through stacked multi-interest convolutions."""

from collections.abc import Iterable, Sequence

from torch import Tensor

from graphmi.nn.adjacency import Adjacency
from graphmi.nn.conv import MultiInterestConv

__all__ = ["carried_to"]


def carried_to(
    user: Tensor,
    convs: Iterable[MultiInterestConv],
    virtuals: Sequence[Tensor],
    centers: Sequence[Tensor | tuple[Tensor, Tensor]],
    adjacency: Adjacency,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return what the edges of some nodes carry to the layer means of their virtual interests and centers.

    Args:
        user: The nodes, ``[batch]``.
        convs: The layers.
        virtuals: Virtual interests of all nodes for each layer from 0 on, ``[num_nodes, num_interests, dim]``.
        centers: Centers of all nodes for each layer from 0 on, ``[num_nodes, dim]``, or of sources and destinations.
        adjacency: The edges.

    Returns:
        To the virtual interests ``[num, num_interests, dim]`` and to the centers ``[num, dim]``, and of each edge the
        row of its node ``[num]`` and the neighbour ``[num]``. What is left of the means is the node's own first center,
        over the number of layers.
    """
    entries, row = adjacency.entries(user)
    virtual = virtuals[0].new_zeros(entries.numel(), *virtuals[0].shape[1:])
    center = virtual.new_zeros(entries.numel(), virtual.size(-1))
    for conv, before, found in zip(convs, centers, virtuals[1:], strict=False):
        to_virtual, to_center = conv.carried(before, adjacency, found, entries)
        virtual += to_virtual
        center += to_center
    return virtual / len(centers), center / len(centers), row, adjacency.col[entries].long()
