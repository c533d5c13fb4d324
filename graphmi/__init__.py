"""Multi-interest recommendation on PyTorch and PyTorch Geometric.

The sub-packages load when they are first used, so that ``import graphmi`` stays fast and the layers
(:mod:`graphmi.nn`) need nothing but torch and torch-geometric.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    try:
        return import_module(f"graphmi.{name}")
    except ModuleNotFoundError as error:
        if error.name != f"graphmi.{name}":
            raise
        raise AttributeError(f"module 'graphmi' has no attribute {name!r}") from None
