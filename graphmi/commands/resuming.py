"""What a resumed run may do differently: nothing that would have changed the epochs that are done."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from graphmi.config import Config, settings
from graphmi.experiment import Experiment
from graphmi.run import RunFolder
from graphmi.usage import UsageError

__all__ = ["check_epochs", "check_options"]

# Of the data it is checked that it is the same, wherever it lies now.
_RESUMABLE = {"data", "trainer.epochs", "trainer.patience", "trainer.accelerator", "trainer.progress"}


def check_options(folder: RunFolder, before: Config, now: Config) -> None:
    """Check that a run is resumed with its own options.

    Args:
        folder: The run.
        before: What it was started with.
        now: What it is to be continued with.

    Raises:
        UsageError: If an option differs that may not.
    """
    old, new = (_flat(settings(config.to_dict())) for config in (before, now))
    for name in sorted(old.keys() | new.keys()):
        if old.get(name) != new.get(name) and name not in _RESUMABLE:
            raise UsageError(
                f"'--{name}' is {new.get(name)}, but the run in '{folder.path}' has {old.get(name)}: "
                "a resumed run keeps its options"
            )


def check_epochs(folder: RunFolder, experiment: Experiment) -> None:
    """Check that a run with these epochs and patience, never interrupted, would have had the epochs that are done.

    Args:
        folder: The run.
        experiment: What it is to be continued with.

    Raises:
        UsageError: If it would stop before, or validate at other epochs.
        ValueError: If the state of the run is damaged.
    """
    state, trainer = folder.read_state(), experiment.trainer
    if state is None:
        if (folder.path / "result.json").is_file() and folder.read_metrics():
            raise UsageError(f"the run in '{folder.path}' has ended, and no state to go on from is there: train again")
        return
    with folder.reading("resume.pt"):
        rows = state["history"]["rows"]
    done, run = len(rows), f"the run in '{folder.path}'"
    if trainer.epochs < done:
        raise UsageError(f"'--trainer.epochs' is {trainer.epochs}, but {run} has {done} done: ask for {done} or more")
    if experiment.refit:  # which validates nothing
        return
    due, validated = done % trainer.validate_every == 0 or done == trainer.epochs, trainer.monitor in rows[-1]
    if due != validated:  # the last epoch is validated whenever it comes
        raise UsageError(
            f"'--trainer.epochs' is {trainer.epochs}, but epoch {done} of {run} was {'' if validated else 'not '}"
            f"validated as the last: {'keep to' if validated else 'ask for more than'} {done}, or train again"
        )
    waited = _longest_wait([row[trainer.monitor] for row in rows[:-1] if trainer.monitor in row])
    if trainer.patience is not None and trainer.patience <= waited:
        raise UsageError(
            f"'--trainer.patience' is {trainer.patience}, but {run} went on after {waited} validations without "
            f"improvement: ask for {waited + 1} or more"
        )


def _longest_wait(values: Sequence[float]) -> int:
    """Return the most values in a row that are no better than the best before them."""
    best, wait, longest = -math.inf, 0, 0
    for value in values:
        best, wait = (value, 0) if value > best else (best, wait + 1)
        longest = max(longest, wait)
    return longest


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested options by their names on the command line."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        path = prefix if name == "init_args" else f"{prefix}.{name}".lstrip(".")
        flat |= _flat(value, path) if isinstance(value, dict) else {path: value}
    return flat
