"""How benchmarks measure: alternatives in alternation, medians with their spread, shares of the machine's limits."""

import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch


@dataclass
class Timing:
    """Seconds: the median, and the quartiles as the spread."""

    median: float
    low: float
    high: float


@dataclass
class Row:
    """One line of a benchmark: a name, its time, and its ratio to the reference of the benchmark."""

    name: str
    time: Timing
    ratio: float
    note: str = ""

    def to_dict(self) -> dict[str, object]:
        """Return plain values for JSON."""
        return asdict(self)


def synchronize() -> None:
    """Wait for the accelerator, where there is one."""
    if torch.accelerator.is_available():
        torch.accelerator.synchronize()


def alternate(
    alternatives: Mapping[str, Callable[[], object]], repeats: int, clock: Callable[[], float] = time.perf_counter
) -> dict[str, Timing]:
    """Run all alternatives once per round, so that a noisy machine disturbs all of them alike.

    With ``clock=time.process_time`` and one thread, what other processes take is not counted.
    """
    for function in alternatives.values():
        function()
    samples: dict[str, list[float]] = {name: [] for name in alternatives}
    for _ in range(repeats):
        for name, function in alternatives.items():
            synchronize()
            start = clock()
            function()
            synchronize()
            samples[name].append(clock() - start)
    quantiles = {
        name: torch.tensor(s).quantile(torch.tensor([0.25, 0.5, 0.75])).tolist() for name, s in samples.items()
    }
    return {name: Timing(median=q[1], low=q[0], high=q[2]) for name, q in quantiles.items()}


def peak_memory(function: Callable[[], object]) -> int:
    """Return the bytes that the process held at most while a function ran, above those before it (Linux)."""
    before = _status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    function()
    return _status("VmHWM") - before


def _status(name: str) -> int:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1024


def copy_bandwidth(device: str = "cpu") -> float:
    """Return bytes per second of a large copy, reads and writes together."""
    source = torch.randn(2**26, device=device)
    target = torch.empty_like(source)
    return 2 * source.nbytes / alternate({"copy": lambda: target.copy_(source)}, 5)["copy"].low


def matmul_rate(device: str = "cpu") -> float:
    """Return floating-point operations per second of a large matrix product in float32."""
    a, b = torch.randn(2048, 2048, device=device), torch.randn(2048, 2048, device=device)
    return 2 * 2048**3 / alternate({"matmul": lambda: a @ b}, 5)["matmul"].low


def machine() -> dict[str, object]:
    """Return what a table of timings must say about where it was made."""
    return {
        "processor": platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
        "accelerator": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "torch": torch.__version__,
        "python": platform.python_version(),
    }
