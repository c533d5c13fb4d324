"""Work shared out over the threads of a processor."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import TypeVar

import torch

__all__ = ["Workers"]

Task = TypeVar("Task")
Result = TypeVar("Result")


class Workers:
    """Threads that each run tasks of their own, one torch thread to each; a context manager.

    A task is a chain of short operations. Sharing out each operation would stop all threads after every one of
    them, and operations that know no threads would leave all but one idle. An accelerator needs one thread only.

    Args:
        device: Where the tasks run.
    """

    def __init__(self, device: torch.device) -> None:
        self.threads = torch.get_num_threads()
        alone = device.type != "cpu" or self.threads < 2
        self.pool = (
            None if alone else ThreadPoolExecutor(self.threads, initializer=torch.set_num_threads, initargs=(1,))
        )

    def __enter__(self) -> "Workers":
        """Return itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """End the threads."""
        if self.pool is not None:
            self.pool.shutdown()
            torch.set_num_threads(self.threads)  # the matrix library has one setting for all threads

    def run(self, function: Callable[[Task], Result], tasks: Iterable[Task]) -> list[Result]:
        """Return the results of all tasks in their order; a single task runs in the caller.

        Args:
            function: Called in several threads at once; in them autograd is on, whatever the caller has set.
            tasks: What to call it with.
        """
        tasks = list(tasks)
        if self.pool is None or len(tasks) < 2:
            return [function(task) for task in tasks]
        return list(self.pool.map(function, tasks))
