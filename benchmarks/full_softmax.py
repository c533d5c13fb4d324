"""The full softmax over many items: all scores at once beside blocks of items, memory and time.

Run ``python benchmarks/run.py full_softmax`` with one thread. The loss of 256 users with four positives each, forward
and backward, of ready interests and item vectors, d = 64; known items (100 per user) left out. K = 1 is the best
interest, K = 4 their log-sum-exp. The peak is that of a process of its own, above what it held before the step;
*counted* are the scores alone, ``256 * K * items`` or ``256 * K * block`` numbers of 4 bytes. All at once is run where
its scores stay below 1 GiB. *Returned* is the peak of blocks with ``MALLOC_MMAP_THRESHOLD_=262144``, where glibc
returns freed blocks to the system instead of keeping holes between the parts of the items' gradient.
"""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from measure import Row, alternate
from torch_geometric.data import HeteroData

from graphmi.losses import MultiInterestLoss, SampledSoftmaxLoss
from graphmi.nn import LogSumExpReadout, SelectReadout
from graphmi.samplers import AllItemsSampler
from graphmi.typing import Representations

USERS, POSITIVES, KNOWN, DIM, BLOCK = 256, 4, 100, 64, 4096
REPEATS = {10_000: 5, 100_000: 3, 1_000_000: 1}


def step(num_items: int, num_interests: int, block_size: int | None) -> Callable[[], None]:
    """Return forward and backward of the loss, negatives included."""
    torch.manual_seed(0)
    graph = HeteroData({"user": {"num_nodes": USERS}, "item": {"num_nodes": num_items}})
    known = torch.randint(num_items, (USERS, KNOWN))
    user = torch.arange(USERS)
    graph["user", "interacts", "item"].edge_index = torch.stack([user.repeat_interleave(KNOWN), known.flatten()])
    sampler, positive = AllItemsSampler(graph, block_size=block_size), known[:, :POSITIVES].flatten()
    row = user.repeat_interleave(POSITIVES)
    interests = torch.randn(USERS, num_interests, DIM, requires_grad=True)
    items = torch.nn.init.normal_(torch.empty(num_items, DIM, requires_grad=True), std=0.1)
    readout = SelectReadout(anchor="candidate") if num_interests == 1 else LogSumExpReadout()
    loss = MultiInterestLoss(readout, SampledSoftmaxLoss())

    def run() -> None:
        interests.grad = items.grad = None
        loss(Representations(interests, items), positive, sampler(user, positive), row).backward()

    return run


def peak(num_items: int, num_interests: int, block_size: int, **environment: str) -> float:
    """Return the peak of one step in GiB above what its process held before; block size 0: all at once."""
    arguments = [str(n) for n in (num_items, num_interests, block_size)]
    command, environment = [sys.executable, __file__, *arguments], os.environ | environment
    return float(subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout)


def measure_peak(num_items: int, num_interests: int, block_size: int) -> None:
    """Print the peak of this process."""
    step(1_000, num_interests, block_size or None)()
    run = step(num_items, num_interests, block_size or None)
    before = high_water()
    run()
    print((high_water() - before) / 2**20)


def high_water() -> int:
    """Return the most KiB this process has held; ``ru_maxrss`` of a child starts from its parent's (Linux)."""
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])


def run() -> list[Row]:
    """Measure both forms in alternation, sizes one after the other."""
    rows = []
    for num_items, repeats in REPEATS.items():
        for num_interests in (1, 4):
            scores = USERS * num_interests * num_items * 4 / 2**30
            forms = {"all at once": 0, f"blocks of {BLOCK:,}": BLOCK}
            if scores > 1:
                del forms["all at once"]
            times = alternate({n: step(num_items, num_interests, size or None) for n, size in forms.items()}, repeats)
            first = next(iter(times.values())).median
            for name, size in forms.items():
                counted = scores * (size or num_items) / num_items
                note = f"peak {peak(num_items, num_interests, size):.2f} GiB, counted {counted:.3f}"
                if size:
                    returned = peak(num_items, num_interests, size, MALLOC_MMAP_THRESHOLD_="262144")
                    note += f", returned {returned:.2f}"
                title = f"{num_items:,} items, K = {num_interests}: {name}"
                rows.append(Row(title, times[name], times[name].median / first, note))
    return rows


if __name__ == "__main__":
    measure_peak(*(int(argument) for argument in sys.argv[1:]))
