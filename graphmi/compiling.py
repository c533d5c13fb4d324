"""Training steps that torch compiles."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch

__all__ = ["CompileMode", "compiling"]

CompileMode = Literal["default", "reduce-overhead"]


@contextmanager
def compiling(mode: CompileMode | None) -> Iterator[None]:
    """Say in one sentence what keeps torch from compiling, in this context; nothing where ``mode`` is ``None``.

    It begins without what was compiled before: torch keeps only a few versions of a function, and runs further ones
    uncompiled, as those of further models would be.

    Raises:
        ValueError: What a compiler needs is not here.
    """
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
            f"'compile' = '{mode}' does not work here: torch says '{said}'; install what it needs (on the CPU a C++ "
            "compiler, such as g++), or leave 'compile' out"
        ) from error
