"""Which of several vectors of its source is closest to the destination, at every edge."""

import torch
import triton
import triton.language as tl
from torch import Tensor

__all__ = ["closest"]

_HELD = 4096  # numbers of each side that a program holds at a time


def closest(dst: Tensor, src: Tensor, center: Tensor, virtual: Tensor) -> Tensor:
    r"""Return :math:`\mathrm{argmax}_k \langle x_{k,j}, c_v \rangle` of every edge from j to v, without gradient.

    Every edge reads the vectors of its source once, and one byte is written; ties go to the lowest index.

    Args:
        dst: Destination of each edge, ``[num_edges]``; best in ascending order, where they stay in the cache.
        src: Source of each edge, ``[num_edges]``.
        center: Vectors of the destinations, ``[num_dst, dim]``.
        virtual: Vectors of the sources, ``[num_interests, num_src, dim]``, at most 256 for each.

    Returns:
        ``[num_edges]`` uint8.
    """
    chosen = torch.empty(len(src), dtype=torch.uint8, device=src.device)
    width = triton.next_power_of_2(center.size(1))
    edges = max(_HELD // width, 1)
    if len(src):
        with torch.cuda.device_of(center):
            _closest[(triton.cdiv(len(src), edges),)](
                dst.contiguous(),
                src.contiguous(),
                center.contiguous(),
                virtual.contiguous(),
                chosen,
                len(src),
                *virtual.shape,
                edges=edges,
                width=width,
            )
    return chosen


@triton.jit
def _closest(
    dst, src, center, virtual, chosen, num_edges, num_interests, num_src, dim,
    edges: tl.constexpr, width: tl.constexpr,
):  # fmt: skip
    edge, d = tl.program_id(0).to(tl.int64) * edges + tl.arange(0, edges), tl.arange(0, width)
    there = edge < num_edges
    inside = there[:, None] & (d < dim)[None, :]
    own = tl.load(dst + edge, mask=there, other=0).to(tl.int64)
    other = tl.load(src + edge, mask=there, other=0).to(tl.int64)
    wanted = tl.load(center + own[:, None] * dim + d[None, :], mask=inside, other=0.0)
    if wanted.dtype != tl.float64:  # sums of half precision are too coarse
        wanted = wanted.to(tl.float32)
    offered = tl.load(virtual + other[:, None] * dim + d[None, :], mask=inside, other=0.0)
    best, first = tl.sum(wanted * offered, 1), tl.zeros([edges], tl.int32)
    for k in range(1, num_interests):
        other += num_src
        offered = tl.load(virtual + other[:, None] * dim + d[None, :], mask=inside, other=0.0)
        score = tl.sum(wanted * offered, 1)
        first = tl.where(score > best, k, first)
        best = tl.maximum(best, score)
    tl.store(chosen + edge, first.to(tl.uint8), mask=there)
