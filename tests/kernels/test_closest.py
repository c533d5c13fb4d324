"""The closest vector at every edge beside an argmax over gathered vectors."""

import pytest
import torch

pytest.importorskip("triton", minversion="3.6", reason="Triton is not installed")

from graphmi.kernels import closest as kernel
from graphmi.kernels import triton_kernels
from graphmi.nn import Adjacency, CenterAggregator

SIZES = [(4, 500, 50, 60, 20), (1, 5, 3, 3, 7), (3, 0, 3, 3, 4), (2, 100, 9, 9, 300), (5, 40, 1, 1, 1)]


def draw(sizes, device, dtype):
    num_interests, num_edges, num_dst, num_src, dim = sizes
    center = torch.randn(num_dst, dim, device=device, dtype=dtype)
    virtual = torch.randn(num_interests, num_src, dim, device=device, dtype=dtype)
    dst = torch.randint(num_dst, (num_edges,), device=device, dtype=torch.int32).sort().values
    return dst, torch.randint(num_src, (num_edges,), device=device, dtype=torch.int32), center, virtual


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_is_the_argmax(device, sizes, dtype):
    dst, src, center, virtual = draw(sizes, device, dtype)
    found = kernel.closest(dst, src, center, virtual)
    scores = (virtual[:, src.long()].double() * center[dst.long()].double()).sum(-1)
    assert torch.equal(found.long(), scores.argmax(0))


def test_ties_go_to_the_lowest_index(device):
    dst, src, center, virtual = draw((4, 100, 5, 6, 8), device, torch.float32)
    virtual[3], virtual[2] = virtual[1], virtual[1]
    found = kernel.closest(dst, src, center, virtual)
    assert set(found.tolist()) == {0, 1}


def test_vectors_may_lie_anywhere_in_memory(device):
    dst, src, center, virtual = draw((4, 100, 5, 6, 8), device, torch.float32)
    other = kernel.closest(dst, src, center.T.contiguous().T, virtual.transpose(0, 1).contiguous().transpose(0, 1))
    assert torch.equal(other, kernel.closest(dst, src, center, virtual))


def test_the_aggregator_uses_it(device, monkeypatch):
    calls, original = [], kernel.closest
    monkeypatch.setattr(kernel, "closest", lambda *args: calls.append(args) or original(*args))
    size, dim = (6, 5), 8
    edges = torch.stack([torch.randint(size[0], (30,)), torch.randint(size[1], (30,))]).unique(dim=1).to(device)
    adjacency = Adjacency.from_edge_index(edges, size=size)
    center = torch.randn(size[1], dim, device=device)
    virtual = torch.randn(size[0], 3, dim, device=device, requires_grad=True)
    layer = CenterAggregator("edge_dot")
    reference = layer(virtual, center, adjacency)
    assert not calls
    with triton_kernels():
        found = layer(virtual, center, adjacency)
    assert calls
    torch.testing.assert_close(found, reference)
    direction = torch.randn_like(found)
    grads = (torch.autograd.grad(out, virtual, direction)[0] for out in (found, reference))
    torch.testing.assert_close(*grads)
