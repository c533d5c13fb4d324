"""Extractors: from a history to several interests."""

from graphmi.nn.extract.base import Extractor, Interests

__all__ = ["Extractor", "Interests"]
