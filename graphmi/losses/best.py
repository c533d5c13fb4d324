"""The log-partition of the best of several inner products with each negative, without the products themselves."""

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

from graphmi.kernels import use_triton
from graphmi.losses.hits import Hits, Places, leave_out, of_blocks
from graphmi.losses.in_cache import NegativeVectors, bounded, powers_, rows_of_block
from graphmi.losses.partition import log_partition
from graphmi.losses.products import WIDE, in_parts, partition_of_products, without_invalid
from graphmi.nn.autocast import autocast_dtype
from graphmi.nn.powers import LOG2_E

__all__ = ["best_of_all", "partition_of_best", "products_at"]


def partition_of_best(
    left: Tensor, negatives: NegativeVectors, temperature: float, places: Places
) -> tuple[Tensor, Tensor]:
    r"""Return :math:`\log \sum_j \exp(\max_k \langle u_{ik}, v_j \rangle / \tau + c_{ij})`, ``[batch]``.

    The same as by :func:`best_of_all`, for products in full precision on a CPU in a third to two thirds of its time:
    the largest of a block of products are found, exponentiated and summed while they are in the cache. They are kept,
    and of the others only which was the largest, in a byte each. Of equal products the first has the gradient. A single
    vector has nothing to choose from, and is exponentiated as it is multiplied.

    Args:
        left: ``[batch, num_vectors, dim]``.
        negatives: What it is multiplied with, and which products count; corrections are those of the largest,
            broadcast to ``[batch, 1, num_negatives]``.
        temperature: Divides the products, positive.
        places: Rows and negatives, in any order.

    Returns:
        The log-partition, and the largest products at the places, ``[num_places]``, whether they count or not.
    """
    right, correction, hits, valid = negatives
    full = autocast_dtype(left) is None and left.dtype in (torch.float32, torch.float64)
    plain = not full or left.device.type != "cpu" or torch.compiler.is_compiling()
    if left.size(1) == 1 and (plain or use_triton(left)):
        whole = partition_of_products(left, right, correction, temperature, hits, valid).squeeze(1)
        return whole, products_at(places, left, right)
    if plain:

        def partition(neg: Tensor, correction: Tensor | None, hits: Hits | None) -> Tensor:
            return log_partition(neg, correction, temperature, hits)

        return best_of_all(left, negatives, places, partition)
    order = torch.arange(len(places.row))
    if bool((places.row.diff() < 0).any()):
        order = places.row.argsort(stable=True)
    found, best, which, first = [], [], [], 0
    for part in in_parts(negatives) if len(right) >= 2 * WIDE else [negatives]:
        column = places.column[order] - first
        inside = order[(column >= 0) & (column < len(part.vectors))]
        at = Places(places.row[inside], places.column[inside] - first)
        total, largest = _in_cache(left, part, temperature, at)
        found.append(total)
        best.append(largest)
        which.append(inside)
        first += len(part.vectors)
    joined = log_partition(torch.stack(found, -1)) if len(found) > 1 else found[0]
    return joined, left.new_empty(len(order)).index_copy(0, torch.cat(which), torch.cat(best))


def products_at(places: Places, left: Tensor, right: Tensor) -> Tensor:
    """Return the products of single vectors ``[batch, 1, dim]`` with negatives ``[num_negatives, dim]`` at places."""
    return (left.squeeze(1).index_select(0, places.row) * F.embedding(places.column, right)).sum(-1)


def best_of_all(
    left: Tensor,
    negatives: NegativeVectors,
    places: Places,
    partition: Callable[[Tensor, Tensor | None, Hits | None], Tensor],
) -> tuple[Tensor, Tensor]:
    """Return a partition of the largest products, ``[batch]``, and those at the places, by way of all products.

    Args:
        left: ``[batch, num_vectors, dim]``.
        negatives: What it is multiplied with, and which products count.
        places: Rows and negatives.
        partition: Reduces scores ``[batch, 1, num_negatives]``.
    """
    right, correction, hits, valid = negatives
    best = (left @ right.T).max(1, keepdim=True).values
    found = partition(best, without_invalid(correction, valid, left), hits).squeeze(1)
    return found, best[places.row, 0, places.column]


class _Rest(NamedTuple):
    correction: Tensor | None
    hits: Hits | None
    valid: Tensor | None
    scale: float
    places: Places


def _in_cache(left: Tensor, negatives: NegativeVectors, temperature: float, places: Places) -> tuple[Tensor, Tensor]:
    right, correction, hits, valid = negatives
    rest = _Rest(correction, hits, valid, 1.0 / temperature, places)
    out: tuple[Tensor, Tensor] = _Best.apply(left, right, rest)  # type: ignore[no-untyped-call]
    return out


def _of_blocks(places: Places, size: int, num_blocks: int) -> list[Places]:
    return [at for at in of_blocks(places, size, num_blocks) if isinstance(at, Places)]


class _Best(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, left: Tensor, right: Tensor, rest: _Rest) -> tuple[Tensor, Tensor]:
        batch, num_vectors, width = *left.shape[:2], len(right)
        correction, hits, valid, scale, places = rest
        # what is read most often is a fraction of the products, or the products themselves
        size = rows_of_block(num_vectors * width // min(num_vectors, 2))
        total, largest = left.new_zeros(2, batch, 1, 1).unbind()
        small = bounded(left, right, correction, scale)
        rows = [torch.split(each, size) for each in (left * (scale * LOG2_E), total, largest)]
        nothing = [None] * len(rows[0])
        added = None if correction is None else correction.to(left).expand(batch, 1, width)
        plus, counting = (nothing if each is None else torch.split(each, size) for each in (added, valid))
        buffer, columns = left.new_empty(min(size, batch), num_vectors, width), right.T.contiguous()
        terms, chosen, best = [], [], []
        for x, sums, most, more, which, out, at in zip(
            *rows,
            plus,
            counting,
            of_blocks(hits, size, len(nothing)),
            _of_blocks(places, size, len(nothing)),
            strict=True,
        ):
            term = left.new_empty(len(x), 1, width)
            products = term if num_vectors == 1 else buffer[: len(x)]
            torch.mm(x.flatten(0, 1), columns, out=products.view(-1, width))
            if num_vectors > 1:
                torch.amax(products, 1, keepdim=True, out=term)
                chosen.append(_first(products.eq_(term)))
            best.append(term[at.row, 0, at.column])
            if more is not None:
                term.add_(more, alpha=LOG2_E)
            leave_out(term, out)
            powers_(term, sums, most, small, which)
            terms.append(term)
        ctx.save_for_backward(left, right, total, *terms, *chosen)
        ctx.rest, ctx.size, ctx.blocks = rest, size, len(terms)  # type: ignore[attr-defined]
        return (total.log() + largest / LOG2_E).flatten(), torch.cat(best) / (scale * LOG2_E)

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, grad: Tensor, grad_best: Tensor) -> tuple[Tensor, Tensor | None, None]:
        left, right, total, *kept = ctx.saved_tensors  # type: ignore[attr-defined]
        num_vectors, (width, dim) = left.size(1), right.shape
        rest, size, learns = ctx.rest, ctx.size, ctx.needs_input_grad[1]  # type: ignore[attr-defined]
        blocks: int = ctx.blocks  # type: ignore[attr-defined]
        terms, chosen = kept[:blocks], kept[blocks:] or [None] * blocks  # of one vector nothing was chosen
        share = (rest.scale * grad.view(-1, 1, 1) / total).where(total > 0, 0)
        places = _of_blocks(rest.places, size, len(terms))
        of_left, of_right = left.new_empty(left.shape), left.new_zeros((dim, width) if learns else 0)
        buffer = left.new_empty(min(size, len(left)), num_vectors, width)
        rows = [torch.split(each, size) for each in (left, share, of_left)]
        of_places = torch.split(grad_best, [len(at.row) for at in places])
        for x, shares, out, term, choice, at, slope in zip(*rows, terms, chosen, places, of_places, strict=True):
            slopes = term * shares
            slopes.index_put_((at.row, torch.zeros_like(at.row), at.column), slope, accumulate=True)
            flat = (slopes if choice is None else buffer[: len(x)].copy_(choice).mul_(slopes)).view(-1, width)
            torch.mm(flat, right, out=out.view(-1, dim))
            if learns:
                of_right.addmm_(x.flatten(0, 1).T, flat)
        return of_left, of_right.T if learns else None, None


def _first(equal: Tensor) -> Tensor:
    """Return which vector is the first of those that are 1, ``[rows, num_vectors, num_negatives]``, in a byte each."""
    choice = equal.to(torch.int8)
    if bool(equal.sum() != len(equal) * equal.size(2)):
        row, column = (equal.sum(1) != 1).nonzero(as_tuple=True)
        several = choice[row, :, column]  # [num_places, num_vectors]
        choice[row, :, column] = several * F.one_hot(several.argmax(1), several.size(1)).to(choice)
    return choice
