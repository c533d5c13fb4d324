"""Training steps as they are, and compiled by torch, preset by preset, on MovieLens-1M.

Run ``OMP_NUM_THREADS=1 python benchmarks/run.py compiled``. The presets have their own sizes; sequence models read 50
items. A step is sampler, model, loss, backward pass and optimizer, on batches that change; what is compiled are model
and loss, as by ``--trainer.compile default``. Ratios are to the step as it is; *ready after* is what the first steps
take beyond that, with an empty cache of compiled code.
"""

import os
import tempfile
import time
from collections.abc import Callable
from itertools import cycle

import torch
from batches import parts
from measure import Row, alternate
from torch import Tensor

from graphmi.optim import LazyAdam
from graphmi.typing import Batch, Negatives

PRESETS = {
    "mf": 100,
    "lightgcn": 15,
    "cagcn": 15,
    "lightgcn-softmax": 15,
    "interest-gcn": 5,
    "interest-gcn-softmax": 10,
    "comirec-sa": 40,
    "comirec-dr": 40,
    "mind": 40,
    "remi": 40,
    "mtmi": 40,
    "youtube-dnn": 100,
    "bam-long": 40,
    "sasrec": 15,
}
"""Presets, and how many steps are measured."""
WARM = 5


def step(preset: str, compiled: bool) -> Callable[[], None]:
    """Return a training step on the next batch."""
    torch.manual_seed(0)
    model, loader, sampler, loss = parts(preset, {})
    optimizer, batches = LazyAdam(model.parameters()), cycle(loader)

    def terms(batch: Batch, negatives: Negatives) -> dict[str, Tensor]:
        user = batch.user if batch.prefix is not None else None
        return loss.terms(model(batch), batch.positive, negatives, batch.row, user)

    compute = torch.compile(terms) if compiled else terms

    def run() -> None:
        batch = next(batches)
        found = compute(batch, sampler(batch.user, batch.positive))
        optimizer.zero_grad()
        torch.stack([*found.values()]).sum().backward()
        optimizer.step()

    return run


def seconds(function: Callable[[], None]) -> float:
    """Return what the first steps take."""
    start = time.perf_counter()
    for _ in range(WARM):
        function()
    return time.perf_counter() - start


def run() -> list[Row]:
    """Measure all presets, the two steps of each in alternation."""
    rows = []
    with tempfile.TemporaryDirectory() as cache:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = cache
        for preset, repeats in PRESETS.items():
            torch.compiler.reset()
            plain, compiled = step(preset, False), step(preset, True)
            wait = -seconds(plain) + seconds(compiled)
            times = alternate({preset: plain, f"{preset}, compiled": compiled}, repeats)
            first = times[preset].median
            notes = ("", f"ready after {wait:.0f} s")
            rows += [Row(name, t, t.median / first, note) for (name, t), note in zip(times.items(), notes, strict=True)]
    return rows
