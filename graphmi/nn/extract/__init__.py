"""Extractors: from a history to several interests."""

from graphmi.nn.extract.base import Extractor, Interests
from graphmi.nn.extract.self_attentive import SelfAttentiveExtractor

__all__ = ["Extractor", "Interests", "SelfAttentiveExtractor"]
