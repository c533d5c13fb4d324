"""Several hops of drawn neighbours, in numbers of their own."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from graphmi.neighbors.draw import draw_neighbors

__all__ = ["Hop", "Hops", "sample_hops"]


class Hop(NamedTuple):
    """The edges of one hop, from neighbours to the nodes that drew them.

    Attributes:
        entry: Position of each edge in ``col`` of the graph, ``[num_edges]``.
        src: The neighbour, ``[num_edges]``, as a position in :attr:`Hops.node`.
        dst: The node that drew it, ``[num_edges]``, likewise; ascending.
    """

    entry: Tensor
    src: Tensor
    dst: Tensor


class Hops(NamedTuple):
    """A drawn neighbourhood.

    Attributes:
        node: Ids, ``[num_nodes]``: the seeds as they were given, then what the first hop found and was not there, ...
        num_nodes: How many of them are there before the first hop, after it, ...
        hops: The edges of each hop; those of hop ``h`` lie within the first ``num_nodes[h + 1]`` nodes.
    """

    node: Tensor
    num_nodes: list[int]
    hops: list[Hop]


def sample_hops(
    rowptr: Tensor,
    col: Tensor,
    seed: Tensor,
    num_neighbors: Sequence[int],
    *,
    replace: bool = False,
    anew: bool = False,
    generator: Generator | None = None,
) -> Hops:
    """Draw neighbours of the seeds, of those neighbours, and so on.

    Every node is in the result once, whatever the number of ways to it. Numbers are found by sorting what was drawn, so
    that time and memory depend on the sample and not on the size of the graph. On an accelerator each hop waits for
    the device, which alone knows how many nodes are new.

    Args:
        rowptr: Row pointers of the graph, ``[num_nodes + 1]``.
        col: The neighbour of each entry, ``[num_edges]``.
        seed: Ids to start from, ``[num_seeds]``; if an id repeats, each occurrence draws, and edges start from the
            first one.
        num_neighbors: Neighbours per node in each hop, see :func:`draw_neighbors`.
        replace: Draw with replacement.
        anew: Let every hop draw for all nodes that are there, not only for those that the hop before found. A network
            that takes hop after hop as its layers, the last hop first, has then independent draws in every layer.
        generator: Source of randomness, on the device of ``rowptr``.
    """
    node, num_nodes, hops, first = seed, [seed.numel()], [], 0
    for num in num_neighbors:
        entry, owner = draw_neighbors(rowptr, node[first:], num, replace=replace, generator=generator)
        src, found = _number(node, col[entry].long())
        hops.append(Hop(entry, src, owner + first))
        first = 0 if anew else node.numel()
        node = torch.cat([node, found])
        num_nodes.append(node.numel())
    return Hops(node, num_nodes, hops)


def _number(node: Tensor, neighbor: Tensor) -> tuple[Tensor, Tensor]:
    """Return the position of each neighbour in ``node`` and behind it, and the ids that go there, ascending."""
    known, order = node.sort(stable=True)
    distinct, inverse = torch.unique(neighbor, return_inverse=True)
    place = torch.searchsorted(known, distinct)
    new = torch.ones_like(distinct, dtype=torch.bool)
    if node.numel():
        place = place.clamp_max(node.numel() - 1)
        new = known[place] != distinct
        place = order[place]
    position = torch.where(new, new.cumsum(0) + (node.numel() - 1), place)
    return position[inverse], distinct[new]
