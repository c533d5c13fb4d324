"""A full softmax over all items by whole users and by pairs: time of an epoch.

Run ``OMP_NUM_THREADS=1 python benchmarks/run.py training``. A planted world of the size of MovieLens-100K (943 x
1,682, 100,000 pairs), d = 64, 3 layers, batches of 2,048 pairs or 64 users; negatives, forward, backward and Adam are
included. Then a world of the size of Gowalla (29,858 x 40,981, 717,000 pairs), 2 layers, one step of 1,024 users;
*all products* has the scores of all interests written down, by torch's ``max``. With *sums* the next center is the sum
of the virtual interests, as in ``interest-gcn-softmax``. BPR beside PyG and RecBole is in ``lightgcn.py``.
"""

from collections.abc import Callable
from time import process_time

import torch
from measure import Row, alternate
from torch import Tensor, nn

from graphmi.data import BatchLoader, InteractionLoader, UserLoader, planted, to_graph
from graphmi.losses import Loss, MultiInterestLoss, SampledSoftmaxLoss
from graphmi.losses.hits import Hits
from graphmi.models import InterestGCN
from graphmi.nn import SelectReadout
from graphmi.samplers import AllItemsSampler, Sampler

USERS, ITEMS = 943, 1_682
STEPS = 4
LARGE_USERS, LARGE_ITEMS = 29_858, 40_981


class Written(SampledSoftmaxLoss):
    """The softmax of scores that are written down, as that of any other reduction is."""

    def partition(self, neg: Tensor, correction: Tensor | None = None, hits: Hits | None = None) -> Tensor:
        """Return the log-partition of the negatives, ``[...]``."""
        return super().partition(neg, correction, hits)


def optimized(model: nn.Module, loss: Callable[[], Tensor], rate: float = 1e-3) -> Callable[[], None]:
    """Return a function that takes one step of Adam."""
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)

    def step() -> None:
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()

    return step


def graphmi_step(model: nn.Module, sampler: Sampler, loss: Loss, loader: BatchLoader) -> Callable[[], None]:
    """Return a step of graphmi on the loader's first batch, negatives included."""
    batch = next(iter(loader))
    return optimized(model, lambda: loss(model(batch), batch.positive, sampler(batch.user, batch.positive), batch.row))


def repeat(step: Callable[[], None], times: int) -> Callable[[], None]:
    """Return a function that takes several steps."""

    def steps() -> None:
        for _ in range(times):
            step()

    return steps


def run(repeats: int = 5) -> list[Row]:
    """Measure every alternative in alternation, and scale to an epoch."""
    interactions = planted(USERS, ITEMS, 18, 6, 106)
    graph = to_graph(interactions)
    pairs, users = InteractionLoader(graph, 2048), UserLoader(graph, 64)
    softmax = MultiInterestLoss(SelectReadout(anchor="candidate"), SampledSoftmaxLoss(0.2))
    everything = AllItemsSampler(graph)
    single, several = (InterestGCN(graph, num_interests=k) for k in (1, 4))
    sums = InterestGCN(graph, num_interests=4, center="sum")
    alternatives = {
        "by users, K = 1": (graphmi_step(single, everything, softmax, users), len(users)),
        "by users, K = 4": (graphmi_step(several, everything, softmax, users), len(users)),
        "by users, K = 4, sums": (graphmi_step(sums, everything, softmax, users), len(users)),
        "by pairs, K = 1": (graphmi_step(single, everything, softmax, pairs), len(pairs)),
        "by pairs, K = 4": (graphmi_step(several, everything, softmax, pairs), len(pairs)),
    }
    times = alternate({name: repeat(step, STEPS) for name, (step, _) in alternatives.items()}, repeats, process_time)
    rows = []
    for name, time in times.items():
        scale = alternatives[name][1] / STEPS
        time.median, time.low, time.high = time.median * scale, time.low * scale, time.high * scale
        reference = times["by users, K = 1"]
        rows.append(Row(name, time, time.median / reference.median, "per epoch"))
    return [*rows, *large(repeats)]


def large(repeats: int) -> list[Row]:
    """Measure steps by users among many items."""
    graph = to_graph(planted(LARGE_USERS, LARGE_ITEMS, 100, 6, 24))
    users, everything, readout = UserLoader(graph, 1024), AllItemsSampler(graph), SelectReadout(anchor="candidate")
    alternatives = {
        name: graphmi_step(
            InterestGCN(graph, num_interests, num_layers=2, normalize=True, center=center),
            everything,
            MultiInterestLoss(readout, objective),
            users,
        )
        for name, num_interests, center, objective in (
            ("K = 1", 1, "sum", SampledSoftmaxLoss(0.1)),
            ("K = 4", 4, "node_dot", SampledSoftmaxLoss(0.1)),
            ("K = 4, sums", 4, "sum", SampledSoftmaxLoss(0.1)),
            ("K = 4, all products", 4, "node_dot", Written(0.1)),
        )
    }
    times = alternate(alternatives, repeats, process_time)
    return [
        Row(f"size of Gowalla: {name}", time, time.median / times["K = 1"].median, "per step")
        for name, time in times.items()
    ]
