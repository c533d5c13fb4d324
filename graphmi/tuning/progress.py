"""What a search shows on a terminal or in a notebook."""

from optuna.trial import FrozenTrial, TrialState
from rich.console import Console

from graphmi.progress import ShownBars

__all__ = ["SearchProgress"]


class SearchProgress(ShownBars):
    """Two bars, trials and the epochs of the one that runs, and a line for each trial that has ended.

    Where nobody watches, only the lines are written.

    Args:
        trials: Number of trials in all.
        metric: What is searched for.
        enabled: False shows no bars, on a terminal too.
        console: Where to write; standard error when omitted.
    """

    def __init__(self, trials: int, metric: str, *, enabled: bool = True, console: Console | None = None) -> None:
        super().__init__(enabled, console)
        self._metric = metric
        self._trials = self._bars.add_task("trials", total=trials, text="")
        self._epochs = self._bars.add_task("epochs", total=None, text="")

    def begin(self, trials: int) -> None:
        """Show that so many trials have begun before."""
        self._bars.update(self._trials, completed=trials)
        self._bars.reset(self._epochs, text="")

    def epoch(self, epoch: int, epochs: int, value: float) -> None:
        """Show that a trial was validated after an epoch."""
        self._bars.update(self._epochs, completed=epoch, total=epochs, text=f"{self._metric} {value:.4f}")

    def end(self, trial: FrozenTrial, best: FrozenTrial | None) -> None:
        """Write a line for a trial that has ended."""
        match trial.state:
            case TrialState.COMPLETE:
                found = "  ".join(f"{value:.4f}" for value in trial.values)
            case TrialState.PRUNED:
                found = "ended early"
            case _:
                found = f"failed: {trial.user_attrs.get('error', 'unknown')}"
        text = "" if best is None else f"  (best {best.values[0]:.4f}, trial {best.number})"
        options = ", ".join(f"{name.rpartition('.')[2]} {_short(value)}" for name, value in trial.params.items())
        line = f"trial {trial.number}: {found}{text}  {options}"
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
