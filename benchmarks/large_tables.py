"""Training steps against the number of items: sparse gradients with lazy Adam beside dense ones with torch's Adam.

Run ``OMP_NUM_THREADS=1 python benchmarks/run.py large_tables``. A ComiRec-SA step: 128 users with histories of 50 items
drawn anew for each step, 1,024 shared negatives, d = 64; sampling, forward, backward and optimizer are included. It
looks up 7,552 rows whatever the number of items, from ten thousand to ten million. Dense gradients end at a million.
Steps of a case follow one another, as in training, and the first 20 are not counted: a virtual machine finds again
where its memory lies. The largest case holds 8 GB.

Notes have the bytes of the table, its gradient and its moments that a step moves, counted; what table, moments and a
dense gradient need; and by how much a process of its own grew for the largest model, its sampler and three steps.
"""

import multiprocessing
import resource
from collections.abc import Callable

import torch
from measure import Row, alternate
from torch_geometric.data import HeteroData

from graphmi.losses import MultiInterestLoss, SampledSoftmaxLoss
from graphmi.models import SequenceModel
from graphmi.nn import SelectReadout
from graphmi.optim import LazyAdam
from graphmi.samplers import UniformSampler
from graphmi.typing import Batch

USERS, LENGTH, NEGATIVES, DIM = 128, 50, 1_024, 64
WARM = 20
ROWS = USERS * LENGTH + USERS + NEGATIVES
SIZES = (10_000, 100_000, 1_000_000, 10_000_000)
OPTIMIZERS = {"dense, Adam": False, "sparse, lazy Adam": False, "sparse, row-wise": True}


def graph_of(num_items: int) -> HeteroData:
    """Return a training graph of so many items; a step reads nothing else of it."""
    graph = HeteroData({"user": {"num_nodes": USERS}, "item": {"num_nodes": num_items}})
    graph["user", "interacts", "item"].edge_index = torch.arange(USERS).expand(2, -1)
    return graph


def make_step(kind: str, num_items: int) -> Callable[[], None]:
    """Return a training step."""
    torch.manual_seed(0)
    graph = graph_of(num_items)
    model = SequenceModel(graph, DIM, LENGTH, sparse=kind.startswith("sparse"))
    sampler = UniformSampler(graph, NEGATIVES, shared=True, reject_known=False)
    loss = MultiInterestLoss(SelectReadout(), SampledSoftmaxLoss())
    optimizer = LazyAdam(model.parameters(), row_wise=OPTIMIZERS[kind])
    user, mask = torch.arange(USERS), torch.ones(USERS, LENGTH, dtype=torch.bool)

    def step() -> None:
        items = torch.randint(num_items, (USERS, LENGTH + 1))
        batch = Batch(user=user, positive=items[:, -1], history=items[:, :-1], mask=mask)
        value = loss(model(batch), batch.positive, sampler(user, batch.positive))
        optimizer.zero_grad()
        value.backward()
        optimizer.step()

    step()
    for moment in (tensor for state in optimizer.state.values() for tensor in state.values() if tensor.dim()):
        moment.uniform_()  # in memory page by page, as after many steps
    return step


def peak(kind: str, num_items: int) -> float:
    """Return the peak memory of a process that takes three steps, above what it had before, in GB."""
    make_step(kind, 1_000)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    step = make_step(kind, num_items)
    for _ in range(3):
        step()
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 / 1e9


def moved(kind: str, num_items: int) -> int:
    """Bytes of the table, its gradient and its moments that a step reads and writes."""
    if kind.startswith("dense"):  # the gradient is zeroed, added to and read; table and two moments read and written
        return 4 * DIM * (num_items * (1 + 1 + 6) + 2 * ROWS)
    tables = 2 if kind.endswith("row-wise") else 6
    return 4 * DIM * ROWS * (3 + tables)  # the gradient of a row is written, added up and read


def held(kind: str, num_items: int) -> int:
    """Bytes of the table, its gradient and its moments."""
    tables, numbers = {"dense, Adam": (4, 0), "sparse, lazy Adam": (3, 0), "sparse, row-wise": (1, 2)}[kind]
    return 4 * num_items * (tables * DIM + numbers)


def run(repeats: int = 40) -> list[Row]:
    """Measure one case after the other."""
    cases = [(kind, size) for kind in OPTIMIZERS for size in SIZES if size <= 10**6 or kind.startswith("sparse")]
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        largest = list(dict(cases).items())
        peaks = dict(zip(largest, pool.starmap(peak, largest, chunksize=1), strict=True))
    names = {case: f"{case[0]}, {case[1]:,} items" for case in cases}
    times = {}
    for case in cases:
        step = make_step(*case)
        for _ in range(WARM):
            step()
        times |= alternate({names[case]: step}, repeats)
        del step
    rows = []
    for kind, size in cases:
        time, reference = times[names[kind, size]], times[names[kind, SIZES[0]]]
        note = f"{moved(kind, size) / 1e6:,.0f} MB moved, {held(kind, size) / 1e9:.2f} GB held"
        note += f", peak {peaks[kind, size]:.2f} GB" if (kind, size) in peaks else ""
        rows.append(Row(names[kind, size], time, time.median / reference.median, note))
    return rows
