"""How costs grow with interactions, items, interests K, vector size d and history length L, as slopes in log-log.

Run ``OMP_NUM_THREADS=1 python benchmarks/run.py growth``, or this file itself to write numbers and picture:
``python benchmarks/growth.py --out docs/results/growth.json --figure docs/images/growth.png`` (``--read`` takes the
numbers from such a file instead of measuring). Everything else stays as it is while one size grows: d = 64, K = 4,
L = 50, 2,000 items, 2,048 targets a step, unless a curve says otherwise. All sizes of a curve run in alternation.

The slope is that of a line through the logarithms of the three largest sizes; *counted* is what the number of
operations grows with in the limit. *Kept* are the bytes that the forward pass leaves for the backward pass, each
storage once, parameters and edges included where they are needed; they are counted, not measured.
"""

import argparse
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from large_tables import graph_of
from matplotlib.ticker import NullFormatter, NullLocator
from measure import Row, Timing, alternate, machine
from torch import Tensor, nn
from torch_geometric.data import HeteroData

from graphmi.data import BatchLoader, InteractionLoader, Interactions, PrefixLoader, planted, to_graph
from graphmi.losses import BPRLoss, MultiInterestLoss, SampledSoftmaxLoss
from graphmi.models import InterestGCN, SequenceModel
from graphmi.models.graph import user_item_adjacency
from graphmi.nn import LightGCNWeight, SelectReadout, SelfAttentiveExtractor, TransformerEncoder, propagate
from graphmi.optim import LazyAdam
from graphmi.retrieval import rank
from graphmi.samplers import AllItemsSampler, Sampler, UniformSampler
from graphmi.typing import Batch

Work = Callable[[], object]
USERS, ITEMS, DIM, LENGTH, TARGETS = 2_000, 2_000, 64, 50, 2_048
COLUMNS = {"interactions": "interactions", "items": "items", "K": "interests K", "d": "vector size d", "L": "length L"}


@dataclass
class Curve:
    """Cost against one size."""

    name: str
    against: str
    sizes: list[int]
    counted: str
    times: list[Timing] = field(default_factory=list)
    kept: list[int] = field(default_factory=list)

    @property
    def slope(self) -> float:
        """The slope of the median time."""
        return slope(self.sizes, [time.median for time in self.times])

    def rows(self) -> list[Row]:
        """Return the lines of the benchmark."""
        rows = []
        for size, time, kept in zip(self.sizes, self.times, self.kept, strict=True):
            note = f"{kept / 1e6:.1f} MB kept" if kept else ""
            row = Row(f"{self.name}, {self.against} = {size:,}", time, time.median / self.times[0].median, note)
            rows.append(row)
        rows[-1].note += f"  slope {self.slope:.2f}, counted {self.counted}"
        if all(self.kept):
            rows[-1].note += f"; of what is kept {slope(self.sizes, self.kept):.2f}"
        return rows


def slope(sizes: Sequence[float], costs: Sequence[float]) -> float:
    """Return the slope of a line through the logarithms of the three largest sizes."""
    return float(np.polyfit(np.log(sizes[-3:]), np.log(costs[-3:]), 1)[0])


def kept(work: Work) -> int:
    """Return the bytes of all storages that are saved for backward passes."""
    storages: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        if tensor.layout == torch.strided:
            storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        work()
    return sum(storages.values())


def training(model: nn.Module, loss: MultiInterestLoss, sampler: Sampler, batches: Sequence[Batch]) -> Work:
    """Return a function that takes a step on each batch, negatives included."""
    optimizer = LazyAdam(model.parameters())

    def work() -> None:
        for batch in batches:
            value = loss(model(batch), batch.positive, sampler(batch.user, batch.positive), batch.row)
            optimizer.zero_grad()
            value.backward()
            optimizer.step()

    return work


def first(loader: BatchLoader, length: int | None = None) -> list[Batch]:
    """Return the first batch of a loader."""
    loader.max_length = length
    return [next(iter(loader))]


def world(num_users: int = USERS, per_user: int = LENGTH) -> Interactions:
    """Return interactions of the usual items."""
    return planted(num_users, ITEMS, 4, 2, per_user)


def propagation(per_user: int) -> Work:
    """Forward and backward of one product."""
    adjacency = user_item_adjacency(to_graph(world(per_user=per_user)), LightGCNWeight())
    x = torch.randn(USERS + ITEMS, DIM, requires_grad=True)
    return lambda: propagate(adjacency, x).sum().backward()


def graph_step(per_user: int = LENGTH, num_interests: int = 1, dim: int = DIM) -> Work:
    """A BPR step of LightGCN with three layers, or of its several interests."""
    graph = to_graph(world(per_user=per_user))
    loss = MultiInterestLoss(SelectReadout(anchor="candidate"), BPRLoss())
    model = InterestGCN(graph, num_interests, dim)
    return training(model, loss, UniformSampler(graph), first(InteractionLoader(graph, TARGETS)))


def softmax(graph: HeteroData, model: nn.Module, batches: Sequence[Batch], *, everything: bool = False) -> Work:
    """Steps with 1,024 shared negatives or with all items."""
    sampler = UniformSampler(graph, 1_024, shared=True, reject_known=False)
    loss = MultiInterestLoss(SelectReadout(), SampledSoftmaxLoss())
    return training(model, loss, AllItemsSampler(graph, reject_known=False) if everything else sampler, batches)


def sequence_epoch(num_users: int) -> Work:
    """All prefixes of all histories once."""
    data, graph = world(num_users), to_graph(world(num_users))
    loader = PrefixLoader(data, TARGETS)
    loader.max_length = LENGTH
    return softmax(graph, SequenceModel(graph, DIM, LENGTH), list(loader))


def lookup_step(num_items: int, *, sparse: bool = False, everything: bool = False) -> Work:
    """A step of 128 users with random histories."""
    graph, items = graph_of(num_items), torch.randint(num_items, (128, LENGTH + 1))
    mask = torch.ones(128, LENGTH, dtype=torch.bool)
    batch = Batch(user=torch.arange(128), positive=items[:, -1], history=items[:, :-1], mask=mask)
    return softmax(graph, SequenceModel(graph, DIM, LENGTH, sparse=sparse), [batch], everything=everything)


def ranking(num_items: int) -> Work:
    """The best 20 of all items for 256 users with four interests."""
    users, items = torch.randn(256, 4, DIM), torch.randn(num_items, DIM)
    return lambda: rank(users, items, 20)


def sequence_step(num_interests: int = 4, dim: int = DIM) -> Work:
    """A step on all prefixes of some histories."""
    data, graph = world(), to_graph(world())
    extractor = partial(SelfAttentiveExtractor, num_interests=num_interests)
    batches = first(PrefixLoader(data, TARGETS), LENGTH)
    return softmax(graph, SequenceModel(graph, dim, LENGTH, extractor=extractor), batches)


def attention(length: int, *, prefixes: bool) -> Work:
    """Forward and backward of the self-attentive extractor on 32 histories, at their end or at every position."""
    extractor, x = SelfAttentiveExtractor(DIM, length), torch.randn(32, length, DIM, requires_grad=True)
    mask, every = torch.ones(32, length, dtype=torch.bool), torch.arange(32 * length)

    def work() -> None:
        out = extractor.prefixes(x, mask, every) if prefixes else extractor(x, mask)
        out.interests.sum().backward()

    return work


def transformer(length: int) -> Work:
    """Forward and backward of a transformer encoder with two layers on 32 histories."""
    encoder, x = TransformerEncoder(DIM, length), torch.randn(32, length, DIM, requires_grad=True)
    mask = torch.ones(32, length, dtype=torch.bool)
    return lambda: encoder(x, mask).sum().backward()


PAIRS, CATALOGUES = (40, 80, 160, 320, 640), (16_000, 64_000, 256_000, 1_024_000)
# Name, what grows, the argument, the sizes, what they are multiplied by for the axis, what is counted, and the work.
CURVES = [
    ("propagation", "interactions", PAIRS, USERS, "1", propagation),
    ("LightGCN step", "interactions", PAIRS, USERS, "1", graph_step),
    ("sequence epoch", "interactions", (125, 250, 500, 1000, 2000), LENGTH, "1", sequence_epoch),
    ("shared negatives, dense", "items", CATALOGUES, 1, "1", lookup_step),
    ("shared negatives, sparse", "items", CATALOGUES, 1, "0", partial(lookup_step, sparse=True)),
    ("full softmax", "items", (4_000, 8_000, 16_000, 32_000, 64_000), 1, "1", partial(lookup_step, everything=True)),
    ("full ranking", "items", (4_000, 16_000, 64_000, 256_000), 1, "1", ranking),
    ("graph step", "K", (1, 2, 4, 8, 16), 1, "1", lambda k: graph_step(num_interests=k)),
    ("sequence step", "K", (1, 2, 4, 8, 16), 1, "0 to 1", lambda k: sequence_step(num_interests=k)),
    ("graph step, K = 4", "d", (16, 32, 64, 128, 256), 1, "1", lambda d: graph_step(num_interests=4, dim=d)),
    ("sequence step, K = 4", "d", (16, 32, 64, 128, 256), 1, "1 to 2", lambda d: sequence_step(dim=d)),
    ("self-attention, at the end", "L", (25, 50, 100, 200, 400), 1, "1", partial(attention, prefixes=False)),
    ("self-attention, all prefixes", "L", (25, 50, 100, 200, 400), 1, "1 to 2", partial(attention, prefixes=True)),
    ("transformer encoder", "L", (25, 50, 100, 200, 400), 1, "1 to 2", transformer),
]


def measured(repeats: int = 7) -> list[Curve]:
    """Measure all curves."""
    curves = []
    for name, against, sizes, unit, counted, work in CURVES:
        torch.manual_seed(0)
        works = {size * unit: work(size) for size in sizes}
        epoch = "epoch" in name  # many steps, of which each gives back what it kept
        curve = Curve(name, against, list(works), counted, kept=[0 if epoch else kept(w) for w in works.values()])
        times = alternate({str(size): work for size, work in works.items()}, 3 if epoch else repeats)
        curve.times = list(times.values())
        curves.append(curve)
    return curves


def run() -> list[Row]:
    """Return the lines of all curves."""
    return [row for curve in measured() for row in curve.rows()]


def figure(curves: list[Curve], path: Path) -> None:
    """Draw a panel for each size that grows."""
    plt.rcParams.update({"font.size": 8, "axes.spines.top": False, "axes.spines.right": False})
    panels, axes = plt.subplots(2, 3, figsize=(9.5, 5.6), layout="constrained")
    for ax, (against, label) in zip(axes.flat, COLUMNS.items(), strict=False):
        for curve, marker in zip([c for c in curves if c.against == against], "osD^", strict=False):
            legend = f"{curve.name}: {curve.slope:.2f} ({curve.counted})"
            milliseconds = [time.median * 1e3 for time in curve.times]
            ax.loglog(curve.sizes, milliseconds, marker=marker, markersize=4, linewidth=1.2, label=legend)
        if against in ("K", "d", "L"):
            ax.xaxis.set_minor_locator(NullLocator())
            ax.set_xticks(curve.sizes, labels=map(str, curve.sizes))
        ax.yaxis.set_minor_formatter(NullFormatter())
        ax.set_title(f"against {label}", fontsize=9)
        ax.legend(frameon=False, fontsize=7, loc="upper left")
        low, high = ax.get_ylim()
        ax.set_ylim(low, high * (high / low) ** 0.45)  # room for the legend
        ax.grid(alpha=0.25, linewidth=0.5)
    for ax in axes[:, 0]:
        ax.set_ylabel("milliseconds")
    text = "Slopes of the three largest sizes\nin log-log; in brackets the slope\nthat counting operations gives"
    axes.flat[-1].text(0.05, 0.6, text, fontsize=9)
    axes.flat[-1].axis("off")
    panels.savefig(path, dpi=110)


def read(path: Path) -> list[Curve]:
    """Return the curves that a file holds."""
    found = json.loads(path.read_text())["curves"]
    names = ("name", "against", "sizes", "counted", "kept")
    return [Curve(**{n: c[n] for n in names}, times=[Timing(**time) for time in c["times"]]) for c in found]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for option, what in (("read", "numbers to read"), ("out", "numbers to write"), ("figure", "picture to write")):
        parser.add_argument(f"--{option}", type=Path, help=what)
    arguments = parser.parse_args()
    load = os.getloadavg()[0]
    curves = read(arguments.read) if arguments.read else measured()
    if arguments.out:
        slopes = [{"slope": c.slope, "slope_kept": slope(c.sizes, c.kept) if all(c.kept) else None} for c in curves]
        found = [asdict(curve) | more for curve, more in zip(curves, slopes, strict=True)]
        about = {"machine": machine(), "load": [load, os.getloadavg()[1]]}
        arguments.out.write_text(json.dumps(about | {"curves": found}, indent=1))
    if arguments.figure:
        figure(curves, arguments.figure)
    for row in (row for curve in curves for row in curve.rows()):
        print(f"{row.name:60s} {row.time.median * 1e3:10.1f} ms {row.ratio:8.2f}  {row.note}")


if __name__ == "__main__":
    main()
