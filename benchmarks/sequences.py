"""Sequence training on MovieLens-1M: the published step, the same objective in graphmi, and all prefixes at once.

Run ``OMP_NUM_THREADS=1 python benchmarks/run.py sequences``. Self-attentive extractor with four interests, d = 64,
histories of up to 200, 1,280 negatives, Adam. A step has everything that an epoch consists of: batch, negatives,
forward, backward and optimizer; four of a kind follow one another, as in training. Times are CPU seconds of this
process, in milliseconds per 1,000 targets; ratios are to the first row of a group. *Published* is the algorithm of the
public code of BaM and REMI, written independently (``peers/comirec.py``); like it, graphmi shares the negatives of a
batch in the second row. Negatives of its own for every row are another objective.

The parts of a step, forward and backward: the extractor for all prefixes in one pass and each prefix laid out as a
history of its own (histories of 50), and full softmaxes on cosines of 2,048 x 1 and x 4 interests, beside the same
written in torch. What no step can do without: the matrix products of the extractor's two layers (9,000 real positions
in a batch of 128) and of the scores of the negatives, forth and back, alone.
"""

import math
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import cycle
from typing import Any

import torch
import torch.nn.functional as F
from measure import Row, alternate
from peers.comirec import ComiRec, batches
from torch import Tensor, nn
from torch.optim import Optimizer

from graphmi.data import BatchLoader, LeaveOneOut, PrefixLoader, TargetLoader, deduplicate, open_data
from graphmi.losses import MultiInterestLoss, SampledSoftmaxLoss
from graphmi.models import SequenceModel
from graphmi.nn import Extractor, LogSumExpReadout, Readout, SelectReadout, SelfAttentiveExtractor
from graphmi.optim import LazyAdam
from graphmi.samplers import AllItemsSampler, Sampler, UniformSampler
from graphmi.typing import Batch, Negatives, Representations

DIM, LENGTH, NEGATIVES, ITEMS = 64, 200, 1_280, 3_416
SHORT, IN_A_ROW = 50, 4


def endless(batches: Iterable[Any]) -> Iterator[Any]:
    """Go over the batches again and again, in a new order each time."""
    return (batch for _ in cycle([0]) for batch in batches)


def step(
    model: nn.Module,
    loader: Iterable[Any],
    loss: Callable[[Any], Tensor],
    adam: Callable[..., Optimizer] = torch.optim.Adam,
) -> Callable[[], None]:
    """Return a function that takes the next training step."""
    optimizer, source = adam(model.parameters(), lr=1e-3), endless(loader)

    def run() -> None:
        value = loss(next(source))
        optimizer.zero_grad()
        value.backward()
        optimizer.step()

    return run


def in_a_row(run: Callable[[], None]) -> Callable[[], None]:
    """Return a function that takes as many steps as follow one another."""

    def several() -> None:
        for _ in range(IN_A_ROW):
            run()

    return several


def graphmi(model: SequenceModel, loader: BatchLoader, sampler: Sampler) -> Callable[[], None]:
    """Return the step of a graphmi model; the positive chooses the interest, as published."""
    loss = MultiInterestLoss(SelectReadout(), SampledSoftmaxLoss())
    loader.max_length = loader.max_length or model.max_length
    return step(
        model, loader, lambda batch: loss(model(batch), batch.positive, sampler(batch.user, batch.positive)), LazyAdam
    )


def extraction(extractor: Extractor, batch: Batch, *, one_pass: bool) -> Callable[[], None]:
    """Return forward and backward of the interests of all prefixes of a batch."""
    x = torch.randn(*batch.history.shape, DIM, requires_grad=True)
    prefixes: Callable[[Tensor, Tensor, Tensor], object] = extractor.prefixes
    if not one_pass:
        prefixes = lambda *arguments: Extractor.prefixes(extractor, *arguments)  # noqa: E731
    return lambda: prefixes(x, batch.mask, batch.prefix).interests.sum().backward()


def softmax(readout: Readout, num_interests: int, *, own: bool) -> Callable[[], None]:
    """Return forward and backward of a full softmax on cosines, in which interests speak together or the best does."""
    shape = 2048, num_interests, DIM
    interests, items = (F.normalize(torch.randn(size, DIM), dim=-1) for size in (math.prod(shape[:2]), ITEMS))
    out = Representations(interests.view(shape).requires_grad_(), items.requires_grad_())
    positive, loss = torch.randint(ITEMS, (2048,)), MultiInterestLoss(readout, SampledSoftmaxLoss(0.1))
    negatives = Negatives(torch.arange(ITEMS), all_items=True)

    def run() -> None:
        if own:
            loss(out, positive, negatives).backward()
            return
        scores = out.interests @ items.T / 0.1
        together = scores.logsumexp(1) if isinstance(readout, LogSumExpReadout) else scores.max(1).values
        F.cross_entropy(together, positive).backward()

    return run


def products(positions: int, targets: int) -> Callable[[], None]:
    """Return the matrix products of a step: three per layer of the extractor, and three of the negatives."""
    shapes = [(positions, DIM, 4 * DIM), (positions, 4 * DIM, 4), (targets, DIM, NEGATIVES)]
    factors = [(torch.randn(n, k), torch.randn(k, m), torch.randn(n, m)) for n, k, m in shapes]

    def run() -> None:
        for left, right, out in factors:
            left.T @ out, out @ right.T, torch.mm(left, right, out=out)

    return run


def run(repeats: int = 9) -> list[Row]:
    """Measure every alternative in alternation."""
    torch.manual_seed(0)
    dataset = LeaveOneOut()(deduplicate(open_data("ml-1m"), "first"))
    graph, train = dataset.graph(), dataset.train
    model, published = SequenceModel(graph, DIM, LENGTH), ComiRec(train.num_items, DIM, LENGTH)
    per_row, shared = (UniformSampler(graph, NEGATIVES, shared=each, reject_known=False) for each in (False, True))
    everything, short = AllItemsSampler(graph, reject_known=False), SequenceModel(graph, DIM, SHORT)
    windows = next(iter(PrefixLoader(train, 2_048, SHORT)))
    best = SelectReadout(anchor="candidate")
    losses = (
        ("one interest", best, 1),
        ("log-sum-exp of four", LogSumExpReadout(temperature=0.1), 4),
        ("best of four", best, 4),
    )
    extractor = SelfAttentiveExtractor(DIM, SHORT)
    source = batches(train, 128, LENGTH)
    steps = {
        "published, 1,280 shared": (step(published, source, lambda batch: published.loss(*batch)), 128),
        "graphmi, 1,280 shared": (graphmi(model, TargetLoader(train, 128, min_history=4), shared), 128),
        "graphmi, 1,280 per row": (graphmi(model, TargetLoader(train, 128, min_history=4), per_row), 128),
        "all prefixes, 1,280 shared": (graphmi(model, PrefixLoader(train, 2_048), shared), 2_048),
        "all prefixes, full softmax": (graphmi(model, PrefixLoader(train, 2_048), everything), 2_048),
        "all prefixes, 8,192 a step": (graphmi(model, PrefixLoader(train, 8_192), shared), 8_192),
        "all prefixes of 50, 1,280 shared": (graphmi(short, PrefixLoader(train, 2_048), shared), 2_048),
        "all prefixes of 50, full softmax": (graphmi(short, PrefixLoader(train, 2_048), everything), 2_048),
    }
    alternatives = {
        **{f"step: {name}": (in_a_row(run), IN_A_ROW * targets) for name, (run, targets) in steps.items()},
        "extractor: all prefixes in one pass": (extraction(extractor, windows, one_pass=True), len(windows.positive)),
        "extractor: each prefix as a history": (extraction(extractor, windows, one_pass=False), len(windows.positive)),
        "products: 1,280 shared": (products(9_000, 128), 128),
        "products: all prefixes, 1,280 shared": (products(2_048, 2_048), 2_048),
        **{
            f"loss: {name}{text}": (softmax(readout, number, own=own), 2_048)
            for name, readout, number in losses
            for text, own in (("", True), (" (torch)", False))
        },
    }
    times = alternate({name: function for name, (function, _) in alternatives.items()}, repeats, time.process_time)
    rows, reference = [], {}
    for name, timing in times.items():
        for part in ("median", "low", "high"):
            setattr(timing, part, getattr(timing, part) / alternatives[name][1] * 1000)
        first = reference.setdefault(name.partition(":")[0], timing.median)
        rows.append(Row(name, timing, timing.median / first, f"{1000 / timing.median:,.0f} targets/s"))
    return rows
