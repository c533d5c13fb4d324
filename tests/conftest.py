"""What all tests share."""

import gc
import os

import pytest
import torch
from hypothesis import settings
from torch.utils._python_dispatch import TorchDispatchMode

# Before anything imports Triton, which it asks while it defines functions: without a GPU it interprets kernels.
if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"

settings.register_profile("patient", deadline=None)  # a busy machine is no bug
settings.load_profile("patient")


def pytest_collection_finish():
    """Leave what is imported out of all later garbage collections, which searches ask for after each trial."""
    gc.collect()
    gc.freeze()


def pytest_sessionfinish():
    """Let what is imported be cleaned up at the end."""
    gc.unfreeze()


@pytest.fixture(autouse=True)
def _seeded():
    """Give every test the same noise, whatever ran before it."""
    torch.manual_seed(0)


class Largest(TorchDispatchMode):
    """Remembers the most entries of a tensor that any operation gave."""

    numel = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, (tuple, list)) else [result]:
            if isinstance(tensor, torch.Tensor):
                self.numel = max(self.numel, tensor.numel())
        return result


@pytest.fixture
def make_largest():
    """A context that remembers how large the largest tensor was."""
    return Largest
