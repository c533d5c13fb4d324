import os

import pytest
import torch

# Before the kernels are imported: where there is no GPU, Triton interprets them.
if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"


@pytest.fixture
def device():
    return "cuda" if torch.cuda.is_available() else "cpu"
