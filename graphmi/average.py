"""An average of the weights over the steps of training."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

__all__ = ["WeightAverage"]


class WeightAverage:
    r"""The exponential moving average of a model's trained parameters.

    .. math:: \bar\theta_t = \delta_t \bar\theta_{t-1} + (1 - \delta_t)\,\theta_t, \quad
        \delta_t = \min\Bigl(\delta, \frac{t}{t + 9}\Bigr)

    With a constant learning rate the weights go round their optimum in a noise that the average leaves out, after
    `Polyak and Juditsky, 1992 <https://doi.org/10.1137/0330046>`_. The smaller decay at the beginning forgets the
    initial weights.

    Args:
        model: The model; its parameters are read at every :meth:`update`.
        decay: :math:`\delta`, in ``(0, 1)``: about ``1 / (1 - decay)`` steps count.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay, self.steps = decay, 0
        self.parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self.values = [parameter.detach().clone() for parameter in self.parameters]

    def update(self) -> None:
        """Take in the weights of one more step."""
        self.steps += 1
        decay = min(self.decay, self.steps / (self.steps + 9))
        average = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
        average(self.values, self.parameters, self.steps)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Put the average into the model for as long as the context lasts."""
        trained = [parameter.detach().clone() for parameter in self.parameters]
        self._write(self.values)
        try:
            yield
        finally:
            self._write(trained)

    def state_dict(self) -> dict[str, object]:
        """Return what the average consists of."""
        return {"steps": self.steps, "values": self.values}

    def load_state_dict(self, state: dict[str, object]) -> None:
        """Put back what :meth:`state_dict` returned."""
        self.steps = int(state["steps"])  # type: ignore[call-overload]
        for value, saved in zip(self.values, state["values"], strict=True):  # type: ignore[call-overload]
            value.copy_(saved)

    @torch.no_grad()
    def _write(self, values: Sequence[Tensor]) -> None:
        for parameter, value in zip(self.parameters, values, strict=True):
            parameter.copy_(value)
