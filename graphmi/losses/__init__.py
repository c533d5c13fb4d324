"""Losses: objectives, weightings and regularizers, and :class:`MultiInterestLoss`, which composes them."""

from graphmi.losses.multi_interest import Loss, MultiInterestLoss, SumLoss, Weighted
from graphmi.losses.objectives import BPRLoss, Objective, SampledSoftmaxLoss
from graphmi.losses.regularizers import EmbeddingNorm, Regularizer
from graphmi.losses.weighting import UniformWeighting, Weighting

__all__ = [
    "BPRLoss",
    "EmbeddingNorm",
    "Loss",
    "MultiInterestLoss",
    "Objective",
    "Regularizer",
    "SampledSoftmaxLoss",
    "SumLoss",
    "UniformWeighting",
    "Weighted",
    "Weighting",
]
