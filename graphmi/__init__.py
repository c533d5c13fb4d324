"""Multi-interest recommendation on PyTorch and PyTorch Geometric.

The sub-packages load when they are first used, so that ``import graphmi`` stays fast and the layers
(:mod:`graphmi.nn`) need nothing but torch and torch-geometric.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_SUBMODULES = frozenset(
    {
        "config",
        "data",
        "evaluator",
        "experiment",
        "losses",
        "metrics",
        "models",
        "nn",
        "optim",
        "presets",
        "report",
        "retrieval",
        "run",
        "samplers",
        "trainer",
        "typing",
    }
)


def __getattr__(name: str) -> Any:
    if name in _SUBMODULES:
        return import_module(f"graphmi.{name}")
    raise AttributeError(f"module 'graphmi' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_SUBMODULES])
