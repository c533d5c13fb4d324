"""What models inherit, so that their subclasses are asked in their own way."""

from torch import nn

from graphmi.nn.shortcuts import Shortcuts

__all__ = ["Model"]


class Model(Shortcuts, nn.Module):
    """A model whose subclasses with their own ``forward`` or ``propagate`` inherit no answers that go past these.

    Their ``fold_in``, ``as_reader`` and ``contributions`` are ``None`` until they have some: such a subclass folds in
    no users, and explains no recommendations by items. Where those above are right, ``fold_in = InterestGCN.fold_in``
    says so, and the like of the others.
    """

    shortcuts = (
        ("forward", "fold_in", "as_reader", "contributions"),
        ("propagate", "fold_in", "as_reader", "contributions"),
        ("fold_in", "as_reader"),
    )
