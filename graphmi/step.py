"""One training step as one module: model and loss."""

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

import torch
from torch import Tensor, nn

from graphmi.computing import CompileMode
from graphmi.losses.shapes import described
from graphmi.sharding import owners
from graphmi.typing import Batch, Negatives

__all__ = ["Step", "entries"]


class Step(nn.Module):
    """Model and loss of one step as one module, which is what fabric wraps for precision."""

    def __init__(self, model: nn.Module, loss: nn.Module, mode: CompileMode | None) -> None:
        super().__init__()
        self.model, self.loss = model, loss
        self.terms = self._terms if mode is None else _compiled(self._terms, mode)

    def forward(
        self,
        draw: Callable[[], Negatives],
        entries: dict[str, Any],
        row: Tensor | None = None,
        share: Mapping[str, float] | None = None,
    ) -> dict[str, Tensor]:
        """Return the loss terms of a batch, or what some of its rows add to them.

        Args:
            draw: Gives the negatives of the whole batch. A function, because fabric would change the precision of what
                it sees.
            entries: These rows as a batch. A dictionary, because fabric looks for tensors inside and cannot look into
                a frozen dataclass.
            row: Which rows of the whole batch they are; all when omitted.
            share: By how much their terms are multiplied.
        """
        negatives, batch = draw(), Batch(**entries)
        terms: Any = self.terms(batch, negatives if row is None else negatives.take(row))
        _require_scalars(self.loss, terms)
        return terms if share is None else {name: share[name] * term for name, term in terms.items()}

    def _terms(self, batch: Batch, negatives: Negatives) -> dict[str, Tensor]:
        terms: dict[str, Tensor] = self.loss.terms(  # type: ignore[operator]
            self.model(batch), batch.positive, negatives, batch.row, owners(batch)
        )
        return terms


def _require_scalars(loss: nn.Module, terms: object) -> None:
    named: Mapping[str, object] = terms if isinstance(terms, dict) else {}
    if named and all(isinstance(term, Tensor) and term.dim() == 0 for term in named.values()):
        return
    got = ", ".join(f"'{name}' {described(term)}" for name, term in named.items())
    got = got or ("none" if terms == {} else f"a {type(terms).__name__}")
    raise ValueError(f"'terms' of {type(loss).__name__} must return a dictionary of scalars by name (got {got})")


def _compiled(terms: Callable[..., dict[str, Tensor]], mode: CompileMode) -> Callable[..., dict[str, Tensor]]:
    if mode != "reduce-overhead":
        return torch.compile(terms, mode=mode)
    # A CUDA graph has one size. Most batches differ, and each would have one recorded, in more time than it takes.
    return torch.compile(terms, options={"triton.cudagraphs": True, "triton.cudagraph_skip_dynamic_graphs": True})


def entries(batch: Batch) -> dict[str, Tensor | None]:
    """Return a batch as a dictionary, which :class:`Step` takes."""
    return {entry.name: getattr(batch, entry.name) for entry in fields(batch)}
