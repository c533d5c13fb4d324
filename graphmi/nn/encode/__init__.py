"""Encoders: histories in which items know of earlier ones."""

from graphmi.nn.encode.base import Encoder, IdentityEncoder

__all__ = ["Encoder", "IdentityEncoder"]
