"""What a run in training leaves in its folder after every epoch, so that it can be killed at any time and resumed."""

from graphmi.memory import lack_of_memory
from graphmi.run import RunFolder
from graphmi.session import Session

__all__ = ["load_checkpoint", "save_checkpoint", "save_trained"]


def load_checkpoint(folder: RunFolder, session: Session) -> None:
    """Put a session back as it was after its last finished epoch; it stays as it is where there was none.

    Raises:
        ValueError: If the file is damaged, or of another model or loss.
    """
    state = folder.read_state()
    if state is None:
        return
    try:
        session.load_state_dict(state)
    except Exception as error:  # torch has no type for a state that does not fit; the file itself is whole
        if lack_of_memory(error):
            raise
        said = str(error).split("\n")[-1].strip(" \t.")
        raise ValueError(
            f"'{folder.path / 'resume.pt'}' is of another model or loss ({said}): resume with those that it was begun "
            "with, or train in another folder"
        ) from error


def save_checkpoint(folder: RunFolder, session: Session) -> None:
    """Write what the epoch left behind; ``resume.pt`` is the one file that a resumed run reads.

    All processes must call it, and process 0 writes.
    """
    history, state = session.history, session.state_dict()
    if not session.fabric.is_global_zero:
        return
    folder.write_state(state)
    folder.write_metrics(history.rows)
    if history.best_epoch == history.epochs:
        folder.write_tensors("model", session.best)


def save_trained(folder: RunFolder, session: Session) -> None:
    """Write weights and metrics of training that has ended, in process 0.

    They are there already, unless a process was killed between two files, and the resumed one had nothing to do.
    """
    if session.fabric.is_global_zero:
        folder.write_tensors("model", session.best)
        folder.write_metrics(session.history.rows)
