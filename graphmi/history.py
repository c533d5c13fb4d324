"""What a training run has seen so far."""

from dataclasses import dataclass, field

__all__ = ["History"]


@dataclass
class History:
    """What training has seen so far.

    Attributes:
        epochs: Finished epochs.
        best_epoch: The epoch with the best validation metric; 0 before the first validation.
        best_metrics: All validation metrics of that epoch.
        stale: Validations since then.
        seconds: Seconds spent on training steps, validation not counted.
        pairs: Training pairs seen.
        rows: One row per epoch: loss terms, validation metrics, seconds, pairs per second.
    """

    epochs: int = 0
    best_epoch: int = 0
    best_metrics: dict[str, float] = field(default_factory=dict)
    stale: int = 0
    seconds: float = 0.0
    pairs: int = 0
    rows: list[dict[str, float]] = field(default_factory=list)
