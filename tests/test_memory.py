import numpy as np
import pytest
import torch

from graphmi.memory import lack_of_memory


def fails(message):
    raise torch.OutOfMemoryError(message)  # as on a GPU, which need not be there


@pytest.mark.parametrize(
    ("ask", "told"),
    [
        (lambda: torch.empty(10**15), " for 4000000000000000 bytes at once"),
        (lambda: torch.empty(2**62), ""),
        (lambda: np.empty(10**15), " for 7.11 PiB at once"),
        (lambda: fails("CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has ..."), " for 2.50 GiB at once"),
        (lambda: "x" * 2**62, ""),
    ],
)
def test_a_lack_of_memory_is_told_by_what_was_asked_for(ask, told):
    with pytest.raises((MemoryError, RuntimeError)) as caught:
        ask()
    assert (
        lack_of_memory(caught.value) == f"there is not enough memory{told}: make vectors, batches or the data smaller"
    )


@pytest.mark.parametrize("error", [RuntimeError(), ValueError("no memory of 3 bytes"), KeyError("Tried")])
def test_another_error_is_none(error):
    assert lack_of_memory(error) is None
