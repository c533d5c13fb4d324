"""Propagation, forward and backward: graphmi against PyG, autograd's CSR and the bare products.

Run ``python benchmarks/run.py propagation``. The graph has the size of MovieLens-1M (6,040 x 3,706, 1,000,209 pairs,
both directions; drawn with skewed degrees, seed 0), d = 64. Bytes are counted: each direction reads every entry once
(4 bytes of index, 4 of weight), reads ``x`` once and writes the result once; what the caches gain or lose shows in the
share of the copy bandwidth. Below, graphs of the size of Gowalla and Amazon-Book, drawn in the same way.
"""

import warnings

import torch
from measure import Row, alternate, copy_bandwidth, peak_memory
from torch import Tensor
from torch_geometric import EdgeIndex
from torch_geometric.nn import LGConv

from graphmi.nn import Adjacency, CenterAggregator, LightGCNWeight, VirtualInterestGenerator, propagate

NUM_USERS, NUM_ITEMS, NUM_PAIRS, DIM = 6_040, 3_706, 1_000_209, 64
LARGE = {"size of Gowalla": (29_858, 40_981, 1_027_370), "size of Amazon-Book": (52_643, 91_599, 2_984_108)}


def skewed_graph(num_users: int = NUM_USERS, num_items: int = NUM_ITEMS, num_pairs: int = NUM_PAIRS) -> Tensor:
    """Draw distinct user-item pairs, both ends with skewed degrees, as edges of a square graph."""
    generator = torch.Generator().manual_seed(0)
    keys = torch.empty(0, dtype=torch.long)
    while keys.numel() < num_pairs:
        user = (torch.rand(num_pairs, generator=generator) ** 1.7 * num_users).long()
        item = (torch.rand(num_pairs, generator=generator) ** 2.2 * num_items).long()
        keys = torch.cat([keys, user * num_items + item]).unique()
    keys = keys[torch.randperm(keys.numel(), generator=generator)[:num_pairs]]
    user, item = keys // num_items, keys % num_items + num_users
    return torch.stack([torch.cat([user, item]), torch.cat([item, user])])


def counted_bytes(num_edges: int, num_nodes: int, num_interests: int = 1) -> int:
    """Bytes of one product and its gradient, if every operand moved once."""
    return 2 * num_interests * (num_edges * 8 + 2 * num_nodes * DIM * 4)


def large(repeats: int = 5) -> list[Row]:
    """Measure a graph whose vectors are more than the caches hold, beside the bare products."""
    rows = []
    for name, (num_users, num_items, num_pairs) in LARGE.items():
        num_nodes = num_users + num_items
        edge_index = skewed_graph(num_users, num_items, num_pairs)
        weight = LightGCNWeight()(edge_index, (num_nodes, num_nodes))
        adjacency = Adjacency.from_edge_index(edge_index, weight, size=(num_nodes, num_nodes))
        csr = torch.sparse_csr_tensor(adjacency.rowptr, adjacency.col, adjacency.value, (num_nodes, num_nodes))
        csr_t = torch.sparse_csr_tensor(adjacency.rowptr_t, adjacency.col_t, adjacency.value_t, (num_nodes, num_nodes))
        x, grad = torch.randn(num_nodes, DIM, requires_grad=True), torch.randn(num_nodes, DIM)
        alternatives = {
            f"{name}: graphmi propagate": lambda: propagate(adjacency, x).backward(grad),  # noqa: B023
            f"{name}: two bare CSR products": lambda: (csr @ x.detach(), csr_t @ grad),  # noqa: B023
        }
        times = alternate(alternatives, repeats)
        first = next(iter(times.values())).median
        rows += [Row(each, time, time.median / first) for each, time in times.items()]
    return rows


def run(repeats: int = 9) -> list[Row]:
    """Measure every alternative in alternation."""
    num_nodes = NUM_USERS + NUM_ITEMS
    edge_index = skewed_graph()
    weight = LightGCNWeight()(edge_index, (num_nodes, num_nodes))
    adjacency = Adjacency.from_edge_index(edge_index, weight, size=(num_nodes, num_nodes))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        csr = torch.sparse_csr_tensor(adjacency.rowptr, adjacency.col, adjacency.value, (num_nodes, num_nodes))
        csr_t = torch.sparse_csr_tensor(adjacency.rowptr_t, adjacency.col_t, adjacency.value_t, (num_nodes, num_nodes))
        wide = torch.sparse_csr_tensor(csr.crow_indices().long(), csr.col_indices().long(), csr.values(), csr.shape)
    sorted_edges, order = EdgeIndex(edge_index, sparse_size=(num_nodes, num_nodes)).sort_by("col")
    sorted_edges.fill_cache_()
    x = torch.randn(num_nodes, DIM, requires_grad=True)
    grad = torch.randn(num_nodes, DIM)
    grad_k = torch.randn(num_nodes, 4, DIM)
    lgconv = LGConv(normalize=False)
    generator = VirtualInterestGenerator(DIM, 4)
    edge_dot = CenterAggregator("edge_dot")
    virtual = generator(x, adjacency).detach().requires_grad_()
    alternatives = {
        "two bare CSR products": lambda: (csr @ x.detach(), csr_t @ grad),
        "graphmi propagate": lambda: propagate(adjacency, x).backward(grad),
        "graphmi generator, K = 4": lambda: generator(x, adjacency).backward(grad_k),
        "graphmi edge_dot aggregator, K = 4": lambda: edge_dot(virtual, x, adjacency).backward(grad),
        "PyG EdgeIndex with its cache": lambda: sorted_edges.matmul(x, weight[order], transpose=True).backward(grad),
        "torch CSR through autograd": lambda: (wide @ x).backward(grad),
        "PyG LGConv on edge_index": lambda: lgconv(x, edge_index, weight).backward(grad),
    }
    peaks = {name: peak_memory(alternatives[name]) for name in alternatives if "K = 4" in name}
    times = alternate(alternatives, repeats)
    limit = counted_bytes(edge_index.size(1), num_nodes) / copy_bandwidth()
    reference = times["graphmi propagate"]
    rows = [Row(name, time, time.median / reference.median) for name, time in times.items()]
    rows[1].note = (
        f"{counted_bytes(edge_index.size(1), num_nodes) / 1e6:.0f} MB counted, "
        f"{limit / reference.median:.0%} of the copy bandwidth"
    )
    per_edge = 4 * edge_index.size(1) * DIM * 4 / 2**20
    for row in rows[2:4]:
        row.note = f"peak {peaks[row.name] / 2**20:.0f} MiB; a vector per edge and interest: {per_edge:,.0f} MiB"
    return [*rows, *large()]
