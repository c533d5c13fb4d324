import os
import subprocess
import sys
import threading

import pytest
import torch

from graphmi.retrieval.parallel import part_size, run

CPU = torch.device("cpu")

FORKED = """
import os, sys, torch
from graphmi.retrieval.parallel import run
torch.set_num_threads(3)
double = lambda: run(lambda task: task * 2, range(6), torch.device("cpu"))
double()
if child := os.fork():
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
os._exit(double() != [0, 2, 4, 6, 8, 10])
"""


@pytest.fixture(autouse=True)
def _three_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def test_results_keep_the_order_of_the_tasks():
    assert run(lambda task: task * 2, range(20), CPU) == list(range(0, 40, 2))


@pytest.mark.parametrize("threads", [2, 3])
def test_each_thread_works_alone_time_and_again(threads):
    torch.set_num_threads(threads)
    barrier = threading.Barrier(threads, timeout=10)

    def task(_):
        barrier.wait()  # passes only if as many tasks run at once
        return torch.get_num_threads(), threading.current_thread()

    first, second = run(task, range(threads), CPU), run(task, range(threads), CPU)
    assert [number for number, _ in first + second] == [1] * 2 * threads
    assert {thread for _, thread in first} == {thread for _, thread in second}
    assert torch.get_num_threads() == threads


def test_threads_are_restored_after_an_error():
    def fail(task):
        raise KeyError(task)

    with pytest.raises(KeyError):
        run(fail, range(5), CPU)
    assert torch.get_num_threads() == 3


@pytest.mark.parametrize(("tasks", "device"), [(1, CPU), (3, torch.device("meta"))])
def test_one_task_and_those_of_an_accelerator_run_in_the_caller(tasks, device):
    assert run(lambda _: threading.current_thread(), range(tasks), device) == [threading.current_thread()] * tasks


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_process_starts_threads_of_its_own():
    assert subprocess.run([sys.executable, "-c", FORKED], timeout=60, check=False).returncode == 0


@pytest.mark.parametrize(
    ("total", "largest", "size"),
    [
        (0, 10, 10),
        (10, 10, 10),  # one task: it runs in the caller
        (11, 10, 4),  # 4, 4, 3: one for each of three threads
        (30, 10, 10),
        (31, 10, 6),  # 5 of 6 and 1: two rounds
        (100, 1, 1),
    ],
)
def test_every_thread_gets_as_many_parts(total, largest, size):
    assert part_size(total, largest, CPU) == size


def test_an_accelerator_takes_the_largest_parts_there_are():
    assert part_size(100, 60, torch.device("meta")) == 50
