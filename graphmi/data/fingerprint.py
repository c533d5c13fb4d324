"""A hash of data that does not depend on the machine."""

import hashlib

import numpy as np
import polars as pl
from torch import Tensor

__all__ = ["digest"]


def digest(*parts: Tensor | pl.Series | str | None) -> str:
    """Return the SHA-256 (hex) of the parts, each preceded by its type and length."""
    sha = hashlib.sha256()
    for part in parts:
        for block in _blocks(part):
            sha.update(block)
    return sha.hexdigest()


def _blocks(part: Tensor | pl.Series | str | None) -> list[bytes]:
    if part is None:
        return [b"none;"]
    if isinstance(part, str):
        return [f"text {len(part.encode())};".encode(), part.encode()]
    if isinstance(part, pl.Series) and part.dtype == pl.String:
        sizes = part.str.len_bytes().to_numpy().astype("<i8")
        return [f"strings {len(part)};".encode(), sizes.tobytes(), "".join(part).encode()]
    values = part.to_numpy() if isinstance(part, pl.Series) else part.cpu().numpy()
    little_endian = np.ascontiguousarray(values).astype(values.dtype.newbyteorder("<"))
    return [f"{values.dtype.name} {len(values)};".encode(), little_endian.tobytes()]
