"""Item vectors by id, and those of negatives in the way that costs least."""

import torch.nn.functional as F
from torch import Tensor

from graphmi.nn.readout import Scores
from graphmi.typing import ItemTable, Negatives, Representations

__all__ = ["cheaper_at_once", "gather", "negative_vectors", "pick"]


def gather(items: Tensor | ItemTable, index: Tensor) -> Tensor:
    """Return the vectors of these items, ``[..., dim]`` for ids of shape ``[...]``."""
    return F.embedding(index, items) if isinstance(items, Tensor) else items[index]


def cheaper_at_once(out: Representations, negatives: Negatives) -> bool:
    """Tell whether the scores of all items take less memory than the vectors of each user's own negatives.

    One matrix product and picking from it is then many times as fast as gathering these vectors.
    """
    items, item = out.items, negatives.item
    if item.dim() != 2 or not isinstance(items, Tensor):
        return False
    return len(items) * out.interests.size(1) <= item.size(1) * items.size(1)


def pick(scores: Scores, item: Tensor) -> Scores:
    """Return the scores of each user's own negatives ``[batch, num_negatives]``, out of those of all items."""
    index = item if scores.neg.dim() == 2 else item.unsqueeze(1).expand(-1, scores.neg.size(1), -1)
    return scores._replace(neg=scores.neg.gather(-1, index))


def negative_vectors(items: Tensor | ItemTable, negatives: Negatives) -> Tensor:
    """Return the vectors that are scored at once: none where blocks of them follow."""
    if negatives.block_size is not None:
        return gather(items, negatives.item[:0])
    if negatives.all_items:
        return items if isinstance(items, Tensor) else items[:]
    return gather(items, negatives.item)
