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
    it drew with the steps before. **Cost:** ``num * num_neighbors`` random numbers and half as many comparisons times
    ``num_neighbors``, whatever the degrees. With replacement the comparisons fall away.

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
        owner = torch.arange(node.numel(), device=node.device).repeat_interleave(degree)
        first = start - (degree.cumsum(0) - degree)
        return torch.arange(owner.numel(), device=node.device) + first[owner], owner
    step = torch.arange(num_neighbors, device=node.device).unsqueeze(1)
    random = torch.randint(_RANDOM, (num_neighbors, node.numel()), generator=generator, device=node.device)
    if replace:
        drawn, valid = random % degree.clamp_min(1), (degree > 0).expand_as(random)
    else:
        drawn, valid = _floyd(random, degree), step < degree
    owner, column = valid.t().nonzero().unbind(1)
    return start[owner] + drawn[column, owner], owner


def _floyd(random: Tensor, degree: Tensor) -> Tensor:
    """Return distinct positions below each degree, ``[num_neighbors, num]``; where it is too low the first come first.

    Step by step the range grows by one; a number that came before is replaced by the new end of the range.
    """
    num_neighbors = len(random)
    surplus = (degree - num_neighbors).clamp_min(0)
    few = surplus == 0
    drawn = torch.empty_like(random)
    for step in range(num_neighbors):
        end = surplus + step
        number = random[step] % (end + 1)
        again = few | (drawn[:step] == number).any(0)
        torch.where(again, end, number, out=drawn[step])
    return drawn
