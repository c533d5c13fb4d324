"""Means of the loss terms over an epoch, kept on the device."""

from collections.abc import Mapping

import torch
from lightning_fabric import Fabric
from torch import Tensor

from graphmi.processes import gathered

__all__ = ["LossMeter"]


class LossMeter:
    """Mean of every named loss term, and the first step at which one of them was not finite.

    :meth:`update` never waits for the device; :meth:`means` does, once. The first bad step is recorded when it
    happens, because one step later the parameters, and with them all terms, are lost.

    Args:
        fabric: Where the terms are, and the processes that each have a part of them.
    """

    def __init__(self, fabric: Fabric) -> None:
        self.fabric = fabric
        self.names: tuple[str, ...] = ()
        self.steps = 0
        self.weight = 0
        self._bad_step = torch.zeros((), dtype=torch.int64, device=fabric.device)

    def update(self, terms: Mapping[str, Tensor], weight: int) -> None:
        """Add the terms of one step.

        Args:
            terms: Scalar tensors by name; the same names at every step. Those of several processes are added up.
            weight: Number of examples behind them, in all processes, at least 1.
        """
        if not self.names:
            self.names = tuple(terms)
            self._sums = torch.zeros(len(self.names), dtype=torch.float64, device=self.fabric.device)
            self._bad = torch.zeros(len(self.names), dtype=torch.bool, device=self.fabric.device)
        values = torch.stack([terms[name].detach() for name in self.names]).double()  # [num_terms]
        fine_so_far = ~self._bad.any()
        self.steps += 1
        self.weight += weight
        self._sums += values * weight
        self._bad_step += self.steps * (fine_so_far & ~values.isfinite().all())
        self._bad |= ~values.isfinite() & fine_so_far

    def means(self) -> dict[str, float]:
        """Return the mean of every term so far; waits for the device, and all processes must call it.

        There must have been a step.

        Raises:
            FloatingPointError: If a term was not finite; the message names the first such terms and the step.
        """
        own = torch.cat([self._sums / self.weight, self._bad.double(), self._bad_step.double()[None]])
        rows: list[list[float]] = gathered(own.tolist(), self.fabric.world_size)
        size = len(self.names)
        if broken := [row for row in rows if row[-1]]:
            first = min(row[-1] for row in broken)
            flags = [any(row[size + term] for row in broken if row[-1] == first) for term in range(size)]
            names = [f"'{name}'" for name, flag in zip(self.names, flags, strict=True) if flag]
            raise FloatingPointError(f"the loss term {' and '.join(names)} is not finite at step {int(first)}")
        return {name: sum(row[term] for row in rows) for term, name in enumerate(self.names)}
