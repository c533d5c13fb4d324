"""Negatives that were drawn several times, once."""

from dataclasses import replace

import torch

from graphmi.typing import Negatives

__all__ = ["distinct"]


def distinct(negatives: Negatives) -> Negatives:
    """Return negatives that the batch shares without repetitions: what was drawn ``n`` times has ``log_q - log n``.

    A softmax over them is the same, and has fewer scores: of 1,280 draws from 3,400 items a sixth are repetitions.
    Negatives are returned as they are where they cannot be told apart by item alone, and where one would have to wait
    for a device to learn how many are left.

    Args:
        negatives: What was drawn; an item has the same ``log_q`` wherever it stands.
    """
    item = negatives.item
    own = item.dim() != 1 or negatives.valid is not None or negatives.all_items
    if own or item.device.type != "cpu" or torch.compiler.is_compiling():
        return negatives
    item, place, count = torch.unique(item, return_inverse=True, return_counts=True)
    if len(item) == len(place):
        return negatives
    log_q = -count.double().log()
    if negatives.log_q is not None:
        log_q = log_q.scatter(0, place, negatives.log_q.double()) + log_q
    return replace(negatives, item=item, log_q=log_q)
