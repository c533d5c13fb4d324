"""The examples in docstrings run, and give what they say."""

import doctest
import inspect
import pkgutil
from dataclasses import is_dataclass
from importlib import import_module
from importlib.util import find_spec

import pytest

import graphmi
from graphmi.commands.parts import SECTIONS, members

LEFT_OUT = ("graphmi.__main__", *(["graphmi.kernels."] if find_spec("triton") is None else []))
MODULES = [name for _, name, _ in pkgutil.walk_packages(graphmi.__path__, "graphmi.") if not name.startswith(LEFT_OUT)]
FINDER = doctest.DocTestFinder(exclude_empty=True)
TESTS = [test for name in MODULES for test in FINDER.find(import_module(name)) if test.examples]


@pytest.mark.parametrize("test", TESTS, ids=lambda test: test.name)
def test_example(test, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    result = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(test)
    assert not result.failed, capsys.readouterr().out


# A configuration is read, not made: see 'read_config' and 'preset_config'.
WITHOUT = {"Config"}


def can_be_made(part):
    """Tell whether users make objects of a class: no interface, no error, and no value with nothing but attributes."""
    interface = inspect.isabstract(part) or getattr(part, "_is_protocol", False)
    value = issubclass(part, tuple) or (is_dataclass(part) and "Attributes:" in part.__doc__)
    return not (interface or value or issubclass(part, Exception) or part.__name__ in WITHOUT)


CLASSES = [part for title in SECTIONS for _, part in members(title) if inspect.isclass(part) and can_be_made(part)]


@pytest.mark.parametrize("part", CLASSES, ids=lambda part: part.__name__)
def test_public_class_has_an_example(part):
    assert ">>> " in part.__doc__
