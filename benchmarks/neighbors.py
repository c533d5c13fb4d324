"""Training steps on drawn neighbourhoods against the number of users of the graph.

Run ``OMP_NUM_THREADS=1 python benchmarks/run.py neighbors``. A BPR step of ``InterestGCN`` with four interests, two
layers, d = 64: 256 pairs, a negative for each, 10 neighbours per node in both hops; sampling of pairs, negatives and
neighbours, forward, backward and optimizer (lazy, row-wise Adam) are included. Each user has 10 of a tenth as many
items, the first of them far more popular than the last. The whole graph in a step,
with dense gradients, ends at a hundred thousand users.

Notes have how many rows of the table a step touches, by how much the peak memory of a process of its own grows in three
steps after the first (what a step needs for itself; Linux only), and the bytes of parameters, optimizer and graph.
"""

import multiprocessing
from pathlib import Path

import torch
from measure import Row, alternate
from torch_geometric.data import HeteroData

from graphmi.losses import BPRLoss, MultiInterestLoss
from graphmi.models import InterestGCN
from graphmi.nn import SelectReadout
from graphmi.optim import LazyAdam
from graphmi.samplers import UniformSampler
from graphmi.typing import Batch

PAIRS, NEIGHBORS, LAYERS, INTERESTS, DIM, DEGREE = 256, 10, 2, 4, 64, 10
SIZES = (10_000, 100_000, 1_000_000)
WHOLE = 100_000


def graph_of(num_users: int) -> HeteroData:
    """Return a training graph of so many users; popularity falls like the root of the rank."""
    num_items = num_users // 10
    generator = torch.Generator().manual_seed(0)
    user = torch.arange(num_users).repeat_interleave(DEGREE)
    item = (torch.rand(len(user), generator=generator).square() * num_items).long()
    graph = HeteroData({"user": {"num_nodes": num_users}, "item": {"num_nodes": num_items}})
    graph["user", "interacts", "item"].edge_index = torch.stack([user, item])
    return graph


class Training:
    """A model and its training step.

    Args:
        num_users: Users of the graph.
        whole: Propagate over the whole graph, with dense gradients.
    """

    def __init__(self, num_users: int, whole: bool) -> None:
        torch.manual_seed(0)
        graph = graph_of(num_users)
        self.user, self.item = graph["user", "interacts", "item"].edge_index
        num_neighbors = None if whole else NEIGHBORS
        self.model = InterestGCN(graph, INTERESTS, DIM, LAYERS, num_neighbors=num_neighbors, sparse=not whole)
        self.sampler = UniformSampler(graph, reject_known=False)
        self.loss = MultiInterestLoss(SelectReadout(anchor="candidate"), BPRLoss())
        self.optimizer = LazyAdam(self.model.parameters(), row_wise=True)
        self.step()
        for tensor in self.states():
            tensor.add_(0)  # in memory page by page, as after many steps

    def step(self) -> None:
        """Take one step."""
        pair = torch.randint(len(self.user), (PAIRS,))
        batch = Batch(user=self.user[pair], positive=self.item[pair])
        value = self.loss(self.model(batch), batch.positive, self.sampler(batch.user, batch.positive))
        self.optimizer.zero_grad()
        value.backward()
        self.optimizer.step()

    def states(self) -> list[torch.Tensor]:
        """Return what the optimizer keeps."""
        return [tensor for state in self.optimizer.state.values() for tensor in state.values()]

    def held(self) -> int:
        """Return the bytes of the parameters, what the optimizer keeps and the graph."""
        tensors = [*self.model.parameters(), *self.model.buffers(), *self.states(), self.user, self.item]
        return sum(tensor.nbytes for tensor in tensors)

    def touched(self) -> int:
        """Return how many rows of the table had a gradient in the last step."""
        gradient = self.model.embedding.weight.grad
        return int(gradient._indices().unique().numel()) if gradient.is_sparse else len(gradient)


def peak(num_users: int, whole: bool) -> float:
    """Return by how much the peak memory of a process grows in three steps after the first, in MB."""
    training = Training(num_users, whole)
    training.optimizer.zero_grad()
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak of before
    before = memory("VmRSS")
    for _ in range(3):
        training.step()
    return (memory("VmHWM") - before) / 1e3


def memory(name: str) -> int:
    """Return a line of this process's status, in kB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name))


def run(repeats: int = 7) -> list[Row]:
    """Measure all sizes in alternation."""
    cases = [(size, False) for size in SIZES] + [(size, True) for size in SIZES if size <= WHOLE]
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        peaks = dict(zip(cases, pool.starmap(peak, cases, chunksize=1), strict=True))
    trainings = {case: Training(*case) for case in cases}
    names = {(size, whole): f"{'whole graph' if whole else 'drawn'}, {size:,} users" for size, whole in cases}
    times = alternate({names[case]: training.step for case, training in trainings.items()}, repeats)
    rows = []
    for case, training in trainings.items():
        time, reference = times[names[case]], times[names[SIZES[0], case[1]]]
        note = f"{training.touched():,} rows, step {peaks[case]:,.0f} MB, held {training.held() / 1e9:.2f} GB"
        rows.append(Row(names[case], time, time.median / reference.median, note))
    return rows
