"""Propagation, training steps and ranking on a CUDA device, beside the published step on the same one.

Run ``python benchmarks/run.py gpu``; ``python benchmarks/gpu.py cpu`` runs the same on the CPU, to see that it works.
Times are those of the clock, the device waited for before and after, in milliseconds per step; ratios are to the first
row of a group. Shares compare bytes that are counted with a large copy, and operations that are counted with a large
product, on the same device. Sizes are those of ``propagation``, ``sequences`` and ``evaluation``. *Waits* is what
torch's sync debug mode counts in a step: how often the CPU waits for the device.
"""

import argparse
import warnings
from collections.abc import Callable
from contextlib import nullcontext

import torch
from evaluation import DIM, NUM_INTERESTS, NUM_ITEMS, NUM_KNOWN, NUM_USERS, products
from measure import Row, Timing, alternate, copy_bandwidth, matmul_rate
from peers.comirec import ComiRec, batches
from precision import graphmi
from propagation import counted_bytes, skewed_graph
from sequences import LENGTH, NEGATIVES, step
from torch import Tensor
from torch_geometric.nn import LGConv

from graphmi.data import LeaveOneOut, PrefixLoader, TargetLoader, deduplicate, open_data
from graphmi.kernels import triton_kernels
from graphmi.losses import NegativeVectors, SampledSoftmaxLoss
from graphmi.models import SequenceModel
from graphmi.nn import Adjacency, CenterAggregator, LightGCNWeight, SelectReadout, VirtualInterestGenerator, propagate
from graphmi.retrieval import rank
from graphmi.samplers import AllItemsSampler, UniformSampler

REPEATS = 20


def rows(group: str, times: dict[str, Timing], notes: dict[str, str]) -> list[Row]:
    """Return the rows of a group."""
    first = next(iter(times.values())).median
    return [Row(f"{group}: {name}", t, t.median / first, notes.get(name, "")) for name, t in times.items()]


def propagation(device: str) -> list[Row]:
    """Forward and backward of propagation and of the layers with four interests."""
    edge_index = skewed_graph()
    num_nodes = int(edge_index.max()) + 1
    weight = LightGCNWeight()(edge_index, (num_nodes, num_nodes))
    adjacency = Adjacency.from_edge_index(edge_index, weight, size=(num_nodes, num_nodes)).to(device)
    edge_index, weight = edge_index.to(device), weight.to(device)
    x, grad = torch.randn(num_nodes, DIM, device=device, requires_grad=True), torch.randn(num_nodes, DIM, device=device)
    generator = VirtualInterestGenerator(DIM, 4).to(device)
    edge_dot, lgconv = CenterAggregator("edge_dot").to(device), LGConv(normalize=False).to(device)
    virtual = generator(x, adjacency).detach().requires_grad_()
    alternatives: dict[str, Callable[[], object]] = {
        "graphmi propagate": lambda: propagate(adjacency, x).backward(grad),
        "generator, K = 4": lambda: generator(x, adjacency).backward(grad.unsqueeze(1).expand(-1, 4, -1)),
        "edge_dot aggregator, K = 4": lambda: edge_dot(virtual, x, adjacency).backward(grad),
        "PyG LGConv on edge_index": lambda: lgconv(x, edge_index, weight).backward(grad),
    }
    if device == "cuda":
        edge_dots = alternatives["edge_dot aggregator, K = 4"]
        alternatives["edge_dot aggregator, K = 4, Triton"] = in_triton(edge_dots)
    times = alternate(alternatives, REPEATS)
    limit = counted_bytes(edge_index.size(1), num_nodes) / copy_bandwidth(device)
    share = limit / times["graphmi propagate"].median
    return rows("propagation", times, {"graphmi propagate": f"{share:.0%} of the bandwidth"})


def in_triton(function: Callable[[], object]) -> Callable[[], object]:
    """Return a function that runs another with graphmi's own kernels."""

    def run() -> object:
        with triton_kernels():
            return function()

    return run


def softmax(device: str) -> list[Row]:
    """Forward and backward of the log-partition, torch's operations beside graphmi's kernel, and what each holds."""
    objective, found, notes = SampledSoftmaxLoss(temperature=0.1), [], {}
    for title, batch, num_vectors, num_items in (
        ("16,384 targets, 3,416 items", 16_384, 1, NUM_ITEMS),
        ("2,048 users, K = 4, 100,000 items", 2_048, 4, 100_000),
    ):
        vectors = torch.randn(batch, num_vectors, DIM, device=device, requires_grad=True)
        items = torch.randn(num_items, DIM, device=device, requires_grad=True)
        alternatives: dict[str, Callable[[], object]] = {}
        for kind in (None, torch.bfloat16):

            def torchs(vectors: Tensor = vectors, items: Tensor = items, kind: torch.dtype | None = kind) -> None:
                with nullcontext() if kind is None else torch.autocast(torch.device(device).type, kind):
                    partition = objective.partition_of_products(vectors, NegativeVectors(items))
                partition.sum().backward()

            name = f"{title}, {'float32' if kind is None else 'bfloat16'}"
            alternatives[name] = torchs
            if device == "cuda":
                alternatives[f"{name}, Triton"] = in_triton(torchs)
        times = alternate(alternatives, REPEATS)
        if device == "cuda":
            notes = {name: f"{peak(function) / 2**20:,.0f} MiB" for name, function in alternatives.items()}
        found += rows("softmax", times, notes)
    return found


def peak(function: Callable[[], object]) -> int:
    """Return how many bytes more a function holds at a time than before it."""
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    function()
    return torch.cuda.max_memory_allocated() - before


def training(device: str) -> list[Row]:
    """Training steps of ComiRec-SA, everything included, in float32 and in bfloat16."""
    torch.manual_seed(0)
    dataset = LeaveOneOut()(deduplicate(open_data("ml-1m"), "first"))
    graph, train = dataset.graph(), dataset.train
    shared = UniformSampler(graph, NEGATIVES, shared=True, reject_known=False).to(device)
    everything = AllItemsSampler(graph, reject_known=False).to(device)
    published = ComiRec(train.num_items, DIM, LENGTH).to(device)
    targets = {"published": 128}
    steps = {
        "published": step(
            published,
            batches(train, 128, LENGTH),
            lambda batch: published.loss(*(part.to(device) for part in batch)),
        )
    }
    for name, loader, sampler, size in (
        ("graphmi, the same objective", TargetLoader(train, 128, min_history=4), shared, 128),
        ("all prefixes, 2,048", PrefixLoader(train, 2_048), shared, 2_048),
        ("all prefixes, 16,384", PrefixLoader(train, 16_384), shared, 16_384),
        ("all prefixes, 16,384, full softmax", PrefixLoader(train, 16_384), everything, 16_384),
    ):
        for half in (False, True):
            loader.device, title = device, name + (", bfloat16" if half else "")
            model = SequenceModel(graph, DIM, LENGTH).to(device)
            made, source, loss, adam = graphmi(model, loader, sampler, SelectReadout(), 1.0)
            with_format = torch.autocast(torch.device(device).type, torch.bfloat16, enabled=half)
            steps[title], targets[title] = step(made, source, with_format(loss), adam), size
            if size == 128:
                graphs = torch.compile(loss, mode="reduce-overhead")
                steps[f"{title}, compiled"] = step(made, source, with_format(graphs), adam)
                targets[f"{title}, compiled"] = size
            if device == "cuda":
                steps[f"{title}, Triton"], targets[f"{title}, Triton"] = in_triton(steps[title]), size
    times = alternate(steps, REPEATS)
    notes = {name: f"{targets[name] / times[name].median:,.0f} targets/s" for name in steps}
    if device == "cuda":
        notes = {name: f"{note}, {waits(steps[name])} waits" for name, note in notes.items()}
    return rows("training", times, notes)


def waits(function: Callable[[], object]) -> int:
    """Return how often torch says that a function waits for the device."""
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            function()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return sum("synchroniz" in str(each.message) for each in caught)


def ranking(device: str) -> list[Row]:
    """Exact ranking of all items for all users."""
    users = torch.randn(NUM_USERS, NUM_INTERESTS, DIM, device=device)
    items = torch.randn(NUM_ITEMS, DIM, device=device)
    known = torch.rand(NUM_USERS, NUM_ITEMS, device=device).argsort(dim=1)[:, :NUM_KNOWN]
    exclude = torch.arange(NUM_USERS + 1, device=device) * NUM_KNOWN, known.flatten()
    alternatives: dict[str, Callable[[], object]] = {
        "bare products": lambda: products(users, items, 4096),
        "graphmi rank, k = 20, nothing known": lambda: rank(users, items, 20),
        "graphmi rank, k = 20": lambda: rank(users, items, 20, exclude=exclude),
    }
    times = alternate(alternatives, REPEATS)
    operations = 2 * users.numel() * NUM_ITEMS
    share = operations / times["bare products"].median / matmul_rate(device)
    return rows("ranking", times, {"bare products": f"{share:.0%} of the matrix rate"})


def run(device: str = "cuda") -> list[Row]:
    """Measure every group, its alternatives in alternation."""
    return [*propagation(device), *softmax(device), *training(device), *ranking(device)]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("device", choices=("cpu", "cuda"))
    for row in run(parser.parse_args().device):
        print(f"{row.name:60s} {row.time.median * 1e3:10.2f} ms {row.ratio:8.3f}  {row.note}")
