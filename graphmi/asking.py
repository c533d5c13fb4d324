"""How a trained model is asked: in evaluation mode, on its own device, with histories where it reads them."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain

import torch
from torch import Tensor, nn

from graphmi.data import Histories
from graphmi.typing import Batch, HistoryReader

__all__ = ["device_of", "evaluating", "question"]


def device_of(model: nn.Module) -> torch.device:
    """Return where the model is; the CPU for one without parameters and buffers."""
    return next((tensor.device for tensor in chain(model.parameters(), model.buffers())), torch.device("cpu"))


def question(model: nn.Module, users: Tensor, history: Histories | None, device: torch.device) -> Batch:
    """Return these users, with their histories for a model that reads them.

    Args:
        model: Reads histories if it is a :class:`~graphmi.typing.HistoryReader`.
        users: User ids, ``[batch]``, on the CPU.
        history: What users had before, on the device.
        device: Where the model is.

    Raises:
        ValueError: If the model reads histories and there are none.
    """
    if not isinstance(model, HistoryReader):
        return Batch(user=users.to(device))
    if history is None:
        raise ValueError(f"{type(model).__name__} reads histories; give the evaluator the 'history' of its users.")
    items, mask = history.read(users, model.max_length)
    return Batch(user=users.to(device), history=items, mask=mask)


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put the model into evaluation mode, and each of its parts back as it was."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
