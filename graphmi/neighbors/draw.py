"""Neighbours of many nodes at once, drawn from a CSR matrix."""

import torch
from torch import Generator, Tensor

__all__ = ["draw_neighbors"]

_RANDOM = 2**62  # taken modulo a degree: shares are off by degree / 2**62 at most


def draw_neighbors(
    rowptr: Tensor, node: Tensor, num_neighbors: int, *, replace: bool = False, generator: Generator | None = None
) -> tuple[Tensor, Tensor]:
    """Draw entries of some rows of a CSR matrix, every one with the same chance.

    Without replacement every subset of a row has the same chance, by Floyd's algorithm (`Bentley and Floyd, 1987
    <https://doi.org/10.1145/30401.315746>`_) on all rows at once: ``num_neighbors`` steps, each of which compares what
    it drew with the steps before. **Cost:** a random number and about ``num_neighbors / 2`` comparisons for each entry
    that is drawn, whatever the degrees. Rows that give all they have, and draws with replacement, need no comparison.

    Args:
        rowptr: Row pointers, ``[num_rows + 1]``.
        node: Rows, ``[num]``, in any order; a row that repeats is drawn from each time.
        num_neighbors: Entries per row, at least 1; -1 for all. Rows that have no more give all they have.
        replace: Draw with replacement: ``num_neighbors`` entries of every row that has any. No matter for -1.
        generator: Source of randomness, on the device of ``rowptr``.

    Returns:
        Positions of the entries, ``[num_drawn]`` int64, and the position in ``node`` that each is of, ascending.

    Raises:
        ValueError: If ``num_neighbors`` is out of its range.

    Example:
        >>> rowptr = torch.tensor([0, 2, 2, 6])
        >>> entry, owner = draw_neighbors(rowptr, torch.tensor([2, 1, 0]), 3)
        >>> owner.tolist(), len(set(entry.tolist()))
        ([0, 0, 0, 2, 2], 5)
    """
    if num_neighbors < 1 and num_neighbors != -1:
        raise ValueError(f"'num_neighbors' must be at least 1, or -1 for all (got {num_neighbors})")
    start, end = rowptr[node].long(), rowptr[node + 1].long()
    degree = end - start
    if num_neighbors == -1:
        count = degree
    else:
        count = (degree > 0) * num_neighbors if replace else degree.clamp_max(num_neighbors)
    owner = torch.arange(node.numel(), device=node.device).repeat_interleave(count)
    first = count.cumsum(0) - count
    entry = torch.arange(owner.numel(), device=node.device) + (start - first)[owner]  # the first ones of each row
    if num_neighbors != -1:
        chance = (degree > (0 if replace else num_neighbors)).nonzero().flatten()  # rows that do not give all
        degree, step = degree[chance], torch.arange(num_neighbors, device=node.device).unsqueeze(1)
        random = torch.randint(_RANDOM, (num_neighbors, chance.numel()), generator=generator, device=node.device)
        drawn = random % degree if replace else _floyd(random, degree)
        entry[first[chance] + step] = start[chance] + drawn
    return entry, owner


def _floyd(random: Tensor, degree: Tensor) -> Tensor:
    """Return distinct positions below each degree, ``[num_neighbors, num]``; all degrees are above ``num_neighbors``.

    Step by step the range grows by one; a number that came before is replaced by the new end of the range.
    """
    drawn = torch.empty_like(random)
    for step in range(len(random)):
        end = degree - len(random) + step
        number = random[step] % (end + 1)
        torch.where((drawn[:step] == number).any(0), end, number, out=drawn[step])
    return drawn
