"""Multi-interest recommendation on PyTorch and PyTorch Geometric.

The sub-packages load when they are first used, so that ``import graphmi`` stays fast and the layers
(:mod:`graphmi.nn`) need nothing but torch and torch-geometric.
"""

from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name not in _modules():
        raise AttributeError(f"module 'graphmi' has no attribute {name!r}")
    return import_module(f"graphmi.{name}")


@cache
def _modules() -> frozenset[str]:
    return frozenset(module.name for module in iter_modules(__path__))
