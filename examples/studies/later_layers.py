"""LightGCN whose later layers weigh more, as those of several rescaled interests do.

With ``center="sum"`` and ``rescale``, centers of ``InterestGCN`` are ``num_interests`` times as long in every layer, so
that items are read from other layers than with one interest. This model has one interest and the items of four:

    PYTHONPATH=examples/studies graphmi train lightgcn-softmax --data ml-100k --model later_layers.LaterLayers \
      --model.num_interests 1 --model.normalize true
"""

from torch import Tensor

from graphmi.models import InterestGCN


class LaterLayers(InterestGCN):
    """Layer ``l`` weighs ``4 ** l`` in the mean over the layers; the options are those of ``InterestGCN``."""

    def propagate(self) -> tuple[list[Tensor], list[Tensor]]:
        """Return virtual interests and centers of each layer, times their weights."""
        virtuals, centers = super().propagate()
        return _weighted(virtuals), _weighted(centers)


def _weighted(layers: list[Tensor]) -> list[Tensor]:
    return [4**layer * each for layer, each in enumerate(layers)]
