"""Losses: objectives, weightings and regularizers, and :class:`MultiInterestLoss`, which composes them."""

from graphmi.losses.base import Loss, SumLoss
from graphmi.losses.gbce import GBCELoss
from graphmi.losses.in_cache import NegativeVectors
from graphmi.losses.multi_interest import MultiInterestLoss, Weighted
from graphmi.losses.objectives import BCELoss, BPRLoss, Objective, TripletLoss
from graphmi.losses.regularizers import (
    AlignmentUniformity,
    EmbeddingNorm,
    InterestRepulsion,
    Regularizer,
    RoutingVariance,
)
from graphmi.losses.softmax import SampledSoftmaxLoss
from graphmi.losses.weighting import HardNegativeWeighting, UniformWeighting, Weighting

__all__ = [
    "AlignmentUniformity",
    "BCELoss",
    "BPRLoss",
    "EmbeddingNorm",
    "GBCELoss",
    "HardNegativeWeighting",
    "InterestRepulsion",
    "Loss",
    "MultiInterestLoss",
    "NegativeVectors",
    "Objective",
    "Regularizer",
    "RoutingVariance",
    "SampledSoftmaxLoss",
    "SumLoss",
    "TripletLoss",
    "UniformWeighting",
    "Weighted",
    "Weighting",
]
