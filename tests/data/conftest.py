"""Real data outside the repository, where a machine has it."""

import os
from pathlib import Path

import pytest


@pytest.fixture
def shared_data() -> Path:
    folder = Path(os.environ.get("GRAPHMI_SHARED_DATA", Path(__file__).parents[3] / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip("no real data on this machine (GRAPHMI_SHARED_DATA)")
    return folder
