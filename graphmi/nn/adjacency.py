"""A sparse matrix with its transpose, from all forms of edges that PyG layers take.

Indices are 32 bits wide where the graph allows it, which halves the bytes of a product.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch_geometric import EdgeIndex

from graphmi.sorting import sort_rows

__all__ = ["Adjacency", "as_adjacency"]


@dataclass(frozen=True, slots=True)
class Adjacency:
    """A sparse matrix ``[num_dst, num_src]`` and its transpose, both as CSR.

    Attributes:
        rowptr: Row pointers of the matrix, ``[num_dst + 1]``.
        col: Source node of each entry, ``[num_edges]``, sorted by destination.
        value: Weight of each entry, ``[num_edges]``.
        rowptr_t: Row pointers of the transpose, ``[num_src + 1]``.
        col_t: Destination node of each entry of the transpose, ``[num_edges]``, sorted by source.
        perm: Position in ``value`` of each entry of the transpose, ``[num_edges]``.
        value_t: The transpose's weights, ``value[perm]``.

    Example:
        >>> import torch
        >>> from graphmi.nn import propagate
        >>> adjacency = Adjacency.from_edge_index(torch.tensor([[0, 1, 2], [1, 1, 0]]), size=(3, 2))
        >>> propagate(adjacency, torch.tensor([[1.0], [2.0], [4.0]])).flatten()  # what reaches destination 0, and 1
        tensor([4., 3.])
    """

    rowptr: Tensor
    col: Tensor
    value: Tensor
    rowptr_t: Tensor
    col_t: Tensor
    perm: Tensor
    value_t: Tensor

    @classmethod
    def from_edge_index(
        cls, edge_index: Tensor, edge_weight: Tensor | None = None, *, size: tuple[int, int]
    ) -> "Adjacency":
        """Sort edges into both directions.

        Args:
            edge_index: Source and destination of each edge, ``[2, num_edges]``.
            edge_weight: Weight of each edge, ``[num_edges]``; ones where ``None``.
            size: ``(num_src, num_dst)``.

        Raises:
            ValueError: If the edges are no integers of this shape, name other nodes, or have no weight each.
        """
        edges = edge_index.as_tensor() if isinstance(edge_index, EdgeIndex) else edge_index
        if edges.is_floating_point() or edges.dim() != 2 or edges.size(0) != 2:
            raise ValueError(
                "'edge_index' must hold the numbers of nodes, integers [2, num_edges] "
                f"(got {edges.dtype} {list(edges.shape)})"
            )
        src, dst = edges.long()
        order = sort_rows(dst * size[0] + src)[1]
        src, dst = src[order], dst[order]
        if edge_weight is None:
            edge_weight = torch.ones(src.numel(), device=src.device)
        _check_weight(edge_weight, src.numel())
        return cls.from_sorted(src, dst, edge_weight[order], size=size)

    @classmethod
    def from_sparse_csr(cls, matrix: Tensor) -> "Adjacency":
        """Store the transpose of a ``torch.sparse_csr`` matrix ``[num_dst, num_src]`` beside it."""
        num_dst, num_src = matrix.shape
        rowptr = matrix.crow_indices()
        dst = torch.arange(num_dst, device=rowptr.device).repeat_interleave(
            rowptr.diff(), output_size=matrix.col_indices().numel()
        )
        return cls.from_sorted(matrix.col_indices(), dst, matrix.values(), size=(num_src, num_dst))

    @classmethod
    def from_sorted(cls, src: Tensor, dst: Tensor, value: Tensor, *, size: tuple[int, int]) -> "Adjacency":
        """Take edges that are sorted by destination already.

        Args:
            src: Source of each edge, ``[num_edges]``.
            dst: Destination of each edge, ``[num_edges]``, ascending.
            value: Weight of each edge, ``[num_edges]``.
            size: ``(num_src, num_dst)``.
        """
        num_src, num_dst = size
        narrow = max(src.numel(), num_src, num_dst) < 2**31
        index = torch.int32 if narrow else torch.int64
        perm = sort_rows(src)[1]  # by source, then by destination
        return cls(
            rowptr=_rowptr(dst, num_dst).to(index),
            col=src.to(index),
            value=value,
            rowptr_t=_rowptr(src, num_src).to(index),
            col_t=dst[perm].to(index),
            perm=perm,
            value_t=value[perm],
        )

    @property
    def size(self) -> tuple[int, int]:
        """Return ``(num_src, num_dst)``."""
        return self.rowptr_t.numel() - 1, self.rowptr.numel() - 1

    @property
    def num_edges(self) -> int:
        """Return the number of stored entries."""
        return self.col.numel()

    @property
    def dst(self) -> Tensor:
        """Return the destination node of each entry, ``[num_edges]``."""
        nodes = torch.arange(self.size[1], dtype=self.rowptr.dtype, device=self.rowptr.device)
        return nodes.repeat_interleave(self.rowptr.diff(), output_size=self.num_edges)

    def entries(self, dst: Tensor) -> tuple[Tensor, Tensor]:
        """Return the positions in ``col`` of the entries of some destinations, and whose they are.

        Args:
            dst: Destination nodes, ``[num]``, in any order.

        Returns:
            Positions ``[num_found]`` int64 and rows of ``dst`` ``[num_found]`` int64, ascending.
        """
        count = (self.rowptr[dst + 1] - self.rowptr[dst]).long()
        row = torch.arange(dst.numel(), device=dst.device).repeat_interleave(count)
        first = self.rowptr[dst].long() - (count.cumsum(0) - count)
        return torch.arange(row.numel(), device=dst.device) + first[row], row

    def with_value(self, value: Tensor) -> "Adjacency":
        """Return the same pattern with other weights ``[num_edges]``, in the order of ``col``."""
        _check_weight(value, self.num_edges)
        return replace(self, value=value, value_t=value[self.perm])

    def reading(self, copy: Tensor, num_copies: int) -> "Adjacency":
        """Return a matrix whose sources lie there several times, each entry reading one of the copies.

        Args:
            copy: Which copy each entry reads, ``[num_edges]``, in the order of ``col``; source ``j`` of copy ``k`` is
                node ``k * num_src + j`` of the result.
            num_copies: Number of copies.
        """
        num_src = self.size[0] * num_copies
        src = copy.long() * self.size[0] + self.col
        index = torch.int32 if max(self.num_edges, num_src) < 2**31 else torch.int64
        # bincount would wait for a GPU to learn the largest entry.
        counts = src.new_zeros(num_src).scatter_add_(0, src, torch.ones_like(src))
        order = torch.argsort(copy[self.perm], stable=True)  # by copy, then as before: by source, by destination
        return Adjacency(
            rowptr=self.rowptr.to(index),
            col=src.to(index),
            value=self.value,
            rowptr_t=torch.nn.functional.pad(counts.cumsum(0), (1, 0)).to(index),
            col_t=self.col_t[order].to(index),
            perm=self.perm[order],
            value_t=self.value_t[order],
        )

    def halves(self, num_first: int, num_entries: int) -> tuple["Adjacency", "Adjacency"]:
        """Return what a square matrix of a bipartite graph says of its first nodes, and what of the others.

        Args:
            num_first: Nodes of the first kind, which come first and hear from the others only, as the others do from
                them.
            num_entries: Entries of their rows, as many as the others have.

        Returns:
            The matrices ``[num_first, num_others]`` and ``[num_others, num_first]``.
        """
        return (
            Adjacency(
                rowptr=self.rowptr[: num_first + 1],
                col=self.col[:num_entries] - num_first,
                value=self.value[:num_entries],
                rowptr_t=self.rowptr_t[num_first:] - num_entries,
                col_t=self.col_t[num_entries:],
                perm=self.perm[num_entries:],
                value_t=self.value_t[num_entries:],
            ),
            Adjacency(
                rowptr=self.rowptr[num_first:] - num_entries,
                col=self.col[num_entries:],
                value=self.value[num_entries:],
                rowptr_t=self.rowptr_t[: num_first + 1],
                col_t=self.col_t[:num_entries] - num_first,
                perm=self.perm[:num_entries] - num_entries,
                value_t=self.value_t[:num_entries],
            ),
        )

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> "Adjacency":
        """Return a copy on another device, its weights in another floating type."""
        return Adjacency(
            self.rowptr.to(device),
            self.col.to(device),
            self.value.to(device, dtype),
            self.rowptr_t.to(device),
            self.col_t.to(device),
            self.perm.to(device),
            self.value_t.to(device, dtype),
        )


def as_adjacency(
    edge_index: Tensor | Adjacency, edge_weight: Tensor | None = None, *, size: tuple[int, int]
) -> Adjacency:
    """Read any form of edges that PyG layers take.

    Args:
        edge_index: ``[2, num_edges]``, a sorted :class:`~torch_geometric.EdgeIndex`, a ``torch.sparse_csr`` matrix
            ``[num_dst, num_src]``, or an :class:`Adjacency`, which alone costs nothing here.
        edge_weight: ``[num_edges]`` in the order of ``edge_index``; replaces the values of a matrix.
        size: ``(num_src, num_dst)``.

    Raises:
        ValueError: If a matrix has another size, or edges name a node outside of it (checked by torch).
    """
    if isinstance(edge_index, Adjacency):
        adjacency = edge_index
    elif edge_index.layout == torch.sparse_csr:
        adjacency = Adjacency.from_sparse_csr(edge_index)
    elif edge_index.layout == torch.strided:
        return Adjacency.from_edge_index(edge_index, edge_weight, size=size)
    else:
        raise ValueError(f"'edge_index' must be dense or torch.sparse_csr (got layout {edge_index.layout})")
    if adjacency.size != size:
        raise ValueError(f"The adjacency has (num_src, num_dst) = {adjacency.size}, but the node vectors say {size}")
    return adjacency if edge_weight is None else adjacency.with_value(edge_weight)


def _check_weight(weight: Tensor, num_edges: int) -> None:
    if weight.shape != (num_edges,):
        raise ValueError(f"there must be one weight per edge, {num_edges} (got shape {list(weight.shape)})")


def _rowptr(sorted_or_not: Tensor, num_rows: int) -> Tensor:
    if torch.compiler.is_compiling() or sorted_or_not.is_meta:  # where sizes must not depend on numbers
        counts = sorted_or_not.new_zeros(num_rows).scatter_add_(0, sorted_or_not, torch.ones_like(sorted_or_not))
    else:
        if sorted_or_not.numel() and (first := int(sorted_or_not.min())) < 0:
            raise ValueError(f"An edge names node {first}: leave out the edges that only pad")
        counts = torch.bincount(sorted_or_not, minlength=num_rows)
    if counts.numel() > num_rows:
        raise ValueError(f"An edge names node {counts.numel() - 1}, but there are {num_rows} nodes")
    return torch.nn.functional.pad(counts.cumsum(0), (1, 0))
