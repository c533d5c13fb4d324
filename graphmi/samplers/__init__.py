"""Samplers of negatives, on the device, from the training graph alone."""

from graphmi.samplers.all_items import AllItemsSampler
from graphmi.samplers.base import Sampler
from graphmi.samplers.in_batch import InBatchSampler
from graphmi.samplers.log_uniform import LogUniformSampler
from graphmi.samplers.mixed import MixedSampler
from graphmi.samplers.popularity import PopularitySampler
from graphmi.samplers.uniform import UniformSampler

__all__ = [
    "AllItemsSampler",
    "InBatchSampler",
    "LogUniformSampler",
    "MixedSampler",
    "PopularitySampler",
    "Sampler",
    "UniformSampler",
]
