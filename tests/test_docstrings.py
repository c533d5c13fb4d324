"""The examples in docstrings run, and give what they say."""

import doctest
import pkgutil
from importlib import import_module

import pytest

import graphmi

MODULES = [name for _, name, _ in pkgutil.walk_packages(graphmi.__path__, "graphmi.") if not name.endswith("__main__")]
FINDER = doctest.DocTestFinder(exclude_empty=True)
TESTS = [test for name in MODULES for test in FINDER.find(import_module(name)) if test.examples]


@pytest.mark.parametrize("test", TESTS, ids=lambda test: test.name)
def test_example(test, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    result = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(test)
    assert not result.failed, capsys.readouterr().out
