"""Trials whose process is no more: they are ended, and their options tried again."""

import os
import socket
from contextlib import suppress

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState

__all__ = ["end_orphans", "mark", "others_run", "try_again"]


def mark(trial: optuna.Trial) -> None:
    """Write down which process works on a trial."""
    trial.set_user_attr("process", os.getpid())
    trial.set_user_attr("host", socket.gethostname())  # last: where it is there, the mark is complete


def end_orphans(study: optuna.Study) -> None:
    """End the running trials of processes that were killed on this machine, and enqueue their options.

    Trials of other machines, and on Windows those of other processes, are left alone: whether they still run cannot be
    seen from here.
    """
    for trial in _running(study):
        if _alive(trial) is False:
            # A RUNNING trial of the storage takes attributes through its id; it has no handle here.
            with suppress(UpdateFinishedTrialError):  # where another process was first, it has enqueued them
                study._storage.set_trial_user_attr(trial._trial_id, "killed", True)
                study._storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)
                try_again(study, trial)


def try_again(study: optuna.Study, trial: FrozenTrial) -> None:
    """Enqueue the options of a trial, those too that were waiting for it and that it has not taken."""
    study.enqueue_trial({**trial.system_attrs.get("fixed_params", {}), **trial.params})


def others_run(study: optuna.Study) -> bool:
    """Tell whether other processes of this machine still run trials, where that can be seen."""
    return any(_alive(trial) for trial in _running(study))


def _running(study: optuna.Study) -> list[FrozenTrial]:
    return study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))


def _alive(trial: FrozenTrial) -> bool | None:
    """Tell whether another process works on a trial; ``None`` where that cannot be seen from here."""
    if trial.user_attrs.get("host") != socket.gethostname():
        return None
    if (process := trial.user_attrs["process"]) == os.getpid():
        return False  # whoever had this number before is no more
    if os.name == "nt":  # os.kill would not ask the process there but end it
        return None
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
