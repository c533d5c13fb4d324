"""Sparse products with a stored transpose: the propagation under all graph layers.

A product with a CSR matrix reads each stored entry once. Its gradient is the product with the transpose, which
autograd of ``torch.sparse_csr`` sorts anew in every backward pass; :class:`Adjacency` stores it once instead.
"""

import torch
from torch import Tensor

from graphmi.nn.adjacency import Adjacency
from graphmi.nn.operators import sddmm, spmm

__all__ = ["edge_dot", "propagate"]


def propagate(adjacency: Adjacency, x: Tensor) -> Tensor:
    r"""Weighted sum over neighbours, :math:`y_v = \sum_{j \in N(v)} w_{vj} x_j`.

    One sparse product per leading index of ``x``; the gradient with respect to ``x`` is the product with the stored
    transpose, that with respect to the weights (only where they ask for one) a sampled dense product, which has no
    gradient itself. The product runs in the wider type of ``x`` and the weights, so autocast does not lower it. As a
    custom operator it is beyond the transforms of ``torch.func``.

    Args:
        adjacency: The edges.
        x: ``[num_src, dim]`` or ``[num_interests, num_src, dim]``.

    Returns:
        ``[num_dst, dim]`` or ``[num_interests, num_dst, dim]``.
    """
    dtype = torch.promote_types(x.dtype, adjacency.value.dtype)
    out: Tensor = spmm(
        adjacency.rowptr,
        adjacency.col,
        adjacency.value.to(dtype),
        adjacency.rowptr_t,
        adjacency.col_t,
        adjacency.value_t.to(dtype),
        x.to(dtype),
    )
    return out


def edge_dot(adjacency: Adjacency, dst: Tensor, src: Tensor) -> Tensor:
    """Inner product of the two end nodes of each edge, without gathering their vectors.

    Args:
        adjacency: The edges.
        dst: Vectors of the destinations, ``[num_dst, dim]``.
        src: Vectors of the sources, ``[num_src, dim]``.

    Returns:
        ``[num_edges]``, in the order of ``adjacency.col``; without gradient.
    """
    out: Tensor = sddmm(adjacency.rowptr, adjacency.col, dst.detach(), src.detach())
    return out
