"""Tiles of the fused log-partition on a CUDA device: which of them ``graphmi.kernels.partition.tile`` should name.

Run ``python benchmarks/run.py tiles``. Forward and backward of 16,384 rows over 3,416 items, by format and size of the
vectors. Ratios are to torch's operations; *named* is the tile that is taken now.
"""

from collections.abc import Callable
from itertools import product
from unittest.mock import patch

import torch
from evaluation import NUM_ITEMS
from measure import Row, alternate
from torch import Tensor

from graphmi.kernels import partition
from graphmi.losses import NegativeVectors, SampledSoftmaxLoss

ROWS, REPEATS = 16_384, 20
FORMATS = {"bfloat16": torch.bfloat16, "float32": torch.float32}
DIMS = (32, 64, 128, 256)
TILES = [partition.Tile(*sizes) for sizes in product((32, 64, 128), (32, 64, 128), (4, 8))]


def fused(left: Tensor, right: Tensor, tile: partition.Tile) -> None:
    """Run forward and backward with a tile."""
    with patch.object(partition, "tile", lambda *_: tile):
        partition.partition_of_products(left, right, None, 0.1, left.dtype).sum().backward()


def plain(left: Tensor, right: Tensor) -> None:
    """Run forward and backward of torch's operations."""
    SampledSoftmaxLoss(temperature=0.1).partition_of_products(left, NegativeVectors(right)).sum().backward()


def fits(function: Callable[[], object]) -> bool:
    """Tell whether a tile fits into the shared memory; compiles it."""
    from triton.runtime.errors import OutOfResources

    try:
        function()
    except OutOfResources:
        return False
    return True


def run(device: str = "cuda") -> list[Row]:
    """Measure all tiles in alternation, beside torch's operations."""
    rows = []
    for (name, kind), dim in product(FORMATS.items(), DIMS):
        left = torch.randn(ROWS, 1, dim, device=device, dtype=kind, requires_grad=True)
        right = torch.randn(NUM_ITEMS, dim, device=device, dtype=kind, requires_grad=True)
        alternatives: dict[str, Callable[[], object]] = {"torch": lambda a=left, b=right: plain(a, b)}
        named = partition.tile(kind, dim)
        for tile in TILES:
            function = lambda a=left, b=right, t=tile: fused(a, b, t)  # noqa: E731
            if fits(function):
                alternatives[f"{tile.rows} x {tile.cols}, {tile.warps} warps" + ", named" * (tile == named)] = function
        times = alternate(alternatives, REPEATS)
        first = times["torch"].median
        best = sorted(times, key=lambda each: times[each].median)
        rows += [Row(f"{name}, {dim}: {each}", times[each], times[each].median / first) for each in best]
    return rows
