"""What all tests share."""

import pytest
import torch
from hypothesis import settings

settings.register_profile("patient", deadline=None)  # a busy machine is no bug
settings.load_profile("patient")


@pytest.fixture(autouse=True)
def _seeded():
    """Give every test the same noise, whatever ran before it."""
    torch.manual_seed(0)
