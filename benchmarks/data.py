"""From a file to histories: time and peak memory of every stage on ten million interactions.

Run ``OMP_NUM_THREADS=1 python benchmarks/run.py data``; polars takes as many threads as there are cores. Synthetic rows
in random order, 20 per user and 100 per item on average, both skewed, with unix times and a rating; users are strings
of 13 characters, items of 10, or both integers. The stages run one after the other in a process of their own; then
files of 5, 10 and 20 million rows are read, and the line through their times and peaks says what 100 million would
take.

Times are CPU seconds of one run, user and system, of all threads: other work on the machine disturbs them less than the
clock, which notes have. Peaks are those of the process within the stage, above what it held with its packages loaded;
pages of a file that are mapped count.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, ParamSpec, TypeVar

import numpy as np
import polars as pl
from measure import Row, Timing

from graphmi.data import Histories, LeaveOneOut, RandomSplit, deduplicate, k_core, read_interactions, to_graph
from graphmi.models.graph import user_item_adjacency
from graphmi.nn import LightGCNWeight

Result, Arguments = TypeVar("Result"), ParamSpec("Arguments")
SIZES, LARGE = (5_000_000, 10_000_000, 20_000_000), 100_000_000
BESIDES = "RandomSplit instead"


class Cost(NamedTuple):
    """What a stage took: seconds of the processors, seconds by the clock, GB at most."""

    cpu: float
    clock: float
    peak: float

    def row(self, name: str, whole: float) -> Row:
        """Return the line of the benchmark; the ratio is to ``whole`` CPU seconds."""
        return Row(name, Timing(self.cpu, self.cpu, self.cpu), self.cpu / whole, self.note())

    def note(self) -> str:
        """Return what the table has no column for."""
        return f"{self.clock:.1f} s by the clock, peak {self.peak:.2f} GB"


class Stages:
    """Measures one stage after the other."""

    def __init__(self) -> None:
        self.before, self.costs = memory("VmRSS"), {}

    def __call__(
        self, name: str, function: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Result:
        """Call the function and write down what it took."""
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew (Linux)
        clock, cpu = time.perf_counter(), cpu_seconds()
        result = function(*args, **kwargs)
        self.costs[name] = Cost(cpu_seconds() - cpu, time.perf_counter() - clock, memory("VmHWM") - self.before)
        return result


def memory(what: str) -> float:
    """Return what this process holds (``VmRSS``) or has held at most (``VmHWM``), in GB."""
    return int(Path("/proc/self/status").read_text().partition(f"{what}:")[2].split()[0]) * 1024 / 1e9


def cpu_seconds() -> float:
    """Return the CPU seconds of this process, in user and system mode."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def skewed(draw: np.random.Generator, num_rows: int, size: int, offset: int, power: float) -> np.ndarray:
    """Draw numbers below ``size`` by Zipf's law with an offset, and give them a random order."""
    share = np.cumsum((np.arange(size) + offset) ** -power)
    return draw.permutation(size)[np.searchsorted(share, draw.random(num_rows) * share[-1])]


def write(path: Path, num_rows: int, *, strings: bool) -> Path:
    """Write a file of interactions."""
    draw = np.random.default_rng(0)
    user = skewed(draw, num_rows, num_rows // 20, 1000, 0.9)
    item = skewed(draw, num_rows, num_rows // 100, 50, 1.2)
    ids = [pl.Series(user), pl.Series(item)]
    if strings:
        users = pl.Series([f"A{n:012X}" for n in draw.integers(16**12, size=user.max() + 1)])
        items = pl.Series([f"B{n:09d}" for n in draw.permutation(item.max() + 1)])
        ids = [users.gather(user), items.gather(item)]
    rating, time = draw.integers(1, 6, num_rows), draw.integers(1_500_000_000, 1_600_000_000, num_rows)
    table = pl.DataFrame({"user_id": ids[0], "item_id": ids[1], "rating": rating, "timestamp": time})
    table.write_parquet(path) if path.suffix == ".parquet" else table.write_csv(path)
    return path


def pipeline(path: str) -> dict[str, Cost]:
    """Take a file through all stages."""
    stage = Stages()
    data = stage("read and index", read_interactions, path)
    data = stage("deduplicate", deduplicate, data)
    data = stage("k_core, k = 5", k_core, data, 5)
    stage(BESIDES, RandomSplit(), data)
    dataset = stage("LeaveOneOut", LeaveOneOut(), data)
    del data
    graph = stage("graph, both directions", to_graph, dataset.train)
    stage("adjacency, both directions", user_item_adjacency, graph, LightGCNWeight())
    del graph
    stage("histories", Histories, dataset.train)
    return stage.costs


def reading(path: str) -> dict[str, Cost]:
    """Read a file."""
    stage = Stages()
    stage("read", read_interactions, path)
    return stage.costs


def alone(what: str, path: Path) -> dict[str, Cost]:
    """Return what a process of its own measures."""
    command = [sys.executable, __file__, what, str(path)]
    found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return {name: Cost(*cost) for name, cost in found.items()}


def stages(path: Path) -> list[Row]:
    """Return the lines of all stages and of their sum."""
    costs = alone("pipeline", path)
    besides = costs.pop(BESIDES)
    parts = list(costs.values())
    whole = Cost(sum(part.cpu for part in parts), sum(part.clock for part in parts), max(part.peak for part in parts))
    return [cost.row(name, whole.cpu) for name, cost in [*costs.items(), ("all stages", whole), (BESIDES, besides)]]


def growth(paths: list[Path], kind: str) -> list[Row]:
    """Return the lines of files of all sizes, and of the line through them at ``LARGE`` rows."""
    costs = [alone("reading", path)["read"] for path in paths]
    costs.append(Cost(*(np.polyval(np.polyfit(SIZES, column, 1), LARGE) for column in zip(*costs, strict=True))))
    names = [f"{kind}, {size // 10**6} million rows" for size in SIZES]
    names.append(f"{kind}, {LARGE // 10**6} million rows, extrapolated")
    return [cost.row(name, costs[1].cpu) for name, cost in zip(names, costs, strict=True)]


def run() -> list[Row]:
    """Measure all stages, then reading against the number of rows."""
    with tempfile.TemporaryDirectory() as name:
        folder, middle = Path(name), SIZES[1]
        text, parquet = (
            [write(folder / f"{size}.{kind}", size, strings=True) for size in SIZES] for kind in ("csv", "parquet")
        )
        rows = stages(text[1]) + growth(text, "read strings, CSV") + growth(parquet, "read strings, Parquet")
        for kind in ("csv", "parquet"):
            path = write(folder / f"integers.{kind}", middle, strings=False)
            cost = alone("reading", path)["read"]
            rows.append(cost.row(f"read integers, {kind}, {middle // 10**6} million rows", cost.cpu))
    return rows


if __name__ == "__main__":
    print(json.dumps({"pipeline": pipeline, "reading": reading}[sys.argv[1]](sys.argv[2])))
