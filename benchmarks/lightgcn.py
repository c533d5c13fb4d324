"""LightGCN on MovieLens-1M: an epoch of graphmi, of PyG's LightGCN and of RecBole's, at the same batch size.

Run ``OMP_NUM_THREADS=1 python benchmarks/run.py lightgcn``. Leave-one-out training pairs (987,531), d = 64, 3 layers,
BPR with one uniform negative per pair, L2 penalty 1e-4, Adam. A step has everything an epoch consists of: the pairs of
the batch, negatives, forward, backward and optimizer. Steps are taken in alternation and scaled to an epoch; times are
CPU seconds of the process, so that what others take is not counted. PyG is its example (``examples/lightgcn.py``) on
``edge_index``, and the same with the graph as CSR. RecBole is driven in an environment of its own, see ``peers/``. What
comes out of the same number of epochs: ``time_to_accuracy.py``.
"""

import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import cycle
from pathlib import Path

import torch
from measure import Row, Timing
from peers.process import Peer
from torch import Tensor, nn
from torch_geometric.nn import LightGCN

from graphmi.data import Dataset, InteractionLoader, LeaveOneOut, deduplicate, open_data
from graphmi.losses import BPRLoss, EmbeddingNorm, MultiInterestLoss, Weighted
from graphmi.models import InterestGCN
from graphmi.nn import SelectReadout
from graphmi.samplers import UniformSampler

DIM, LAYERS, PENALTY = 64, 3, 1e-4
ROUNDS = {2_048: 5, 65_536: 3}


def movielens() -> Dataset:
    """Return MovieLens-1M, leave-one-out."""
    return LeaveOneOut()(deduplicate(open_data("ml-1m"), "first"))


def atomic_file(dataset: Dataset, folder: str) -> None:
    """Write the training pairs as RecBole reads them."""
    path = Path(folder) / "ml-1m" / "ml-1m.inter"
    path.parent.mkdir()
    pairs = zip(dataset.train.user.tolist(), dataset.train.item.tolist(), strict=True)
    path.write_text("user_id:token\titem_id:token\n" + "".join(f"{user}\t{item}\n" for user, item in pairs))


class Steps:
    """Training steps one after the other, for as many epochs as are asked for.

    Attributes:
        model: What is trained.
        per_epoch: The number of steps.
    """

    def __init__(self, model: nn.Module, loss: Callable[..., Tensor], batches: Callable, per_epoch: int, rate: float):
        self.model, self.per_epoch = model, per_epoch
        self._batches = (batch for _ in cycle([0]) for batch in batches())
        self._loss, self._optimizer = loss, torch.optim.Adam(model.parameters(), lr=rate)

    def __call__(self, steps: int = 1) -> float:
        """Take steps and return their seconds."""
        start = time.process_time()
        for _ in range(steps):
            value = self._loss(*next(self._batches))
            self._optimizer.zero_grad()
            value.backward()
            self._optimizer.step()
        return time.process_time() - start


def graphmi(dataset: Dataset, num_interests: int, batch_size: int, rate: float = 1e-3) -> Steps:
    """Return the steps of ``lightgcn`` and ``interest-gcn``."""
    graph = dataset.graph()
    model, sampler = InterestGCN(graph, num_interests, DIM, LAYERS), UniformSampler(graph)
    loss = MultiInterestLoss(
        SelectReadout(anchor="candidate"), BPRLoss(), regularizers=[Weighted(PENALTY, EmbeddingNorm())]
    )
    loader = InteractionLoader(graph, batch_size)

    def value(batch) -> Tensor:
        return loss(model(batch), batch.positive, sampler(batch.user, batch.positive))

    return Steps(model, value, lambda: ((batch,) for batch in loader), len(loader), rate)


def pyg(dataset: Dataset, batch_size: int, rate: float = 1e-3, *, csr: bool) -> Steps:
    """Return the steps of PyG's example."""
    user, item = dataset.graph()["user", "interacts", "item"].edge_index
    num_users, num_nodes = dataset.train.num_users, dataset.train.num_users + dataset.train.num_items
    pairs = torch.stack([user, item + num_users])
    edge_index = torch.cat([pairs, pairs.flip(0)], dim=1)
    if csr:
        ones = torch.ones(edge_index.size(1))
        edge_index = torch.sparse_coo_tensor(edge_index, ones, (num_nodes, num_nodes)).coalesce().to_sparse_csr()
    model = LightGCN(num_nodes, DIM, LAYERS)
    nn.init.normal_(model.embedding.weight, std=0.1)  # as the authors of LightGCN, and as graphmi

    def batches() -> Iterator[tuple[Tensor]]:
        for rows in torch.randperm(pairs.size(1)).split(batch_size):
            yield (pairs[:, rows],)

    def value(positive: Tensor) -> Tensor:
        negative = torch.stack([positive[0], torch.randint(num_users, num_nodes, (positive.size(1),))])
        pos, neg = model(edge_index, torch.cat([positive, negative], dim=1)).chunk(2)
        nodes = torch.cat([positive.flatten(), negative[1]])
        return model.recommendation_loss(pos, neg, node_id=nodes, lambda_reg=PENALTY)

    return Steps(model, value, batches, -(-pairs.size(1) // batch_size), rate)


def run() -> list[Row]:
    """Measure all batch sizes."""
    dataset, rows = movielens(), []
    with tempfile.TemporaryDirectory() as folder:
        atomic_file(dataset, folder)
        for batch_size, rounds in ROUNDS.items():
            rows += measure(dataset, folder, batch_size, rounds)
    return rows


def measure(dataset: Dataset, folder: str, batch_size: int, rounds: int) -> list[Row]:
    """Measure steps of one size in alternation, and scale them to an epoch."""
    recbole = Peer("recbole", "recbole_lightgcn", folder)
    single = graphmi(dataset, 1, batch_size)
    alternatives: dict[str, Callable[[], float]] = {
        "graphmi, K = 1": single,
        "graphmi, K = 4": graphmi(dataset, 4, batch_size),
        "RecBole": lambda: recbole.ask("time", batch_size),
        "PyG on CSR": pyg(dataset, batch_size, csr=True),
        "PyG on edge_index": pyg(dataset, batch_size, csr=False),
    }
    samples: dict[str, list[float]] = {name: [] for name in alternatives}
    for _ in range(rounds + 1):
        for name, step in alternatives.items():
            if len(samples[name]) < 2 or "edge_index" not in name:  # which takes too long for more
                samples[name].append(step() * single.per_epoch)
    recbole.close()
    rows = []
    for name, times in samples.items():
        low, median, high = torch.tensor(times[1:]).quantile(torch.tensor([0.25, 0.5, 0.75])).tolist()
        first = rows[0].time.median if rows else median
        rows.append(Row(f"{batch_size:,} pairs: {name}", Timing(median, low, high), median / first, "per epoch"))
    return rows
