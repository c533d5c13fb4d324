"""What a graph model has propagated once, for all that one thread asks of it meanwhile."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import nn

from graphmi.models.stacked import Layers

__all__ = ["keeping", "kept"]

_KEPT = ContextVar[dict[nn.Module, Layers]]("_KEPT")  # of one thread: another may change the parameters before it asks


@contextmanager
def keeping(model: nn.Module, layers: Layers) -> Iterator[None]:
    """Keep what the model has propagated until the context ends; :func:`kept` returns it in this thread."""
    token = _KEPT.set({**_KEPT.get({}), model: layers})
    try:
        yield
    finally:
        _KEPT.reset(token)


def kept(model: nn.Module, own: Layers | None) -> Layers | None:
    """Return what is kept of a model in evaluation mode, or ``None`` where it must propagate.

    Args:
        model: The model.
        own: What it holds itself, as a copy that has propagated does; it counts where this thread keeps nothing.
    """
    if model.training:
        return None
    if torch.compiler.is_compiling():  # Dynamo cannot trace context variables
        return own
    return _KEPT.get({}).get(model, own)
