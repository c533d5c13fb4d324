"""Seconds of training to a validation accuracy, leave-one-out: graphmi and its peers.

Run ``OMP_NUM_THREADS=1 python benchmarks/time_to_accuracy.py [sequences] [graphs] [epochs] [--seconds 300] [--data
ml-1m]``; it takes long.
Each line is a point of a curve: seconds of training, validation left out, and NDCG@20 and R@10 of all users by the
evaluator of graphmi. Seconds are CPU seconds of one thread, so that what other processes take is not counted.

- *sequences*: the published ComiRec-SA and BaM-p (``peers/comirec.py``) with histories of 200, and their extractor
  trained on all prefixes, 512 targets a step: with the published loss; with the interest drawn as BaM does and
  histories of 50; and so with a full softmax on cosines.
- *graphs*: LightGCN, d = 64, 3 layers, BPR at several batch sizes with learning rates that grow with the root of the
  batch; a full softmax by users; *reuse*, one propagation for several steps (:class:`Reuse`).
- *epochs*: graphmi, PyG and RecBole for the same epochs at 65,536 pairs.
"""

import argparse
import tempfile
import time
from collections.abc import Callable

import numpy as np
import torch
from evaluation import Lookup
from lightgcn import atomic_file, graphmi, pyg
from peers.comirec import ComiRec, batches
from peers.process import Peer
from sequences import endless
from torch import Tensor, nn
from training import optimized

from graphmi.data import (
    Dataset,
    Histories,
    InteractionLoader,
    LeaveOneOut,
    PrefixLoader,
    UserLoader,
    deduplicate,
    open_data,
)
from graphmi.evaluator import Evaluator
from graphmi.losses import BPRLoss, MultiInterestLoss, SampledSoftmaxLoss
from graphmi.models import InterestGCN, SequenceModel
from graphmi.nn import SampledSelector, SelectReadout
from graphmi.samplers import AllItemsSampler, UniformSampler


class Curves:
    """Trains, validates now and then, and prints the points."""

    def __init__(self, dataset: Dataset) -> None:
        targets, known = dataset.targets("valid"), dataset.known("valid")
        self.evaluate = Evaluator(targets, known, k=(10, 20), history=Histories(known), quick=True)

    def point(self, name: str, seconds: float, model: nn.Module, note: str = "") -> None:
        """Validate a model and print a line."""
        metrics = self.evaluate(model).metrics
        numbers = f"ndcg@20 {metrics['ndcg@20']:.4f}  recall@10 {metrics['recall@10']:.4f}"
        print(f"{name:44} {seconds:7.1f} s  {numbers}  {note}", flush=True)

    def draw(self, name: str, model: nn.Module, step: Callable[[], None], seconds: float, points: int = 10) -> None:
        """Train for so many CPU seconds."""
        spent, steps = 0.0, 0
        for stop in (seconds * (point + 1) / points for point in range(points)):
            start = time.process_time()
            while spent + time.process_time() - start < stop:
                step()
                steps += 1
            spent += time.process_time() - start
            self.point(name, spent, model, f"{steps:,} steps")


def sequences(curves: Curves, dataset: Dataset, seconds: float) -> None:
    """Draw the curves of ComiRec-SA."""
    train, graph = dataset.train, dataset.graph()
    shared = UniformSampler(graph, 1_280, shared=True, reject_known=False)
    everything = AllItemsSampler(graph, reject_known=False)
    hard, drawn = SelectReadout(), SelectReadout(SampledSelector())
    for name, length, rate, sampler, readout, temperature in (
        ("all prefixes, loss as published", 200, 2e-3, shared, hard, None),
        ("all prefixes of 50, drawn interest", 50, 4e-3, shared, drawn, None),
        ("all prefixes of 50, full softmax of cosines", 50, 4e-3, everything, drawn, 0.1),
    ):
        model = SequenceModel(graph, 64, length, normalize=temperature is not None)
        loss = MultiInterestLoss(readout, SampledSoftmaxLoss(temperature or 1.0))
        source = endless(PrefixLoader(train, 512, length))

        def value(model=model, sampler=sampler, loss=loss, source=source) -> Tensor:
            batch = next(source)
            return loss(model(batch), batch.positive, sampler(batch.user, batch.positive))

        curves.draw(name, model, optimized(model, value, rate), seconds / 10, 6)
    for name, chosen in (("published BaM-p", True), ("published ComiRec-SA", False)):
        published, source = ComiRec(train.num_items, 64, 200, drawn=chosen), batches(train, 128, 200)
        next(source)

        def value(published=published, source=source) -> Tensor:
            return published.loss(*next(source))

        curves.draw(name, published, optimized(published, value), seconds)


def graphs(curves: Curves, dataset: Dataset, seconds: float) -> None:
    """Draw the curves of LightGCN."""
    for batch_size, rate in ((2_048, 1e-3), (16_384, 2.8e-3), (65_536, 5.6e-3), (262_144, 1.1e-2)):
        steps = graphmi(dataset, 1, batch_size, rate)
        curves.draw(f"graphmi, BPR, {batch_size:,} pairs", steps.model, steps, seconds)
    for users, rate in ((64, 2e-3), (512, 5.6e-3)):
        model, step = softmax(dataset, users, rate)
        curves.draw(f"graphmi, full softmax, {users} users", model, step, seconds)
    reuse = Reuse(dataset, 2_048, 16, 2.8e-3)
    curves.draw("graphmi, BPR, 2,048 pairs, reuse of 16", reuse.model, reuse, seconds)


def softmax(dataset: Dataset, users: int, rate: float) -> tuple[nn.Module, Callable[[], None]]:
    """Return LightGCN on cosines with a full softmax by users, and its step."""
    graph = dataset.graph()
    model, sampler = InterestGCN(graph, 1, 64, 3, normalize=True), AllItemsSampler(graph)
    loss = MultiInterestLoss(SelectReadout(anchor="candidate"), SampledSoftmaxLoss(0.18))
    source = endless(UserLoader(graph, users))

    def value() -> Tensor:
        batch = next(source)
        return loss(model(batch), batch.positive, sampler(batch.user, batch.positive), batch.row)

    return model, optimized(model, value, rate)


class Reuse:
    """One propagation for several steps: the propagated vectors are trained as if they were the parameters.

    Adam changes them for some batches; the way they went, divided by the rate, is then propagated backward as the
    gradient of the centers. So propagation costs its time once for all of these batches.
    """

    def __init__(self, dataset: Dataset, batch_size: int, steps: int, rate: float) -> None:
        graph = dataset.graph()
        self.model, self.sampler, self.rate, self.steps = (
            InterestGCN(graph, 1, 64, 3),
            UniformSampler(graph),
            rate,
            steps,
        )
        self.source, self.loss = endless(InteractionLoader(graph, batch_size)), BPRLoss()
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=rate)

    def __call__(self) -> None:
        """Propagate once and take the steps."""
        _, layers = self.model.propagate()
        vectors = torch.stack(layers).mean(0)
        leaf = vectors.detach().clone().requires_grad_()
        inner = torch.optim.Adam([leaf], lr=self.rate / self.steps)
        for _ in range(self.steps):
            batch = next(self.source)
            user, items = leaf[: self.model.num_users], leaf[self.model.num_users :]
            negative = self.sampler(batch.user, batch.positive).item.squeeze(1)
            own = user.index_select(0, batch.user)
            pos, neg = ((own * items.index_select(0, item)).sum(-1) for item in (batch.positive, negative))
            inner.zero_grad()
            self.loss(pos, neg.unsqueeze(1)).mean().backward()
            inner.step()
        self.optimizer.zero_grad()
        vectors.backward((vectors - leaf).detach() / self.rate)
        self.optimizer.step()


def epochs(curves: Curves, dataset: Dataset, seconds: float, batch_size: int = 65_536, rate: float = 5.6e-3) -> None:
    """Train graphmi, PyG's and RecBole's LightGCN for the same epochs."""
    for name, steps in {
        "graphmi": graphmi(dataset, 1, batch_size, rate),
        "PyG on CSR": pyg(dataset, batch_size, rate, csr=True),
    }.items():
        spent = 0.0
        for epoch in (2, 4, 6):
            spent += steps(2 * steps.per_epoch)
            model = steps.model if name == "graphmi" else Lookup(*split(steps.model, dataset))
            curves.point(f"{name}, BPR, {batch_size:,} pairs", spent, model, f"{epoch} epochs")
    with tempfile.TemporaryDirectory() as folder:
        atomic_file(dataset, folder)
        peer, spent = Peer("recbole", "recbole_lightgcn", folder), 0.0
        for epoch in (2, 4, 6):
            spent += peer.ask("train", batch_size, rate, 2, f"{folder}/vectors")
            users, items = (torch.from_numpy(np.load(f"{folder}/vectors.{kind}_id.npy")) for kind in ("user", "item"))
            curves.point(
                f"RecBole, BPR, {batch_size:,} pairs", spent, Lookup(users.unsqueeze(1), items), f"{epoch} epochs"
            )
        peer.close()


@torch.no_grad()
def split(model: nn.Module, dataset: Dataset) -> tuple[Tensor, Tensor]:
    """Return the final vectors of PyG's LightGCN: users, as one interest each, and items."""
    user, item = dataset.graph()["user", "interacts", "item"].edge_index
    edges = torch.stack([user, item + dataset.train.num_users])
    vectors = model.get_embedding(torch.cat([edges, edges.flip(0)], 1))
    return vectors[: dataset.train.num_users].unsqueeze(1), vectors[dataset.train.num_users :]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", nargs="*", default=["sequences", "graphs", "epochs"])
    parser.add_argument("--seconds", type=float, default=300, help="of a curve; a tenth for all prefixes")
    parser.add_argument("--data", default="ml-1m")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    dataset = LeaveOneOut()(deduplicate(open_data(arguments.data), "first"))
    curves = Curves(dataset)
    for part in arguments.part:
        {"sequences": sequences, "graphs": graphs, "epochs": epochs}[part](curves, dataset, arguments.seconds)


if __name__ == "__main__":
    main()
