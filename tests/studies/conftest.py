"""What the tests of the studies share."""

import sys
from pathlib import Path

import pytest

STUDIES = Path(__file__).parents[2] / "examples" / "studies"


@pytest.fixture(autouse=True)
def studies(monkeypatch, tmp_path):
    """The folder of the studies; its files import one another, as they do when one of them is run as a script.

    What they write goes to an empty folder.
    """
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)
    monkeypatch.syspath_prepend(STUDIES)
    yield STUDIES
    for name in set(sys.modules) - before:  # general names, which other tests may give to something else
        file = getattr(sys.modules[name], "__file__", None)
        if file and Path(file).parent == STUDIES:
            del sys.modules[name]
