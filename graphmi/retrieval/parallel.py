"""Work shared out over the threads of a processor."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

__all__ = ["run_all"]

Task = TypeVar("Task")
Result = TypeVar("Result")


def run_all(function: Callable[[Task], Result], tasks: Iterable[Task], device: torch.device) -> list[Result]:
    """Return the results of all tasks; on a processor each thread works on tasks of its own.

    A task is a chain of short operations. Sharing out each operation would stop all threads after every one of
    them, and operations that know no threads would leave all but one idle.

    Args:
        function: Called in several threads at once; it starts with autograd on, whatever the caller has set.
        tasks: What to call it with.
        device: Where the tasks run; an accelerator needs one thread only.
    """
    tasks = list(tasks)
    threads = min(torch.get_num_threads(), len(tasks))
    if device.type != "cpu" or threads < 2:
        return [function(task) for task in tasks]
    own = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            return list(pool.map(function, tasks))
    finally:
        torch.set_num_threads(own)  # the matrix library has one setting for all threads
