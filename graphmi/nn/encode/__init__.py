"""Encoders: histories in which items know of earlier ones."""

from graphmi.nn.encode.base import Encoder, IdentityEncoder
from graphmi.nn.encode.gru import GRUEncoder
from graphmi.nn.encode.transformer import TransformerEncoder

__all__ = ["Encoder", "GRUEncoder", "IdentityEncoder", "TransformerEncoder"]
