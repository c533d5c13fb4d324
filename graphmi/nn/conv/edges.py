"""What graph layers take, brought into one form: a pair of node matrices and a weighted adjacency."""

import torch
from torch import Tensor

from graphmi.nn.adjacency import Adjacency, as_adjacency

__all__ = ["node_pair", "prepare"]


def node_pair(x: Tensor | tuple[Tensor, Tensor | None]) -> tuple[Tensor, Tensor | None]:
    """Return the vectors of sources and destinations; they are the same for a single matrix."""
    return (x, x) if isinstance(x, Tensor) else (x[0], x[1])


def prepare(
    x: Tensor | tuple[Tensor, Tensor | None],
    edge_index: Tensor | Adjacency,
    edge_weight: Tensor | None,
    *,
    dim: int,
    size: tuple[int, int] | None,
    normalize: bool,
) -> Adjacency:
    """Return the edges as an adjacency, symmetrically normalised where asked for.

    An :class:`Adjacency` already carries its final weights and passes unchanged.

    Raises:
        ValueError: If the vectors of the sources are not ``[num_src, dim]``, the number of destinations is unknown, or
            the edges do not fit the vectors.
    """
    source, destination = node_pair(x)
    if source.dim() != 2 or source.size(1) != dim:
        raise ValueError(f"node vectors must be [num_nodes, {dim}], as 'dim' says (got {list(source.shape)})")
    if destination is not None:
        size = (source.size(0), destination.size(0))
    elif size is None:
        raise ValueError("'size' = (num_src, num_dst) is needed where the destinations have no vectors (x[1] is None)")
    adjacency = as_adjacency(edge_index, edge_weight, size=size)
    if isinstance(edge_index, Adjacency):
        return adjacency
    value = adjacency.value.to(torch.promote_types(adjacency.value.dtype, source.dtype))
    if normalize:
        value = _symmetric(adjacency, value, square=isinstance(x, Tensor))
    if edge_weight is None and edge_index.layout == torch.strided:  # nobody gave weights of another format
        value = value.to(source.dtype)
    return adjacency if value is adjacency.value else adjacency.with_value(value)


def _symmetric(adjacency: Adjacency, value: Tensor, *, square: bool) -> Tensor:
    # As PyG's gcn_norm: on a single node set both ends count their incoming edges.
    num_src, num_dst = adjacency.size
    dst = adjacency.dst
    degree_dst = value.new_zeros(num_dst).index_add(0, dst, value)
    degree_src = degree_dst if square else value.new_zeros(num_src).index_add(0, adjacency.col, value)
    scale_src, scale_dst = (torch.where(degree > 0, degree, torch.inf).rsqrt() for degree in (degree_src, degree_dst))
    return scale_src.index_select(0, adjacency.col) * value * scale_dst.index_select(0, dst)
