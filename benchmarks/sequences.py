"""Sequence training: targets per second, one target per user beside all prefixes, and the parts of a step.

Run ``python benchmarks/run.py sequences``. A planted world of the size of MovieLens-100K, self-attentive extractor with
four interests, d = 64, histories of 50. Rows of one group do the same work:

- *128 targets*: a ComiRec-SA step as published, 1,280 negatives. `per-row negatives` is the algorithm of the public
  PyTorch ports, written independently: negatives drawn anew for every row, vectors gathered, one small product a row.
- *2,048 targets*: what as many targets cost, one per user or all prefixes of windows; then with the full softmax.
- *extractor alone*, forward and backward: all prefixes in one pass, and each prefix laid out as a history of its own.
- *log-sum-exp*, forward and backward: the readout of 2,048 x 4 interests over all items, and with torch's function.

Times are per target, in microseconds written as ms of 1,000 targets.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from measure import Row, alternate
from torch import Tensor

from graphmi.data import BatchLoader, PrefixLoader, TargetLoader, planted, to_graph
from graphmi.losses import MultiInterestLoss, SampledSoftmaxLoss
from graphmi.models import SequenceModel
from graphmi.nn import Extractor, LogSumExpReadout, SelectReadout, SelfAttentiveExtractor
from graphmi.samplers import AllItemsSampler, Sampler, UniformSampler
from graphmi.typing import Batch

USERS, ITEMS, LENGTH, NEGATIVES = 943, 1_682, 50, 1_280


def batch_of(loader: BatchLoader) -> Batch:
    """Return a batch of a loader."""
    loader.max_length = LENGTH
    return next(iter(loader))


def step(model: SequenceModel, sampler: Sampler, batch: Batch) -> Callable[[], None]:
    """Return a training step of graphmi, negatives included."""
    loss = MultiInterestLoss(SelectReadout(), SampledSoftmaxLoss())
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)

    def run() -> None:
        value = loss(model(batch), batch.positive, sampler(batch.user, batch.positive))
        optimizer.zero_grad()
        value.backward()
        optimizer.step()

    return run


def per_row_step(model: SequenceModel, batch: Batch) -> Callable[[], None]:
    """Return the step of the public ports: negatives of its own for every row, scored row by row."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)

    def run() -> None:
        interests, items = model(batch).interests, model.embedding.weight
        positive = F.embedding(batch.positive, items)
        best = (interests * positive.unsqueeze(1)).sum(-1).argmax(1)
        chosen = interests[torch.arange(len(best)), best]
        negative = torch.randint(ITEMS, (len(best), NEGATIVES))
        scores = torch.bmm(F.embedding(negative, items), chosen.unsqueeze(-1)).squeeze(-1)
        logits = torch.cat([(chosen * positive).sum(-1, keepdim=True), scores], dim=1)
        loss = F.cross_entropy(logits, torch.zeros(len(best), dtype=torch.long))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return run


def extraction(extractor: Extractor, batch: Batch, *, one_pass: bool) -> Callable[[], None]:
    """Return forward and backward of the interests of all prefixes of a batch."""
    x = torch.randn(*batch.history.shape, 64, requires_grad=True)
    prefixes: Callable[[Tensor, Tensor, Tensor], object] = extractor.prefixes
    if not one_pass:
        prefixes = lambda *arguments: Extractor.prefixes(extractor, *arguments)  # noqa: E731

    def run() -> None:
        prefixes(x, batch.mask, batch.prefix).interests.sum().backward()

    return run


def log_sum_exp(*, own: bool) -> Callable[[], None]:
    """Return forward and backward of the scores of all items by all interests together."""
    interests, items = torch.randn(2048, 4, 64, requires_grad=True), torch.randn(ITEMS, 64, requires_grad=True)
    readout = LogSumExpReadout(temperature=0.1)

    def run() -> None:
        if own:
            scores = readout(interests, items[:1].unsqueeze(0).expand(2048, -1, -1), items).neg
        else:
            scores = torch.logsumexp(interests @ items.T / 0.1, 1) * 0.1
        scores.sum().backward()

    return run


def run(repeats: int = 7) -> list[Row]:
    """Measure every alternative in alternation."""
    torch.manual_seed(0)
    interactions = planted(USERS, ITEMS, 18, 6, 106)
    graph = to_graph(interactions)
    model = SequenceModel(graph, 64, LENGTH)
    small, large = batch_of(TargetLoader(interactions, 128)), batch_of(TargetLoader(interactions, 943))
    windows = batch_of(PrefixLoader(interactions, 2048))
    shared = UniformSampler(graph, NEGATIVES, shared=True, reject_known=False)
    everything = AllItemsSampler(graph, reject_known=False)
    extractor = SelfAttentiveExtractor(64, LENGTH)
    alternatives = {
        "128 targets: one per user": (step(model, shared, small), small),
        "128 targets: per-row negatives": (per_row_step(model, small), small),
        "2,048 targets: all prefixes": (step(model, shared, windows), windows),
        "2,048 targets: one per user": (step(model, shared, large), large),
        "2,048 targets: all prefixes, full softmax": (step(model, everything, windows), windows),
        "extractor alone: one pass": (extraction(extractor, windows, one_pass=True), windows),
        "extractor alone: each prefix": (extraction(extractor, windows, one_pass=False), windows),
        "log-sum-exp: ours": (log_sum_exp(own=True), windows),
        "log-sum-exp: torch's": (log_sum_exp(own=False), windows),
    }
    times = alternate({name: function for name, (function, _) in alternatives.items()}, repeats)
    rows, reference = [], {}
    for name, time in times.items():
        targets = len(alternatives[name][1].positive)
        for part in ("median", "low", "high"):
            setattr(time, part, getattr(time, part) / targets * 1000)
        first = reference.setdefault(name.partition(":")[0], time.median)
        rows.append(Row(name, time, time.median / first, f"{1000 / time.median:,.0f} targets/s"))
    return rows
