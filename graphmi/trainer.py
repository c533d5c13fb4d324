"""One training loop for every model."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol, get_args

import torch
from lightning_fabric.loggers.logger import Logger
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from graphmi.checkpoint import load_checkpoint, save_checkpoint, save_trained
from graphmi.computing import CompileMode, Kernels, check_computing, computing
from graphmi.data import BatchLoader
from graphmi.history import History
from graphmi.optim import LazyAdam
from graphmi.processes import Accelerator, Precision, make_fabric
from graphmi.progress import TrainingProgress
from graphmi.ranges import at_least, one_of, positive
from graphmi.run import RunFolder
from graphmi.seeds import seeded
from graphmi.session import Session

__all__ = ["History", "OptimizerFactory", "Trainer"]


class OptimizerFactory(Protocol):
    """Makes an optimizer; any class of :mod:`torch.optim` that knows ``lr`` and ``weight_decay`` is one."""

    def __call__(self, params: Iterable[nn.Parameter], /, *, lr: float, weight_decay: float) -> Optimizer:
        """Return the optimizer of these parameters."""
        ...


class Trainer:
    """Fits a model by gradient descent and keeps the weights of the best epoch on validation.

    Args:
        epochs: Most epochs to train, at least 1.
        learning_rate: Step size, above 0.
        weight_decay: L2 penalty on all parameters through the optimizer, at least 0.
        optimizer: Optimizer class; its other options can be set too, learning rate and decay come from here.
            :class:`~graphmi.optim.LazyAdam` is torch's Adam that takes sparse gradients besides.
        scheduler: Class of :mod:`torch.optim.lr_scheduler` that changes the learning rate after every epoch, such as
            ``LinearLR`` or ``CosineAnnealingLR``; none when omitted.
        gradient_clip: Largest norm of the gradient, above 0; no limit when omitted. Needs dense gradients.
        weight_average: Decay of an exponential moving average of the weights over the steps, in ``(0, 1)``; the average
            is what is validated and kept. Trains on without one when omitted. 0.999 is a good start. Every step reads
            and writes all parameters, those with sparse gradients too.
        monitor: Validation metric that decides on the best epoch and on stopping; higher is better.
        validate_every: Epochs between two validations, at least 1.
        patience: Validations without improvement before training stops, at least 1; never when omitted.
        accelerator: Device to train on; ``auto`` takes a CUDA device where there is one.
        precision: Number format, as in lightning-fabric. ``"bf16-mixed"`` pays on GPUs, and on processors with
            instructions for it (AVX512-BF16, AMX) for models of some width.
        compile: Mode of ``torch.compile`` for model and loss, ``"default"`` or ``"reduce-overhead"`` (CUDA graphs); not
            compiled when omitted. It takes up to a minute at the start, and a C++ compiler on the CPU, and pays
            there for some models and not for others (docs/performance.md). Needs dense gradients.
        kernels: ``"triton"`` takes graphmi's own programs for GPUs where it has some (:mod:`graphmi.kernels`), as yet
            not measured; they need a CUDA device and Triton.
        progress: Whether to show progress bars on a terminal or in a notebook, and to say how many users train where
            the loader leaves some out (once in a process, where several runs would say the same).

    Raises:
        ValueError: If an argument is out of its range.

    Example:
        >>> from graphmi.data import InteractionLoader, LeaveOneOut, planted
        >>> from graphmi.losses import BPRLoss, MultiInterestLoss
        >>> from graphmi.models import InterestGCN
        >>> from graphmi.nn import SelectReadout
        >>> from graphmi.samplers import UniformSampler
        >>> data = LeaveOneOut()(planted(num_users=50, num_items=40, num_clusters=4))
        >>> graph, loader = data.graph(), InteractionLoader(data.train)
        >>> loss = MultiInterestLoss(SelectReadout(), BPRLoss())
        >>> trainer = Trainer(epochs=2, accelerator="cpu")
        >>> trainer.fit(InterestGCN(graph), loader, UniformSampler(graph), loss, validate=None).epochs
        2
    """

    def __init__(
        self,
        *,
        epochs: int = 100,
        learning_rate: float = 1e-3,
        weight_decay: float = 0.0,
        optimizer: OptimizerFactory = LazyAdam,
        scheduler: Callable[[Optimizer], LRScheduler] | None = None,
        gradient_clip: float | None = None,
        weight_average: float | None = None,
        monitor: str = "ndcg@20",
        validate_every: int = 1,
        patience: int | None = 10,
        accelerator: Accelerator = "auto",
        precision: Precision = "32-true",
        compile: CompileMode | None = None,  # noqa: A002 (as torch calls it)
        kernels: Kernels = "torch",
        progress: bool = True,
    ) -> None:
        at_least(1, epochs=epochs, validate_every=validate_every, patience=patience)
        at_least(0, weight_decay=weight_decay)
        positive(learning_rate=learning_rate, gradient_clip=gradient_clip)
        if weight_average is not None and not 0 < weight_average < 1:
            raise ValueError(f"'weight_average' must be above 0 and below 1 (got {weight_average})")
        one_of(get_args(Accelerator), accelerator=accelerator)
        one_of(get_args(Precision), precision=precision)
        one_of(get_args(Kernels), kernels=kernels)
        if compile is not None:
            one_of(get_args(CompileMode), compile=compile)
        self.epochs = epochs
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.optimizer = optimizer
        self.scheduler = scheduler
        self.gradient_clip = gradient_clip
        self.weight_average = weight_average
        self.monitor = monitor
        self.validate_every = validate_every
        self.patience = patience
        self.progress = progress
        self.compile = compile
        self.kernels = kernels
        self.fabric = make_fabric(accelerator, precision)
        check_computing(compile, kernels, self.device)

    @property
    def device(self) -> torch.device:
        """Where the model is trained."""
        return self.fabric.device

    @property
    def batch_device(self) -> torch.device:
        """Where loaders make their batches: where the model is, or with several processes the CPU.

        A batch is divided there, because sizes of parts are known without waiting for the device.
        """
        return self.device if self.fabric.world_size == 1 else torch.device("cpu")

    @property
    def leads(self) -> bool:
        """Whether this is the process, of several, that writes, logs and shows."""
        return self.fabric.is_global_zero

    def launch(self) -> None:
        """Wait until all processes that ``torchrun`` started are here; nothing with one process, or a second time."""
        if self.fabric.world_size > 1:
            self.fabric.launch()

    def leading(self) -> AbstractContextManager[None]:
        """Return a context that one process of each machine leaves before the others enter it, such as to download."""
        self.launch()
        return self.fabric.rank_zero_first(local=True) if self.fabric.world_size > 1 else nullcontext()

    def fit(
        self,
        model: nn.Module,
        loader: BatchLoader,
        sampler: nn.Module,
        loss: nn.Module,
        validate: Callable[[nn.Module], Mapping[str, float]] | None,
        *,
        seed: int = 0,
        folder: RunFolder | None = None,
        resume: bool = False,
        loggers: Sequence[Logger] = (),
        on_epoch: Callable[[int, Mapping[str, float]], None] | None = None,
    ) -> History:
        """Train ``model`` and leave the weights of its best epoch in it, or of the last where nothing is validated.

        A run that was interrupted and is resumed gives the same numbers as one that was not: the state of
        everything that changes is written to ``folder`` after every epoch.

        In several processes all of them must call it. Process 0 writes and shows; what it finds in validation decides.

        Args:
            model: ``forward(batch) -> Representations``, with parameters.
            loader: Training batches on :attr:`batch_device`.
            sampler: ``forward(user, positive, generator) -> Negatives``.
            loss: Has ``terms(representations, positive, negatives, row, user)``, a dictionary of scalars to be added
                up, and for several processes ``totals``; see :class:`graphmi.losses.Loss`.
            validate: Gives the validation metrics of a model in evaluation mode; ``None``: all epochs are trained.
            seed: Seed of negatives and dropout.
            folder: Where ``model.safetensors``, ``metrics.csv`` and ``resume.pt`` are written; nowhere if omitted. All
                processes read it.
            resume: Whether to continue from the folder's ``resume.pt``, if it is there.
            loggers: Get every row of ``metrics.csv`` besides.
            on_epoch: Called with the epoch and its metrics after each validation; what it raises ends training.

        Returns:
            The history, with the rows of ``metrics.csv``.

        Raises:
            FloatingPointError: If a loss term is not finite; the message names it.
            ValueError: If ``validate`` does not give the monitored metric, if the scheduler waits for one, if optimizer
                or scheduler fail, if the state to resume from is of another model, if sparse gradients are to be
                clipped, compiled, or added up between CUDA devices, or if a compiler is missing.
        """
        if any(getattr(part, "sparse", False) for part in model.modules()):
            self._check_sparse()
        self.launch()
        noise = f"noise {self.fabric.global_rank}" if not self.leads else "noise"
        with seeded(seed, noise, self.device), computing(self.compile, self.kernels):
            session = Session(
                self.fabric,
                model,
                loader,
                sampler,
                loss,
                self._make_optimizer,
                seed,
                self.weight_average,
                self.scheduler,
                self.compile,
            )
            if resume and folder is not None:
                load_checkpoint(folder, session)
            with self._show(session) as shown:
                while not self._finished(session.history):
                    metrics = self._epoch(session, validate, shown)
                    if folder is not None:
                        save_checkpoint(folder, session)
                    for logger in loggers if self.leads else ():
                        logger.log_metrics(dict(session.history.rows[-1]), step=session.history.epochs)
                    if on_epoch is not None and metrics:
                        on_epoch(session.history.epochs, metrics)
        model.load_state_dict(session.best)
        if folder is not None:
            save_trained(folder, session)
        return session.history

    def _check_sparse(self) -> None:
        if self.compile is not None:
            raise ValueError(
                f"'compile' = '{self.compile}' needs dense gradients, and the model has sparse ones: leave it out, or "
                "set 'sparse' of the model to false"
            )
        if self.gradient_clip is not None:
            raise ValueError(
                f"'gradient_clip' = {self.gradient_clip} needs dense gradients, and the model has sparse ones: leave "
                "it out, or set 'sparse' of the model to false"
            )
        if self.fabric.world_size > 1 and self.device.type == "cuda":
            raise ValueError(
                "sparse gradients cannot be added up between CUDA devices (NCCL has no way to): set 'sparse' of the "
                "model to false, train in one process, or on the CPU"
            )

    def _epoch(
        self,
        session: Session,
        validate: Callable[[nn.Module], Mapping[str, float]] | None,
        shown: TrainingProgress,
    ) -> Mapping[str, float]:
        """Train for one epoch, validate if it is time to, and add a row to the history."""
        history, metrics = session.history, dict[str, float]()
        row = session.train_epoch(self.gradient_clip, shown.step)
        if history.epochs == self.epochs or (validate is not None and history.epochs % self.validate_every == 0):
            shown.validating()
            with session.averaged():
                if validate is not None:
                    metrics = self.fabric.broadcast(dict(validate(session.model.eval())))
                    if self.monitor not in metrics:
                        raise ValueError(f"'monitor' is '{self.monitor}', but validation gives {', '.join(metrics)}")
                session.keep_best(metrics, self.monitor)
        history.rows.append({**row, **metrics})
        shown.epoch(history.epochs, self._summary(history, row))
        return metrics

    def _finished(self, history: History) -> bool:
        stopped = self.patience is not None and history.stale >= self.patience
        return stopped or history.epochs >= self.epochs

    def _make_optimizer(self, parameters: list[nn.Parameter]) -> Optimizer:
        return self.optimizer(parameters, lr=self.learning_rate, weight_decay=self.weight_decay)

    def _show(self, session: Session) -> TrainingProgress:
        return TrainingProgress(
            self.epochs,
            len(session.loader),
            finished=session.history.epochs,
            first="compiling" if self.compile else "",
            enabled=self.progress and self.leads,
        )

    def _summary(self, history: History, row: Mapping[str, float]) -> str:
        text = f"loss {row['loss']:.4f}  {row['pairs_per_second']:,.0f} pairs/s"
        if self.monitor in history.best_metrics:
            text += f"  best {self.monitor} {history.best_metrics[self.monitor]:.4f} at epoch {history.best_epoch}"
        return text
