"""The layer that spreads center embeddings into virtual interests."""

import math
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch_geometric.utils import softmax

from graphmi.nn.adjacency import Adjacency
from graphmi.nn.autocast import widened
from graphmi.nn.conv.edges import node_pair, prepare
from graphmi.nn.conv.spread import spread
from graphmi.nn.sparse import propagate
from graphmi.nn.unit import unit
from graphmi.ranges import at_least, one_of

__all__ = ["Attention", "VirtualInterestGenerator"]

Attention = Literal["interest", "neighbor", "sigmoid"]


class VirtualInterestGenerator(nn.Module):
    r"""Virtual interests of each node from the centers of its neighbours (`WWW 2024 <https://arxiv.org/abs/2402.13495>`_).

    .. math::
        E_V[v, k] = \sum_{j \in N(v)} \phi_{vj} \, a_{jk} \, E_C[j], \qquad
        a_{jk} = \mathrm{softmax}_k \langle w_k, E_C[j] \rangle

    with the backbone's edge weight :math:`\phi` and one globally shared vector :math:`w_k` per interest. The attention
    depends on the source and the interest only, so the layer is one sparse product per interest on ``[num_src, dim]``;
    nothing of size ``num_edges * num_interests * dim`` is built. The formula is a reconstruction: the paper's full text
    could not be had. Summed over the interests, the default gives the backbone convolution for any :math:`w`.

    Args:
        dim: Size of the vectors, at least 1.
        num_interests: Number of virtual interests :math:`K`, at least 1.
        attention: ``"interest"`` (softmax over the interests), ``"neighbor"`` (softmax over the neighbours
            :math:`N(v)` for each interest) or ``"sigmoid"`` (each on its own).
        temperature: ``None`` for inner products; a positive number for cosines divided by it.
        rescale: Multiply by :math:`K`, since a softmax over :math:`K` interests shrinks norms by about that much.
        normalize: Apply LightGCN's symmetric normalisation to the edges, as :class:`torch_geometric.nn.LGConv`
            does. An :class:`~graphmi.nn.Adjacency` is taken as it is.

    Shapes:
        - **input:** ``x`` of shape ``[num_nodes, dim]`` or ``([num_src, dim], [num_dst, dim] or None)``; edges as
          ``[2, num_edges]``, sorted ``EdgeIndex``, ``torch.sparse_csr`` ``[num_dst, num_src]`` or ``Adjacency``
        - **output:** ``[num_dst, num_interests, dim]``; zeros for nodes without neighbours

    Raises:
        ValueError: If an argument is out of range, or vectors and edges do not fit.

    Example:
        >>> generator = VirtualInterestGenerator(dim=8, num_interests=4)
        >>> edge_index = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])
        >>> generator(torch.randn(3, 8), edge_index).shape
        torch.Size([3, 4, 8])
    """

    def __init__(
        self,
        dim: int,
        num_interests: int = 4,
        *,
        attention: Attention = "interest",
        temperature: float | None = None,
        rescale: bool = False,
        normalize: bool = True,
    ) -> None:
        super().__init__()
        at_least(1, dim=dim, num_interests=num_interests)
        one_of(get_args(Attention), attention=attention)
        if temperature is not None and not temperature > 0:
            raise ValueError(f"'temperature' must be positive, or None for inner products (got {temperature})")
        self.dim, self.num_interests = dim, num_interests
        self.attention, self.temperature = attention, temperature
        self.rescale, self.normalize = rescale, normalize
        self.single = num_interests == 1 and attention == "interest"  # the share of a single interest is one
        self.interest = nn.Parameter(torch.empty(num_interests, dim), requires_grad=not self.single)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the interest vectors from a normal distribution of variance ``1 / dim``."""
        nn.init.normal_(self.interest, std=1 / math.sqrt(self.dim))

    def forward(
        self,
        x: Tensor | tuple[Tensor, Tensor | None],
        edge_index: Tensor | Adjacency,
        edge_weight: Tensor | None = None,
        size: tuple[int, int] | None = None,
    ) -> Tensor:
        """Return the virtual interests, ``[num_dst, num_interests, dim]``.

        Args:
            x: Center vectors of the nodes, or of sources and destinations.
            edge_index: The edges, from source to destination.
            edge_weight: Weight of each edge, ``[num_edges]``.
            size: ``(num_src, num_dst)``, needed only where the destinations have no vectors.
        """
        source, _ = node_pair(x)
        adjacency = prepare(x, edge_index, edge_weight, dim=self.dim, size=size, normalize=self.normalize)
        if self.single:
            return propagate(adjacency, source).unsqueeze(1)
        if self.attention == "neighbor":
            shares = self._neighbor_share(adjacency, source).unbind(-1)
            virtual = torch.stack([propagate(adjacency.with_value(adjacency.value * each), source) for each in shares])
        else:
            virtual = propagate(adjacency, spread(self._share(source), source))  # [num_interests, num_dst, dim]
        return virtual.transpose(0, 1)  # [num_dst, num_interests, dim]

    def summed(self, source: Tensor, adjacency: Adjacency) -> Tensor:
        """Return the sum of the virtual interests, ``[num_dst, dim]``, by one product instead of one for each.

        Args:
            source: Center vectors of the sources, ``[num_src, dim]``.
            adjacency: The edges.
        """
        if self.attention == "neighbor":
            share = self._neighbor_share(adjacency, source).sum(-1)
            return propagate(adjacency.with_value(adjacency.value * share), source)
        if self.attention == "sigmoid":
            return propagate(adjacency, self._share(source).sum(-1, keepdim=True) * source)
        return self._scaled(propagate(adjacency, source))

    def of_rows(self, x: Tensor, weight: Tensor) -> Tensor:
        """Return the virtual interests of nodes whose neighbours lie in rows, ``[num_dst, num_interests, dim]``.

        What :meth:`forward` gives, in dense operations: for a few neighbours each, and for ``torch.export``.

        Args:
            x: Vectors of the neighbours of each node, ``[num_dst, length, dim]``.
            weight: Weights of the edges to them, ``[num_dst, length]``, 0 where there is none.
        """
        if self.single:
            return weight.unsqueeze(1) @ x
        if self.attention == "neighbor":
            logits = widened(self._logits(x)).masked_fill((weight == 0).unsqueeze(-1), torch.finfo(torch.float32).min)
            share = self._scaled(logits.softmax(1).to(x))
        else:
            share = self._share(x)  # [num_dst, length, num_interests]
        return (share * weight.unsqueeze(-1)).transpose(1, 2) @ x

    def carried(self, source: Tensor, adjacency: Adjacency, entries: Tensor) -> Tensor:
        """Return what some edges carry: over all edges of a node they sum to its virtual interests.

        Args:
            source: Center vectors of the sources, ``[num_src, dim]``.
            adjacency: The edges.
            entries: Positions of the edges asked for, ``[num]``, see :meth:`graphmi.nn.Adjacency.entries`.

        Returns:
            ``[num, num_interests, dim]``.
        """
        src = adjacency.col[entries].long()
        if self.attention == "neighbor":
            share = self._neighbor_share(adjacency, source)[entries]
        else:
            share = self._share(source)[src]
        weight = share * adjacency.value[entries].unsqueeze(-1)
        return weight.unsqueeze(-1) * source[src].unsqueeze(1)  # [num, num_interests, dim]

    def _share(self, source: Tensor) -> Tensor:
        """Return how much of each source goes to each interest, ``[num_src, num_interests]``."""
        logits = self._logits(source)
        return self._scaled(logits.softmax(-1) if self.attention == "interest" else logits.sigmoid())

    def _scaled(self, share: Tensor) -> Tensor:
        return share * self.num_interests if self.rescale else share

    def _logits(self, source: Tensor) -> Tensor:
        interest = self.interest.to(source.dtype)
        if self.temperature is None:
            return source @ interest.t()
        cosine = unit(source) @ unit(interest).t()
        return cosine / self.temperature

    def _neighbor_share(self, adjacency: Adjacency, source: Tensor) -> Tensor:
        """Return the softmax over the edges of each destination, ``[num_edges, num_interests]``."""
        logits = self._logits(source)
        per_edge = widened(logits).index_select(0, adjacency.col)  # a sum over many neighbours
        share = softmax(per_edge, ptr=adjacency.rowptr.long(), num_nodes=adjacency.size[1])
        return self._scaled(share.to(torch.promote_types(logits.dtype, adjacency.value.dtype)))

    def extra_repr(self) -> str:
        """Return the arguments for ``repr``."""
        return f"{self.dim}, num_interests={self.num_interests}, attention={self.attention!r}"
