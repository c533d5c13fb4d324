"""How a trained model is asked: in evaluation mode, on its own device, with histories where it reads them."""

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import chain
from threading import Lock

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel

from graphmi.data import Histories
from graphmi.typing import Batch, HistoryReader, ItemTable

__all__ = ["device_of", "evaluating", "propagating_once", "question", "require_items", "unwrapped"]

_LOCK = Lock()
_ASKED = Counter[nn.Module]()  # how many ask each part of a model now, in all threads
_MODES = dict[nn.Module, bool]()  # whether it was in training mode before the first of them


def device_of(model: nn.Module) -> torch.device:
    """Return where the model is; the CPU for one without parameters and buffers."""
    return next((tensor.device for tensor in chain(model.parameters(), model.buffers())), torch.device("cpu"))


def unwrapped(model: nn.Module) -> nn.Module:
    """Return the model inside of torch's wrappers, which hide what it reads and has.

    A ``DistributedDataParallel`` would also wait for the other processes in every call.
    """
    while isinstance(model, DistributedDataParallel | AveragedModel):
        model = model.module
    return model


def question(model: nn.Module, users: Tensor, history: Histories | None, device: torch.device) -> Batch:
    """Return these users, with their histories for a model that reads them.

    Args:
        model: Reads histories if it is a :class:`~graphmi.typing.HistoryReader`. Where it or a part of it has a number
            ``num_users``, it knows no others.
        users: User ids, ``[batch]``, on the CPU.
        history: What users had before, on the device.
        device: Where the model is.

    Raises:
        ValueError: If the model reads histories and there are none, or does not know a user.
    """
    _require_users(model, users)
    if not isinstance(model, HistoryReader):
        return Batch(user=users.to(device))
    if history is None:
        raise ValueError(
            f"{type(model).__name__} reads histories: give the evaluator 'history', the Histories of its users"
        )
    items, mask = history.read(users, model.max_length)
    return Batch(user=users.to(device), history=items, mask=mask)


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put the model into evaluation mode, and each of its parts back as it was when nobody asks it any more."""
    parts = list(model.modules())
    with _LOCK:
        _MODES.update({part: part.training for part in parts if part not in _ASKED})
        _ASKED.update(parts)
        model.eval()
    try:
        yield
    finally:
        with _LOCK:
            _ASKED.subtract(parts)
            for part in (part for part in parts if not _ASKED[part]):
                del _ASKED[part]
                part.training = _MODES.pop(part)


@contextmanager
def propagating_once(model: nn.Module) -> Iterator[None]:
    """Let each part of the model that propagates do so now, and no more for what this thread asks meanwhile.

    Args:
        model: In evaluation mode; its parameters must stay as they are until the context ends. Parts that can are those
            with :meth:`~graphmi.models.InterestGCN.propagating_once`.
    """
    with ExitStack() as stack:
        for part in model.modules():
            if propagating := getattr(part, "propagating_once", None):
                stack.enter_context(propagating())
        yield


def require_items(items: Tensor | ItemTable, num_items: int) -> None:
    """Check that a model has the items of the data.

    Args:
        items: The item vectors of the model.
        num_items: How many the data has.

    Raises:
        ValueError: If it has another number of them.
    """
    if len(items) != num_items:
        raise ValueError(
            f"the model has {len(items):,} items and the data {num_items:,}: take the data that it was trained on"
        )


def _require_users(model: nn.Module, users: Tensor) -> None:
    # Graph models number users first and items after them: a user too many would be answered as an item.
    sizes = [size for part in model.modules() if isinstance(size := getattr(part, "num_users", None), int)]
    if sizes and len(users) and (last := int(users.max())) >= min(sizes):
        raise ValueError(
            f"the model has {min(sizes):,} users and the data one with the number {last:,}, counted from 0: take the "
            "data that it was trained on"
        )
