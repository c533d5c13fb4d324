"""Work shared out over the threads of a processor."""

import functools
import math
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

__all__ = ["num_threads", "part_size", "run"]

Task = TypeVar("Task")
Result = TypeVar("Result")


def run(function: Callable[[Task], Result], tasks: Iterable[Task], device: torch.device) -> list[Result]:
    """Return the results of all tasks in their order, from threads that work on one task each.

    A task is a chain of short operations. Sharing out each operation would stop all threads after every one of
    them, and operations that know no threads would leave all but one idle. An accelerator needs one thread only.

    Args:
        function: Called in several threads at once; in them autograd is on, whatever the caller has set.
        tasks: What to call it with; a single one runs in the caller.
        device: Where the tasks run.
    """
    tasks = list(tasks)
    threads = num_threads(device)
    if threads < 2 or len(tasks) < 2:
        return [function(task) for task in tasks]
    torch.set_num_threads(1)  # here too: the matrix library has one setting for all threads
    try:
        return list(_pool(threads).map(function, tasks))
    finally:
        torch.set_num_threads(threads)


def part_size(total: int, largest: int, device: torch.device) -> int:
    """Return how much of a total is one task for :func:`run`, where every thread gets as many tasks as the others.

    Args:
        total: What is shared out, at least 0.
        largest: What one task can be at most, at least 1.
        device: Where the tasks run.
    """
    if total <= largest:
        return largest
    threads = num_threads(device)
    rounds = math.ceil(total / (largest * threads))
    return math.ceil(total / (rounds * threads))


def num_threads(device: torch.device) -> int:
    """Return how many threads :func:`run` works in."""
    return torch.get_num_threads() if device.type == "cpu" else 1


@functools.cache
def _pool(threads: int) -> ThreadPoolExecutor:
    """Return threads that wait for work, as starting them takes longer than many a task."""
    return ThreadPoolExecutor(threads, "graphmi", initializer=torch.set_num_threads, initargs=(1,))


if hasattr(os, "register_at_fork"):  # a forked process has none of the threads
    os.register_at_fork(after_in_child=_pool.cache_clear)
