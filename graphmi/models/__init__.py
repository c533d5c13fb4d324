"""Models: from a batch of users to :class:`~graphmi.typing.Representations`."""

from graphmi.models.foreign import comirec_weights
from graphmi.models.interest_gcn import InterestGCN
from graphmi.models.item_to_item import EASE, ItemKNN
from graphmi.models.popularity import Popularity
from graphmi.models.separate_gcn import SeparateInterestGCN
from graphmi.models.sequence import SequenceModel
from graphmi.models.side_by_side import SideBySide

__all__ = [
    "EASE",
    "InterestGCN",
    "ItemKNN",
    "Popularity",
    "SeparateInterestGCN",
    "SequenceModel",
    "SideBySide",
    "comirec_weights",
]
