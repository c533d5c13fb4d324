"""Training steps: graphmi beside PyG's LightGCN on the same batches, and whole users beside pairs.

Run ``python benchmarks/run.py training``. A planted world of the size of MovieLens-100K (943 x 1,682, 100,000 pairs),
d = 64, 3 layers, BPR with one uniform negative per pair, batches of 2,048; then one epoch of a full softmax by pairs
and by users (64 a batch). Forward, backward and Adam are included, and for graphmi the sampling of negatives; PyG gets
them for nothing.
"""

from collections.abc import Callable

import torch
from measure import Row, alternate
from torch import Tensor, nn
from torch_geometric.data import HeteroData
from torch_geometric.nn import LightGCN

from graphmi.data import BatchLoader, InteractionLoader, UserLoader, planted, to_graph
from graphmi.losses import BPRLoss, Loss, MultiInterestLoss, SampledSoftmaxLoss
from graphmi.models import InterestGCN
from graphmi.nn import SelectReadout
from graphmi.samplers import AllItemsSampler, Sampler, UniformSampler

USERS, ITEMS = 943, 1_682
STEPS = 4


def optimized(model: nn.Module, loss: Callable[[], Tensor]) -> Callable[[], None]:
    """Return a function that takes one step."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)

    def step() -> None:
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()

    return step


def pyg_step(graph: HeteroData, *, csr: bool) -> Callable[[], None]:
    """Return a BPR step of PyG's LightGCN, as in PyG's example."""
    model = LightGCN(USERS + ITEMS, 64, 3)
    user, item = graph["user", "interacts", "item"].edge_index
    edge_index = torch.stack([torch.cat([user, item + USERS]), torch.cat([item + USERS, user])])
    adjacency = edge_index
    if csr:
        ones, size = torch.ones(edge_index.size(1)), (USERS + ITEMS, USERS + ITEMS)
        adjacency = torch.sparse_coo_tensor(edge_index, ones, size).coalesce().to_sparse_csr()
    rows = torch.randint(len(user), (2048,))
    pairs = torch.stack([user[rows], item[rows] + USERS])
    negative = torch.stack([user[rows], torch.randint(ITEMS, (2048,)) + USERS])

    def loss() -> Tensor:
        pos, neg = model(adjacency, torch.cat([pairs, negative], dim=1)).chunk(2)
        return model.recommendation_loss(pos, neg, node_id=pairs.unique(), lambda_reg=1e-4)

    return optimized(model, loss)


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
    bpr = MultiInterestLoss(SelectReadout(anchor="candidate"), BPRLoss())
    softmax = MultiInterestLoss(SelectReadout(anchor="candidate"), SampledSoftmaxLoss(0.2))
    uniform, everything = UniformSampler(graph), AllItemsSampler(graph)
    single, several = (InterestGCN(graph, num_interests=k) for k in (1, 4))
    alternatives = {
        "BPR, graphmi, K = 1": (graphmi_step(single, uniform, bpr, pairs), len(pairs)),
        "BPR, graphmi, K = 4": (graphmi_step(several, uniform, bpr, pairs), len(pairs)),
        "BPR, PyG LightGCN on CSR": (pyg_step(graph, csr=True), len(pairs)),
        "BPR, PyG LightGCN on edge_index": (pyg_step(graph, csr=False), len(pairs)),
        "softmax, graphmi by users, K = 1": (graphmi_step(single, everything, softmax, users), len(users)),
        "softmax, graphmi by users, K = 4": (graphmi_step(several, everything, softmax, users), len(users)),
        "softmax, graphmi by pairs, K = 1": (graphmi_step(single, everything, softmax, pairs), len(pairs)),
        "softmax, graphmi by pairs, K = 4": (graphmi_step(several, everything, softmax, pairs), len(pairs)),
    }
    times = alternate({name: repeat(step, STEPS) for name, (step, _) in alternatives.items()}, repeats)
    rows = []
    for name, time in times.items():
        scale = alternatives[name][1] / STEPS
        time.median, time.low, time.high = time.median * scale, time.low * scale, time.high * scale
        reference = times["BPR, graphmi, K = 1" if name.startswith("BPR") else "softmax, graphmi by users, K = 1"]
        rows.append(Row(name, time, time.median / reference.median, "per epoch"))
    return rows
