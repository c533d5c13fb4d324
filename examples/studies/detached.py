"""BaM's probabilities as constants: over them the expected loss has the gradient of the drawn one on average."""

from torch import Tensor

from graphmi.nn import SoftmaxSelector

__all__ = ["DetachedSoftmax"]


class DetachedSoftmax(SoftmaxSelector):
    """As :class:`~graphmi.nn.SoftmaxSelector`, but no gradient goes through the weights, as none goes through a draw.

    Args:
        temperature: Multiplies the affinity, at least 0.
        similarity: The affinity; the inner product unless given.
    """

    def forward(self, interests: Tensor, anchor: Tensor, interest_mask: Tensor | None = None) -> Tensor:
        """Return softmax weights without gradient, ``[batch, num_interests, num_anchors]``."""
        return super().forward(interests, anchor, interest_mask).detach()
