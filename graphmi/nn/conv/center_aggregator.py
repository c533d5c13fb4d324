"""The layer that chooses, from the virtual interests, the center that travels to the next hop."""

from typing import Literal, get_args

import torch
from torch import Tensor, nn

from graphmi.kernels import use_triton
from graphmi.nn.adjacency import Adjacency
from graphmi.nn.sparse import edge_dot, propagate
from graphmi.ranges import one_of

__all__ = ["Center", "CenterAggregator"]

Center = Literal["node_dot", "node_norm", "edge_dot", "sum"]


class CenterAggregator(nn.Module):
    r"""Next center of each node by an argmax over virtual interests (`WWW 2024 <https://arxiv.org/abs/2402.13495>`_).

    .. math::
        k^*(v) = \mathrm{argmax}_k \langle E_V[v, k], E_C[v] \rangle, \qquad E_C'[v] = E_V[v, k^*(v)]

    The paper names the argmax; the formula is a reconstruction. Ties go to the lowest index; no gradient flows through
    the choice.

    Args:
        mode: ``"node_dot"`` as above; ``"node_norm"`` takes the longest virtual interest; ``"sum"`` adds them up,
            which is the backbone convolution, or ``num_interests`` times that where they were rescaled, so that in a
            mean over layers layer ``l`` weighs ``num_interests ** l``; with ``"edge_dot"`` every edge brings the
            interest of the *neighbour* that is closest to the receiver,
            :math:`E_C'[v] = \sum_j \phi_{vj} E_V[j, \mathrm{argmax}_k \langle E_V[j, k], E_C[v] \rangle]`, by sampled
            products: a few numbers per edge, whatever ``num_interests`` and ``dim``.

    Shapes:
        - **input:** virtual interests ``[num_dst, num_interests, dim]`` (for ``"edge_dot"`` those of the sources,
          ``[num_src, num_interests, dim]``, and an ``Adjacency``), centers ``[num_dst, dim]`` (the "dot" modes)
        - **output:** ``[num_dst, dim]``

    Raises:
        ValueError: If the mode is unknown, or what it needs is not given.

    Example:
        >>> CenterAggregator()(torch.tensor([[[1.0, 0.0], [0.0, 2.0]]]), torch.tensor([[0.0, 1.0]]))
        tensor([[0., 2.]])
    """

    def __init__(self, mode: Center = "node_dot") -> None:
        super().__init__()
        one_of(get_args(Center), mode=mode)
        self.mode = mode

    def forward(self, virtual: Tensor, center: Tensor | None = None, adjacency: Adjacency | None = None) -> Tensor:
        """Return the next centers, ``[num_dst, dim]``."""
        if virtual.size(1) == 1 and self.mode != "edge_dot":
            return virtual.squeeze(1)
        if self.mode == "sum":
            return virtual.sum(1)
        if self.mode == "node_norm":
            return _take(virtual, virtual.square().sum(-1))
        if center is None:
            raise ValueError(f"mode {self.mode!r} needs the centers of the destinations (got None)")
        if self.mode == "node_dot":
            return _take(virtual, (virtual * center.unsqueeze(1)).sum(-1))
        if adjacency is None:
            raise ValueError("mode 'edge_dot' needs the adjacency: pass it as the third argument")
        return _closest_per_edge(virtual.transpose(0, 1), center, adjacency)

    def carried(self, parts: Tensor, virtual: Tensor, center: Tensor, adjacency: Adjacency, entries: Tensor) -> Tensor:
        """Return what some edges carry: over all edges of a node they sum to its next center.

        Args:
            parts: What they carry to the virtual interests, ``[num, num_interests, dim]``.
            virtual: Virtual interests of all nodes, ``[num_nodes, num_interests, dim]``.
            center: Centers of all nodes, ``[num_nodes, dim]``.
            adjacency: The edges, between nodes of one set.
            entries: Positions of the edges asked for, ``[num]``.

        Returns:
            ``[num, dim]``.
        """
        if self.mode == "sum":
            return parts.sum(1)
        dst = adjacency.dst[entries].long()
        if self.mode == "node_norm":
            return _take(parts, virtual[dst].square().sum(-1))
        if self.mode == "node_dot":
            return _take(parts, (virtual[dst] * center[dst].unsqueeze(1)).sum(-1))
        neighbor = virtual[adjacency.col[entries].long()]
        closest = _take(neighbor, (neighbor * center[dst].unsqueeze(1)).sum(-1))
        return adjacency.value[entries].unsqueeze(-1) * closest

    def extra_repr(self) -> str:
        """Return the arguments for ``repr``."""
        return repr(self.mode)


def _take(virtual: Tensor, score: Tensor) -> Tensor:
    chosen = score.detach().argmax(1)  # [num_dst]
    return virtual.gather(1, chosen.view(-1, 1, 1).expand(-1, 1, virtual.size(-1))).squeeze(1)


def _closest_per_edge(virtual: Tensor, center: Tensor, adjacency: Adjacency) -> Tensor:
    center, few = center.to(virtual.dtype), len(virtual) <= 256
    if few and use_triton(virtual):
        from graphmi.kernels.closest import closest

        chosen = closest(adjacency.dst, adjacency.col, center.detach(), virtual.detach())
    else:
        best = edge_dot(adjacency, center, virtual[0])  # [num_edges]
        chosen = torch.zeros_like(best, dtype=torch.uint8 if few else torch.int64)
        for k, part in enumerate(virtual[1:], start=1):  # a running maximum: ties stay with the lowest index
            score = edge_dot(adjacency, center, part)
            chosen = torch.where(score > best, k, chosen)
            best = torch.maximum(score, best)
    return propagate(adjacency.reading(chosen, len(virtual)), virtual.flatten(0, 1))  # [num_dst, dim]
