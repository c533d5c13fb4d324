"""The moving parts of a training run, and their state."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict
from typing import Any
from zlib import crc32

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from graphmi.average import WeightAverage
from graphmi.computing import CompileMode
from graphmi.data import BatchLoader
from graphmi.drawing import with_negatives
from graphmi.history import History
from graphmi.memory import lack_of_memory
from graphmi.meter import LossMeter
from graphmi.processes import gathered
from graphmi.seeds import generator, load_rng_state, rng_state
from graphmi.sharding import shard, shares
from graphmi.step import Step, entries
from graphmi.typing import Batch, Negatives

__all__ = ["Session"]

# Steps between two looks at the loss: each look waits for the device.
_CHECK_EVERY = 50


class Session:
    """One model in training: it runs epochs, remembers the best weights, and can be saved and put back whole.

    Args:
        fabric: Device, precision and processes.
        model: ``forward(batch) -> Representations``, with parameters.
        loader: Training batches, the same in all processes.
        sampler: ``forward(user, positive, generator) -> Negatives``.
        loss: Has ``terms(representations, positive, negatives, row, user)``, and for several processes ``totals``.
        optimizer: Makes the optimizer of a list of parameters.
        seed: Seed of the negatives.
        average: Decay of the average of the weights; none when ``None``.
        scheduler: Makes what changes the learning rate of an optimizer after every epoch; none when ``None``.
        compile: Mode in which ``torch.compile`` compiles model and loss; none when ``None``.

    Raises:
        ValueError: If the scheduler waits for a metric, or one of optimizer and scheduler cannot be made.
    """

    def __init__(
        self,
        fabric: Fabric,
        model: nn.Module,
        loader: BatchLoader,
        sampler: nn.Module,
        loss: nn.Module,
        optimizer: Callable[[list[nn.Parameter]], Optimizer],
        seed: int,
        average: float | None = None,
        scheduler: Callable[[Optimizer], LRScheduler] | None = None,
        compile: CompileMode | None = None,  # noqa: A002 (as torch calls it)
    ) -> None:
        self.fabric = fabric
        self.model, self.loader, self.loss = model, loader, loss
        self.draws = generator(seed, "sampler", fabric.device)
        self.history = History()
        self.best: dict[str, Tensor] = {}
        self.sampler = sampler.to(fabric.device)
        step = Step(model, loss, compile)
        with _naming("optimizer"):
            made = optimizer([parameter for parameter in step.parameters() if parameter.requires_grad])
        with _naming("scheduler"):
            self.scheduler = None if scheduler is None else scheduler(made)
        if isinstance(self.scheduler, ReduceLROnPlateau):
            raise ValueError(
                "ReduceLROnPlateau waits for a metric, and the learning rate changes after epochs without validation "
                "too: use another 'scheduler', such as CosineAnnealingLR"
            )
        self.step, self.optimizer = fabric.setup(step, made)
        self.average = None if average is None else WeightAverage(model, average)

    def train_epoch(self, gradient_clip: float | None, on_step: Callable[[int, float], None]) -> dict[str, float]:
        """Go over the training data once.

        Args:
            gradient_clip: Largest norm of the gradient; no limit when ``None``.
            on_step: Called now and then with the steps done and the mean loss so far.

        Returns:
            The epoch, the mean loss and its terms, the seconds and the pairs per second.

        Raises:
            FloatingPointError: If a loss term is not finite; the message names it.
            ValueError: If the scheduler fails, if the optimizer has no use for sparse gradients, if the loss has no
                terms by name, or if the loader gives something else than batches, or none.
        """
        self.step.train()
        meter = LossMeter(self.fabric)
        start = time.perf_counter()
        for batch, draw in with_negatives(self.loader, self.sampler, self.draws, self.fabric.device):
            terms, positives = self._step(batch, draw)
            self.optimizer.zero_grad()
            # Gradients become means over processes, and the terms of the whole batch are sums over them.
            self.fabric.backward(torch.stack([*terms.values()]).sum() * self.fabric.world_size)
            if gradient_clip is not None:
                # A check for finiteness here would wait for the device at every step; the meter's does not.
                self.fabric.clip_gradients(self.step, self.optimizer, max_norm=gradient_clip, error_if_nonfinite=False)
            self._update()
            if self.average is not None:
                self.average.update()
            meter.update(terms, positives)
            if meter.steps % _CHECK_EVERY == 0:
                on_step(meter.steps, sum(self._means(meter).values()))
        if not meter.steps:
            raise ValueError(
                f"{type(self.loader).__name__} gave no batch in epoch {self.history.epochs + 1}: it must give some "
                "whenever it is gone over"
            )
        if self.scheduler is not None:
            with _naming("scheduler"):
                self.scheduler.step()
        means = self._means(meter)
        seconds = time.perf_counter() - start
        self.history.epochs += 1
        self.history.seconds += seconds
        self.history.pairs += meter.weight
        return {
            "epoch": self.history.epochs,
            "loss": sum(means.values()),
            **{f"loss/{name}": mean for name, mean in means.items()},
            "seconds": seconds,
            "pairs_per_second": meter.weight / seconds,
        }

    def _step(self, batch: Batch, draw: Callable[[], Negatives]) -> tuple[dict[str, Tensor], int]:
        """Return the loss terms of a batch and how many positives it has; of several processes, what this adds."""
        if not isinstance(batch, Batch) or batch.positive is None:
            got = "Batch without positives" if isinstance(batch, Batch) else type(batch).__name__
            raise ValueError(f"{type(self.loader).__name__} must give Batch(user, positive) (got a {got})")
        if self.fabric.world_size == 1:
            return self.step(draw, entries(batch)), len(batch.positive)
        part = shard(batch, self.fabric.global_rank, self.fabric.world_size)
        inputs = self.fabric.to_device((entries(part.batch), part.row))
        return self.step(draw, *inputs, shares(self.loss, batch, part)), len(batch.positive)  # type: ignore[arg-type]

    def _update(self) -> None:
        try:
            self.optimizer.step()
        except RuntimeError as error:
            if "sparse gradients" not in str(error):
                raise
            raise ValueError(
                "'optimizer' does not take the sparse gradients of the model: use LazyAdam, or set 'sparse' of the "
                "model to false"
            ) from error

    def averaged(self) -> AbstractContextManager[None]:
        """Return a context in which the model has the weights that are validated and kept."""
        return nullcontext() if self.average is None else self.average.applied()

    def keep_best(self, metrics: Mapping[str, float], monitor: str) -> None:
        """Remember the weights if these validation metrics are the best so far, or if there are none to go by."""
        history = self.history
        if not (self.best and metrics) or metrics[monitor] > history.best_metrics[monitor]:
            self.best = {name: value.detach().cpu().clone() for name, value in self.model.state_dict().items()}
            history.best_epoch, history.best_metrics, history.stale = history.epochs, dict(metrics), 0
        else:
            history.stale += 1

    def state_dict(self) -> dict[str, Any]:
        """Return the state of all that changes: what ``torch.load(weights_only=True)`` can read.

        All processes must call it.
        """
        return {
            "model": self.model.state_dict(),
            "loss": self.loss.state_dict(),
            "best": self.best,
            "optimizer": self.optimizer.state_dict(),
            "scheduler": None if self.scheduler is None else self.scheduler.state_dict(),
            "average": None if self.average is None else self.average.state_dict(),
            "precision": self.fabric.strategy.precision.state_dict(),
            "generators": [source.get_state() for source in self._generators()],
            "noise": gathered(rng_state(self.fabric.device), self.fabric.world_size),
            "history": asdict(self.history),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Put back what :meth:`state_dict` returned."""
        self.model.load_state_dict(state["model"])
        self.loss.load_state_dict(state["loss"])
        self.best = dict(state["best"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.scheduler is not None and state.get("scheduler") is not None:
            self.scheduler.load_state_dict(state["scheduler"])
        if self.average is not None and state["average"] is not None:
            self.average.load_state_dict(state["average"])
        self.fabric.strategy.precision.load_state_dict(state["precision"])
        for source, saved in zip(self._generators(), state["generators"], strict=True):
            _put_back(source, saved)
        if self.fabric.global_rank < len(state["noise"]):  # else there were fewer processes, and this one is new
            load_rng_state(state["noise"][self.fabric.global_rank], self.fabric.device)
        self.history = History(**state["history"])

    def _generators(self) -> list[torch.Generator]:
        return [source for source in (self.draws, self.loader.generator) if source is not None]

    def _means(self, meter: LossMeter) -> dict[str, float]:
        try:
            return meter.means()
        except FloatingPointError as error:
            raise FloatingPointError(f"{error} of epoch {self.history.epochs + 1}") from None


def _put_back(source: torch.Generator, state: Tensor) -> None:
    """Put back the state of a generator; one of another kind of device can only be a seed."""
    if state.numel() == source.get_state().numel():
        source.set_state(state)
    else:
        source.manual_seed(crc32(state.numpy().tobytes()))


@contextmanager
def _naming(option: str) -> Iterator[None]:
    """Say of what fails in this context which option it comes from."""
    try:
        yield
    except Exception as error:  # torch checks few of its arguments, and has no type for what is wrong with one
        if lack_of_memory(error):
            raise
        said = f"{type(error).__name__}: {error}".splitlines()[0]
        raise ValueError(f"'{option}' fails ({said}): change its options, or name another class") from error
