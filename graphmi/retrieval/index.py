"""Search over item vectors."""

from typing import Protocol

from torch import Tensor

from graphmi.retrieval.topk import TopK, top_k
from graphmi.typing import ItemTable

__all__ = ["ExactIndex", "Index"]


class Index(Protocol):
    """Finds the best items for interests."""

    def search(
        self,
        queries: Tensor,
        k: int,
        *,
        exclude: tuple[Tensor, Tensor] | None = None,
        interest_mask: Tensor | None = None,
    ) -> TopK:
        """Return the ``k`` best items of each row, with the arguments of :func:`graphmi.retrieval.top_k`."""
        ...


class ExactIndex:
    """Compares every query with every item: :func:`graphmi.retrieval.top_k` with the items at hand.

    Args:
        items: Item vectors, ``[num_items, dim]``, or ``[num_items, num_vectors * dim]``.

    Example:
        >>> import torch
        >>> index = ExactIndex(torch.eye(3))
        >>> index.search(torch.tensor([[[0.0, 1.0, 0.5]]]), k=2).ids
        tensor([[1, 2]])
    """

    def __init__(self, items: Tensor | ItemTable) -> None:
        self.items = items

    def __len__(self) -> int:
        """Return the number of items."""
        return len(self.items)

    def search(
        self,
        queries: Tensor,
        k: int,
        *,
        exclude: tuple[Tensor, Tensor] | None = None,
        interest_mask: Tensor | None = None,
    ) -> TopK:
        """Return the ``k`` best items of each row, with the arguments of :func:`graphmi.retrieval.top_k`."""
        return top_k(queries, self.items, k, exclude=exclude, interest_mask=interest_mask)
