"""How the steps of training are computed: by torch's operations, compiled ones, or with graphmi's own kernels."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Literal

import torch

from graphmi.kernels import runs_on, triton_kernels

__all__ = ["CompileMode", "Kernels", "check_computing", "computing"]

CompileMode = Literal["default", "reduce-overhead"]
Kernels = Literal["torch", "triton"]


def check_computing(mode: CompileMode | None, kernels: Kernels, device: torch.device) -> None:
    """Check that :func:`computing` can do what is asked for.

    Raises:
        ValueError: If it cannot.
    """
    if mode is not None and kernels == "triton":
        raise ValueError(f"'compile' = '{mode}' takes no 'kernels' but those of 'torch' (got 'triton')")
    if kernels == "triton" and not runs_on(device):
        raise ValueError("'kernels' is 'triton', but training is on the CPU, for which it has none: use 'torch'")


@contextmanager
def computing(mode: CompileMode | None, kernels: Kernels) -> Iterator[None]:
    """Compute steps in this context, with kernels; say in one sentence what keeps torch from compiling them.

    With compilation, earlier compiled code is dropped first: torch keeps only a few versions of a function, and runs
    further ones uncompiled.

    Args:
        mode: How steps are compiled; ``None`` where they are not.
        kernels: ``"triton"`` for :func:`graphmi.kernels.triton_kernels`.

    Raises:
        ValueError: What a compiler, or Triton, needs is not here.
    """
    with triton_kernels() if kernels == "triton" else nullcontext():
        if mode is None:
            yield
            return
        from torch._dynamo.exc import BackendCompilerFailed  # takes a second

        torch.compiler.reset()
        try:
            yield
        except BackendCompilerFailed as error:
            said = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
            raise ValueError(
                f"'compile' = '{mode}' does not work here: torch says '{said}'; install what it needs (on the CPU a "
                "C++ compiler, such as g++), or leave 'compile' out"
            ) from error
