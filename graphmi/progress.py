"""What training shows on a terminal or in a notebook."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

__all__ = ["ShownBars", "TrainingProgress", "bars", "counting"]

_OPEN = ContextVar[Progress | None]("_OPEN", default=None)  # a terminal shows one at a time


def bars(enabled: bool, console: Console) -> Progress:
    """Return bars that are shown on a terminal or in a notebook, and gone when what they show is done."""
    return Progress(
        TextColumn("{task.description:<6}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(compact=True),
        TextColumn("{task.fields[text]}"),
        console=console,
        disable=not (enabled and (console.is_terminal or console.is_jupyter)),
        transient=True,
    )


@contextmanager
def counting(what: str, total: int, enabled: bool = True) -> Iterator[Callable[[int], None]]:
    """Give a function that shows how many of the total are done; the bar is on standard error.

    Where :class:`ShownBars` are open, such as those of training, it is one more of them.
    """
    others = _OPEN.get() if enabled else None
    with bars(enabled, Console(stderr=True)) if others is None else nullcontext(others) as shown:
        task = shown.add_task(what, total=total, text="")
        try:
            yield lambda done: shown.update(task, completed=done)
        finally:
            shown.remove_task(task)


class ShownBars:
    """A context manager with bars that are shown while it is open.

    Args:
        enabled: False shows nothing, on a terminal too.
        console: Where to write; standard error when omitted.
    """

    def __init__(self, enabled: bool = True, console: Console | None = None) -> None:
        self._console = Console(stderr=True) if console is None else console
        self._bars = bars(enabled, self._console)

    def __enter__(self) -> Self:
        self._bars.start()
        self._token = _OPEN.set(self._bars)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _OPEN.reset(self._token)
        self._bars.stop()


class TrainingProgress(ShownBars):
    """Two bars, epochs and steps, with loss, validation metric and throughput; silent where nobody watches.

    Args:
        epochs: Number of epochs in all.
        steps: Number of steps of an epoch.
        finished: Epochs finished before, by an interrupted run.
        first: What is shown until there is a loss.
        enabled: False shows nothing, on a terminal too.
        console: Where to write; standard error when omitted.
    """

    def __init__(
        self,
        epochs: int,
        steps: int,
        *,
        finished: int = 0,
        first: str = "",
        enabled: bool = True,
        console: Console | None = None,
    ) -> None:
        super().__init__(enabled, console)
        self._epochs = self._bars.add_task("epochs", total=epochs, completed=finished, text="")
        self._steps = self._bars.add_task("steps", total=steps, text=first)

    def step(self, steps: int, loss: float) -> None:
        """Show that ``steps`` steps of the epoch are done, at this mean loss."""
        self._bars.update(self._steps, completed=steps, text=f"loss {loss:.4f}")

    def validating(self) -> None:
        """Show that the epoch's steps are over and validation runs."""
        self._bars.update(self._steps, text="validation")

    def epoch(self, epochs: int, text: str) -> None:
        """Show that ``epochs`` epochs are done, and what came out of them."""
        self._bars.update(self._epochs, completed=epochs, text=text)
        self._bars.reset(self._steps, text="")
