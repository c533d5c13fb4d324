"""The examples in docstrings run, and give what they say."""

import doctest
import pkgutil
from importlib import import_module
from importlib.util import find_spec

import pytest

import graphmi

LEFT_OUT = ("graphmi.__main__", *(["graphmi.kernels."] if find_spec("triton") is None else []))
MODULES = [name for _, name, _ in pkgutil.walk_packages(graphmi.__path__, "graphmi.") if not name.startswith(LEFT_OUT)]
FINDER = doctest.DocTestFinder(exclude_empty=True)
TESTS = [test for name in MODULES for test in FINDER.find(import_module(name)) if test.examples]


@pytest.mark.parametrize("test", TESTS, ids=lambda test: test.name)
def test_example(test, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    result = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(test)
    assert not result.failed, capsys.readouterr().out
