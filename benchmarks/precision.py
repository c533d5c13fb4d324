"""Steps of sequence models on MovieLens-1M with products in full and in half precision.

Run ``OMP_NUM_THREADS=1 python benchmarks/run.py precision``. *Mixed* takes matrix products in bfloat16, as
``trainer.precision=bf16-mixed`` does, all else in float32. It pays on processors that have instructions for it
(AVX512-BF16, AMX). Every step has its batch, negatives, forward, backward and Adam; four of a kind follow one another,
as in training. CPU milliseconds of one thread, per step.

ComiRec-SA (four interests, d = 64, histories of up to 200) as published (``peers/comirec.py``), the same objective in
graphmi, and all prefixes at once, 2,048 and 8,192 of them; the transformer of ``sasrec-softmax`` (two layers,
d = 128), and one of two layers with d = 64 and four interests by log-sum-exp, on 2,048 prefixes. Bare products are
those of a transformer's layer on 4,096 positions and of a softmax of 2,048 targets over 2,048 items.
"""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from measure import Row, alternate
from peers.comirec import ComiRec, batches
from sequences import IN_A_ROW, in_a_row, step
from torch import Tensor

from graphmi.data import BatchLoader, LeaveOneOut, PrefixLoader, TargetLoader, deduplicate, open_data
from graphmi.losses import MultiInterestLoss, SampledSoftmaxLoss
from graphmi.models import SequenceModel
from graphmi.nn import LastPosition, LogSumExpReadout, Readout, SelectReadout, TransformerEncoder
from graphmi.optim import LazyAdam
from graphmi.samplers import Sampler, UniformSampler


def graphmi(
    model: SequenceModel, loader: BatchLoader, sampler: Sampler, readout: Readout, temperature: float
) -> tuple[Any, ...]:
    """Return model, loader, loss and optimizer of graphmi's steps."""
    criterion = MultiInterestLoss(readout, SampledSoftmaxLoss(temperature))
    loader.max_length = model.max_length

    def loss(batch: Any) -> Tensor:
        return criterion(model(batch), batch.positive, sampler(batch.user, batch.positive))

    return model, loader, loss, LazyAdam


def products(dtype: torch.dtype) -> Callable[[], None]:
    """Return matrix products in a number format, forth and back."""
    shapes = [(4_096, 128, 128), (2_048, 128, 2_048)]
    factors = [(torch.randn(n, k, dtype=dtype), torch.randn(k, m, dtype=dtype)) for n, k, m in shapes]

    def run() -> None:
        for left, right in factors:
            out = left @ right
            left.T @ out, out @ right.T

    return run


def run(repeats: int = 9) -> list[Row]:
    """Measure every step in both formats in alternation."""
    torch.manual_seed(0)
    dataset = LeaveOneOut()(deduplicate(open_data("ml-1m"), "first"))
    graph, train = dataset.graph(), dataset.train
    few, many = (UniformSampler(graph, number, shared=True, reject_known=False) for number in (1_280, 2_048))
    published, encoder = ComiRec(train.num_items, 64, 200), partial(TransformerEncoder, dropout=0.3)
    two_heads = partial(encoder, num_heads=2)
    one = SequenceModel(graph, 128, 200, normalize=True, encoder=two_heads, extractor=LastPosition)
    four = SequenceModel(graph, 64, 100, normalize=True, encoder=encoder)
    comirec, best, together = SelectReadout(), SelectReadout(anchor="candidate"), LogSumExpReadout(temperature=0.08)
    steps = {
        "published": (published, batches(train, 128, 200), lambda batch: published.loss(*batch)),
        "one target per user": graphmi(
            SequenceModel(graph, 64, 200), TargetLoader(train, 128, min_history=4), few, comirec, 1.0
        ),
        **{
            f"all prefixes, {size:,}": graphmi(
                SequenceModel(graph, 64, 200), PrefixLoader(train, size), few, comirec, 1.0
            )
            for size in (2_048, 8_192)
        },
        "transformer": graphmi(one, PrefixLoader(train, 2_048), many, best, 0.08),
        "transformer, four by log-sum-exp": graphmi(four, PrefixLoader(train, 2_048), many, together, 0.08),
    }
    functions = {"bare products": products(torch.float32), "bare products, mixed": products(torch.bfloat16)}
    for name, (model, loader, loss, *adam) in steps.items():
        functions[name] = in_a_row(step(model, loader, loss, *adam))
        mixed = torch.autocast("cpu", torch.bfloat16)(loss)
        functions[f"{name}, mixed"] = in_a_row(step(model, loader, mixed, *adam))
    times = alternate(functions, repeats, time.process_time)
    for timing in (times[name] for name in times if not name.startswith("bare")):
        timing.median, timing.low, timing.high = (x / IN_A_ROW for x in (timing.median, timing.low, timing.high))
    return [Row(name, t, t.median / times[name.removesuffix(", mixed")].median) for name, t in times.items()]
