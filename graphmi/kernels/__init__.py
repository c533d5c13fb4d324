"""Programs for GPUs in `Triton <https://triton-lang.org>`_, in place of operations of torch that mostly move bytes.

They are left out unless asked for, see :func:`triton_kernels`, and nothing else needs Triton to be installed.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor

__all__ = ["runs_on", "triton_kernels", "use_triton"]

_ASKED_FOR = ContextVar("graphmi.kernels", default=False)


@contextmanager
def triton_kernels() -> Iterator[None]:
    """Use the kernels within this context, on CUDA devices.

    They are the log-partition of a softmax over inner products, which then keeps neither products nor exponentials
    (float32 and bfloat16), and which interest is closest at each edge (``CenterAggregator("edge_dot")``). Results
    differ from those of torch by rounding. Where ``TRITON_INTERPRET=1`` is set before, Triton interprets them on the
    CPU, which is slow and for tests.

    Raises:
        ValueError: Triton is not installed, or older than 3.6.
    """
    try:
        import triton
    except ModuleNotFoundError:
        raise ValueError("the kernels need Triton, which is not installed: pip install triton, or do without") from None
    if tuple(int(part) for part in triton.__version__.split(".")[:2]) < (3, 6):
        raise ValueError(f"the kernels need Triton 3.6 (got {triton.__version__}): update torch, or do without")
    token = _ASKED_FOR.set(True)
    try:
        yield
    finally:
        _ASKED_FOR.reset(token)


def use_triton(x: Tensor) -> bool:
    """Tell whether the kernels are asked for, and can run where this tensor is."""
    return not torch.compiler.is_compiling() and _ASKED_FOR.get() and runs_on(x.device)


def runs_on(device: torch.device) -> bool:
    """Tell whether Triton has, or interprets, programs for a device."""
    return device.type == "cuda" or (device.type == "cpu" and os.environ.get("TRITON_INTERPRET") == "1")
