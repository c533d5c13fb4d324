"""What is said of an experiment before it trains: remarks, and what cannot be trained at all."""

import sys
from functools import cache

from torch import nn

from graphmi.data import Dataset
from graphmi.losses import Loss
from graphmi.nn import Cosine, NegativeDistance

__all__ = ["check_known_users", "tell_once", "tell_unread_vectors", "tell_what_is_served"]


@cache
def tell_once(sentence: str) -> None:
    """Say a sentence on standard error, and no more in this process: the seeds of a model have the same to say."""
    sys.stderr.write(f"graphmi: {sentence}\n")


def tell_what_is_served(model: nn.Module, loss: Loss) -> None:
    """Say it where a loss ranks by something else than the inner products by which lists are made."""
    for part in loss.modules():
        score = type(getattr(part, "similarity", None))
        if score in (Cosine, NegativeDistance) and not getattr(model, "normalize", True):
            tell_once(
                f"the loss scores by {score.__name__}, and lists are made by inner products, which rank alike for "
                "vectors of length one only: set '--model.normalize' to true"
            )


def tell_unread_vectors(model: nn.Module, dataset: Dataset) -> None:
    """Say it where the items have vectors that a model could read, and does not."""
    if dataset.train.vectors is not None and getattr(model, "item_tower", model) is None:
        tell_once("the items have vectors, which this model does not read: '--model.item_tower FeatureSum' adds them")


def check_known_users(dataset: Dataset) -> None:
    """Refuse to score users by parameters that were never trained.

    Raises:
        ValueError: If none of the test is in the training data.
    """
    trained = dataset.train.user.bincount(minlength=dataset.num_users) > 0
    if len(dataset.test) and not trained[dataset.test.user].any():
        raise ValueError(
            "no user of the test is in the training graph, as with HeldOutUsers: that needs a model that reads "
            "histories, and this one knows training users only; use LeaveOneOut, RandomSplit or TemporalSplit"
        )
