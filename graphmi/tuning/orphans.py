"""Trials whose process is no more: they are ended, and their options tried again."""

import os
import socket

import optuna
from optuna.trial import TrialState

__all__ = ["end_orphans", "mark", "others_run"]


def mark(trial: optuna.Trial) -> None:
    """Write down which process works on a trial."""
    trial.set_user_attr("process", os.getpid())
    trial.set_user_attr("host", socket.gethostname())  # last: where it is there, the mark is complete


def end_orphans(study: optuna.Study) -> None:
    """End the running trials of processes that were killed on this machine, and enqueue their options.

    Trials of other machines are left alone: whether they still run cannot be seen from here.
    """
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        if trial.user_attrs.get("host") == socket.gethostname() and not _alive(trial.user_attrs["process"]):
            # A RUNNING trial of the storage takes attributes through its id; it has no handle here.
            study._storage.set_trial_user_attr(trial._trial_id, "killed", True)
            study.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)
            study.enqueue_trial(trial.params)


def others_run(study: optuna.Study) -> bool:
    """Tell whether other processes of this machine still run trials."""
    running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    return any(
        trial.user_attrs.get("host") == socket.gethostname() and _alive(trial.user_attrs["process"])
        for trial in running
    )


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return process != os.getpid()
