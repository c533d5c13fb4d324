"""The processes that train one model: started by ``torchrun``, each with its own device or share of the CPU."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from inspect import signature
from typing import Any, Literal, TypeVar

import torch
import torch.distributed as dist
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning_fabric.strategies.ddp import DDPStrategy
from torch.nn.parallel import DistributedDataParallel

__all__ = ["Accelerator", "Precision", "gathered", "launched", "make_fabric", "position", "speaking"]

Accelerator = Literal["auto", "cpu", "cuda"]
Precision = Literal["32-true", "64-true", "bf16-mixed", "16-mixed"]
_T = TypeVar("_T")
_CONNECTION = 5  # seconds in which the store of torchrun answers
_PATIENCE = 5  # seconds that a process which fails waits for process 0 to say why


def launched() -> int:
    """Return how many processes ``torchrun`` started, 1 without it."""
    return int(os.environ["WORLD_SIZE"]) if TorchElasticEnvironment.detect() else 1


def make_fabric(accelerator: Accelerator, precision: Precision) -> Fabric:
    """Return device, precision and processes of a training run: one process, or those that ``torchrun`` started.

    Args:
        accelerator: Device to train on; ``auto`` takes a CUDA device where there is one.
        precision: Number format, as in lightning-fabric.

    Raises:
        ValueError: If there is no CUDA device where one is asked for, or fewer than processes.
    """
    if accelerator == "cuda" and not torch.cuda.is_available():
        raise ValueError("'accelerator' is 'cuda', but there is no CUDA device here; use 'auto' or 'cpu'")
    # Not fabric's own "auto": sparse products are not available on every device that it may choose.
    chosen = "cuda" if accelerator != "cpu" and torch.cuda.is_available() else "cpu"
    world = launched()
    if world == 1:
        return Fabric(accelerator=chosen, devices=1, precision=precision)
    here = int(os.environ["LOCAL_WORLD_SIZE"])
    if chosen == "cuda" and here > torch.cuda.device_count():
        raise ValueError(
            f"torchrun started {here} processes, but there are {torch.cuda.device_count()} CUDA devices here: start a "
            "process for each, or set 'accelerator' to 'cpu'"
        )
    return Fabric(accelerator=chosen, devices=here, num_nodes=world // here, strategy=_strategy(), precision=precision)


def _strategy() -> DDPStrategy:
    """Return how gradients are averaged over processes.

    The buffers of a step are the graph, popularity and known items, which never change and need not be sent again. The
    same parameters have gradients in every step, but not always all of them: the random projections of a selector that
    draws have none.
    """
    renamed = "forward_sync_buffers" in signature(DistributedDataParallel.__init__).parameters  # in torch 2.13
    buffers = {"forward_sync_buffers" if renamed else "broadcast_buffers": False}
    return DDPStrategy(static_graph=True, **buffers)  # type: ignore[arg-type]


def position() -> tuple[int, int]:
    """Return which process this is, from 0, and how many there are."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


def gathered(value: _T, world: int) -> list[_T]:
    """Return what every process gives here, in their order; all of them must call it.

    Args:
        value: Anything that can be pickled, tensors on the CPU.
        world: How many processes there are; with one, nobody is asked.
    """
    values: list[_T] = [value] * world
    if world > 1:
        dist.all_gather_object(values, value)
    return values


@contextmanager
def speaking() -> Iterator[bool]:
    """Tell whether this process is the one, of those that failed, to print the error; the others wait meanwhile.

    Process 0 comes first where it fails too. ``torchrun`` ends all processes soon after one has ended, so others stay
    until it has spoken.
    """
    store = _common_store()
    if store is None:
        yield os.environ.get("RANK", "0") == "0"
        return
    if os.environ["RANK"] != "0":
        with suppress(RuntimeError):  # process 0 has not failed in this time
            store.wait(["graphmi/said"], timedelta(seconds=_PATIENCE))
    first = store.add("graphmi/speaks", 1) == 1
    try:
        yield first
    finally:
        if first:
            with suppress(RuntimeError):  # torchrun has ended, and nobody waits any more
                store.add("graphmi/said", 1)  # unlike set, it returns when the others can see it


def _common_store() -> Any:
    """Return what ``torchrun`` keeps for all processes; ``None`` where there is one process, or no answer."""
    if not TorchElasticEnvironment.detect() or os.environ["WORLD_SIZE"] == "1":
        return None
    address, port, wait = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), timedelta(seconds=_CONNECTION)
    try:
        store = dist.TCPStore(address, port, is_master=False, timeout=wait)  # type: ignore[attr-defined]
    except RuntimeError:
        return None
    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    return dist.PrefixStore(attempt, store)  # type: ignore[attr-defined]
