"""Weights of a selector, whose shape torch would broadcast to a wrong number."""

from torch import Tensor, nn

__all__ = ["weights_of"]


def weights_of(selector: nn.Module, interests: Tensor, anchor: Tensor, interest_mask: Tensor | None) -> Tensor:
    """Return the weights of a :class:`~graphmi.nn.Selector`, ``[batch, num_interests, num_anchors]``.

    Args:
        selector: The selector.
        interests: ``[batch, num_interests, dim]``.
        anchor: The items, ``[num_anchors, dim]`` or ``[batch, num_anchors, dim]``.
        interest_mask: ``[batch, num_interests]``.

    Raises:
        ValueError: If they have another shape.
    """
    weights: Tensor = selector(interests, anchor, interest_mask)
    if weights.shape != (shape := (*interests.shape[:-1], anchor.size(-2))):
        raise ValueError(
            f"{type(selector).__name__} must give weights [batch, num_interests, num_anchors], {list(shape)} (got "
            f"{list(weights.shape)})"
        )
    return weights
