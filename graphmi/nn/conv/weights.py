"""Edge weights of the backbones: LightGCN's normalisation and CAGCN's common-interacted ratio."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from graphmi.nn.adjacency import Adjacency
from graphmi.nn.sparse import propagate
from graphmi.ranges import at_least, one_of
from graphmi.sorting import rank

__all__ = ["CAGCNWeight", "EdgeWeight", "LightGCNWeight"]


class EdgeWeight(ABC):
    """Weights of directed edges, from the structure of the graph alone."""

    @abstractmethod
    def __call__(self, edge_index: Tensor, size: tuple[int, int]) -> Tensor:
        """Return one weight per edge, ``[num_edges]``, for edges ``[2, num_edges]`` and ``(num_src, num_dst)``."""


@dataclass(frozen=True)
class LightGCNWeight(EdgeWeight):
    r"""Symmetric normalisation :math:`1 / \sqrt{d_j d_v}` (`LightGCN, SIGIR 2020 <https://arxiv.org/abs/2002.02126>`_).

    On a bipartite graph each side counts its own edges, so both directions have the same weights.

    Example:
        >>> import torch
        >>> edge_index = torch.tensor([[0, 0, 1], [0, 1, 1]])  # user 0 met items 0 and 1, user 1 met item 1
        >>> LightGCNWeight()(edge_index, size=(2, 2))  # one over the roots of 2 * 1, 2 * 2 and 1 * 2
        tensor([0.7071, 0.5000, 0.7071])
    """

    def __call__(self, edge_index: Tensor, size: tuple[int, int]) -> Tensor:
        """Return the weights ``[num_edges]`` of edges ``[2, num_edges]``."""
        src, dst = edge_index
        degree_src = torch.bincount(src, minlength=size[0]).float()
        degree_dst = torch.bincount(dst, minlength=size[1]).float()
        return (degree_src[src] * degree_dst[dst]).rsqrt()


@dataclass(frozen=True)
class CAGCNWeight(EdgeWeight):
    r"""Common-interacted ratio (`CAGCN, WWW 2023 <https://arxiv.org/abs/2207.06221>`_), as published.

    A neighbour :math:`j` of :math:`v` counts by how much its own neighbours overlap with those of the other
    neighbours of :math:`v`:

    .. math::
        \Phi_{vj} = \frac{1}{d_v} \sum_{j' \in N(v)} \mathrm{sim}(N(j), N(j')), \qquad
        w_{vj} = \gamma \frac{\Phi_{vj}}{\sum_{j'} \Phi_{vj'}} + \frac{1}{\sqrt{d_j d_v}}

    (CAGCN*, ``fused=True``), or, without the second term, the first one scaled by
    :math:`\sum_{j'} 1/\sqrt{d_{j'} d_v}` (CAGCN). The two directions of an edge differ. Computed from products of the
    sparse matrix with dense blocks of ``block_size`` columns: time ``num_edges * num_src``, memory
    ``(num_src + num_dst) * block_size``.

    Args:
        similarity: Overlap of two neighbour sets: ``"jaccard"``, ``"salton"`` (cosine), ``"lhn"``
            (Leicht-Holme-Newman) or ``"common"`` (common neighbours).
        gamma: Strength of the ratio, at least 0; 0 gives LightGCN with ``fused=True``.
        fused: CAGCN* instead of CAGCN.
        block_size: Columns handled at once.

    Example:
        >>> import torch
        >>> edge_index = torch.tensor([[0, 0, 1], [0, 1, 1]])  # user 0 met items 0 and 1, user 1 met item 1
        >>> CAGCNWeight()(edge_index, size=(2, 2))  # LightGCN's, and 1 for who is alone, 1/2 for each of two
        tensor([1.7071, 1.0000, 1.2071])
    """

    similarity: Literal["jaccard", "salton", "lhn", "common"] = "jaccard"
    gamma: float = 1.0
    fused: bool = True
    block_size: int = 256

    def __post_init__(self) -> None:
        one_of(("jaccard", "salton", "lhn", "common"), similarity=self.similarity)
        at_least(0, gamma=self.gamma)
        at_least(1, block_size=self.block_size)

    def __call__(self, edge_index: Tensor, size: tuple[int, int]) -> Tensor:
        """Return the weights ``[num_edges]`` of edges ``[2, num_edges]``, source to destination."""
        dst = edge_index[1]
        ratio = self.common_interacted_ratio(edge_index, size)
        share = ratio / ratio.new_zeros(size[1]).index_add_(0, dst, ratio)[dst]
        symmetric = LightGCNWeight()(edge_index, size)
        if self.fused:
            return self.gamma * share + symmetric
        return self.gamma * share * symmetric.new_zeros(size[1]).index_add_(0, dst, symmetric)[dst]

    def common_interacted_ratio(self, edge_index: Tensor, size: tuple[int, int]) -> Tensor:
        r"""Return :math:`\Phi_{vj}` of each edge, ``[num_edges]``, positive; repeated edges are one."""
        span = int(edge_index.max()) + 1 if edge_index.numel() else 1  # nodes outside of the graph are refused below
        pair, place = rank(edge_index[0].long() * span + edge_index[1])  # sets of neighbours: each edge once
        src, dst = pair // span, pair % span
        to_dst = Adjacency.from_edge_index(torch.stack([src, dst]), size=size)
        to_src = Adjacency.from_edge_index(torch.stack([dst, src]), size=size[::-1])
        degree = to_src.rowptr.diff().float()  # of the sources
        ratios = []
        starts = range(0, max(size[0], 1), self.block_size)  # of no sources there is one block, too
        for first, rows in zip(starts, torch.split(degree, self.block_size), strict=True):
            edges = slice(*torch.searchsorted(src, torch.tensor([first, first + len(rows)]).to(src)).tolist())
            member = degree.new_zeros(size[1], len(rows))  # which destinations know the sources of the block
            member[dst[edges], src[edges] - first] = 1
            common = propagate(to_src, member)  # [num_src, block]: common neighbours of each pair
            summed = propagate(to_dst, self._overlap(common, degree.unsqueeze(1), rows))
            ratios.append(summed[dst[edges], src[edges] - first])
        return (torch.cat(ratios) / to_dst.rowptr.diff()[dst])[place]

    def _overlap(self, common: Tensor, left: Tensor, right: Tensor) -> Tensor:
        if self.similarity == "jaccard":
            scale = left + right - common
        elif self.similarity == "salton":
            scale = (left * right).sqrt()
        elif self.similarity == "lhn":
            scale = left * right
        else:
            return common
        return common / scale.clamp(min=1)  # a node without neighbours has nothing in common
