import threading

import pytest
import torch

from graphmi.retrieval.parallel import Workers


@pytest.fixture(autouse=True)
def _three_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def run_all(function, tasks):
    with Workers(torch.device("cpu")) as workers:
        return workers.run(function, tasks)


def test_results_keep_the_order_of_the_tasks():
    assert run_all(lambda task: task * 2, range(20)) == list(range(0, 40, 2))


def test_each_thread_works_alone():
    barrier = threading.Barrier(3, timeout=10)

    def task(_):
        barrier.wait()  # passes only if three tasks run at once
        return torch.get_num_threads()

    assert run_all(task, range(3)) == [1, 1, 1]
    assert torch.get_num_threads() == 3


def test_threads_are_restored_after_an_error():
    def fail(task):
        raise KeyError(task)

    with pytest.raises(KeyError):
        run_all(fail, range(5))
    assert torch.get_num_threads() == 3


def test_one_task_runs_in_the_caller():
    assert run_all(lambda _: threading.current_thread(), [0]) == [threading.current_thread()]
