"""What all tests share."""

import os

import pytest
import torch
from hypothesis import settings

# Before anything imports Triton, which it asks while it defines functions: without a GPU it interprets kernels.
if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"

settings.register_profile("patient", deadline=None)  # a busy machine is no bug
settings.load_profile("patient")


@pytest.fixture(autouse=True)
def _seeded():
    """Give every test the same noise, whatever ran before it."""
    torch.manual_seed(0)
