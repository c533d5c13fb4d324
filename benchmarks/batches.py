"""What batches and negatives cost: their share of a training step, preset by preset, on MovieLens-1M.

Run ``OMP_NUM_THREADS=1 python benchmarks/run.py batches``. The presets have their own sizes; sequence models read 50
items. The loader's time is that of a whole epoch of batches, what happens once an epoch included, divided by their
number; the sampler's is a mean over steps on different batches, because the first of several may draw for all; that of
a step (model, loss, backward pass and optimizer) is a median over them. CPU seconds of this process. The time of a row
is loader, sampler and step together; its ratio the share of the first two.
"""

import time
from collections.abc import Callable, Mapping
from itertools import cycle, islice
from typing import Any

import torch
from measure import Row, Timing
from torch import nn

from graphmi.config import experiment
from graphmi.data import BatchLoader
from graphmi.drawing import with_negatives
from graphmi.optim import LazyAdam
from graphmi.samplers import Sampler

STEPS, BEFORE = 24, 8  # of a step on 2,048 pairs, eight draw their negatives together
POPULARITY, LOG_UNIFORM = {"sampler": "PopularitySampler"}, {"sampler": "LogUniformSampler"}
PER_ROW = {"sampler__shared": False}
REJECTING = {**PER_ROW, "sampler__reject_known": True}
CASES: dict[str, tuple[str, Mapping[str, Any]]] = {
    "mf: pairs, 1 uniform": ("mf", {}),
    "mf: pairs, 1 by popularity": ("mf", POPULARITY),
    "mf: pairs, 1 log-uniform": ("mf", LOG_UNIFORM),
    "mf: pairs, the batch's": ("mf", {"sampler": "InBatchSampler"}),
    "lightgcn: pairs, 1 uniform": ("lightgcn", {}),
    "lightgcn: pairs, 1 by popularity": ("lightgcn", POPULARITY),
    "lightgcn-softmax: users, all items": ("lightgcn-softmax", {}),
    "interest-gcn-bam: pairs, 1,280 shared": ("interest-gcn-bam", {}),
    "comirec-sa: targets, 1,280 shared": ("comirec-sa", {}),
    "comirec-sa: targets, 1,280 per row": ("comirec-sa", PER_ROW),
    "comirec-sa: targets, 1,280 per row, none known": ("comirec-sa", REJECTING),
    "comirec-sa: targets, 1,280 by popularity per row, none known": (
        "comirec-sa",
        {"sampler": "PopularitySampler", "sampler__num_negatives": 1280, **REJECTING},
    ),
    "sasrec: prefixes, 1 uniform": ("sasrec", {}),
    "gsasrec: prefixes, 256 uniform": ("gsasrec", {}),
    "gru4rec: prefixes, the batch's": ("gru4rec", {}),
    "multi-interest-transformer: prefixes, all items": ("multi-interest-transformer", {}),
}


def parts(preset: str, options: Mapping[str, Any]) -> tuple[nn.Module, BatchLoader, Sampler, nn.Module]:
    """Return model, loader, sampler and loss of a preset."""
    made = experiment(preset, "ml-1m", **options)
    dataset = made.dataset()
    model, loader = made.build(dataset), made.loader(dataset.train)
    loader.max_length = getattr(model, "max_length", None)
    return model, loader, made.sampler(dataset.graph()), made.loss


def seconds(function: Callable[[], object]) -> float:
    start = time.process_time()
    function()
    return time.process_time() - start


def measure(preset: str, options: Mapping[str, Any]) -> tuple[float, list[float], list[float]]:
    """Return the seconds of a batch, and those of its negatives and of the rest for several batches."""
    model, loader, sampler, loss = parts(preset, options)
    optimizer = LazyAdam(model.parameters())
    loading = min(seconds(lambda: list(loader)) for _ in range(3)) / len(loader)
    drawing, stepping = [], []
    batches = with_negatives(cycle(loader), sampler, torch.Generator(), torch.device("cpu"))
    for batch, draw in islice(batches, BEFORE + STEPS):
        drawn = []
        drawing.append(seconds(lambda: drawn.append(draw())))  # noqa: B023

        def step() -> None:
            user = batch.user if batch.prefix is not None else None  # noqa: B023
            terms = loss.terms(model(batch), batch.positive, drawn[0], batch.row, user)  # noqa: B023
            optimizer.zero_grad()
            torch.stack([*terms.values()]).sum().backward()
            optimizer.step()

        stepping.append(seconds(step))
    return loading, drawing[BEFORE:], stepping[BEFORE:]


def run() -> list[Row]:
    """Measure all cases."""
    rows = []
    for name, case in CASES.items():
        loading, drawing, stepping = measure(*case)
        low, median, high = torch.tensor(stepping).quantile(torch.tensor([0.25, 0.5, 0.75])).tolist()
        sampling = float(torch.tensor(drawing).mean())
        spent = loading + sampling
        note = f"loader {loading * 1e3:.2f} ms, sampler {sampling * 1e3:.2f} ms"
        rows.append(Row(name, Timing(median + spent, low + spent, high + spent), spent / (median + spent), note))
    return rows
