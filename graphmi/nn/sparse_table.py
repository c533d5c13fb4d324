"""Item vectors whose gradient holds the rows that were looked up and nothing else."""

import torch
import torch.nn.functional as F
from torch import Tensor

from graphmi.nn.unit import unit

__all__ = ["SparseTable"]


class SparseTable:
    """A parameter as :class:`graphmi.typing.ItemTable`, for training steps that cost what they look up.

    The gradient is a sparse tensor of the rows that were looked up, where a plain lookup fills a tensor of the size of
    the parameter. It needs an optimizer that takes it, such as ``graphmi.optim.LazyAdam``. Without gradients a slice is
    a view.

    Args:
        vectors: Item vectors, ``[num_items, dim]``.
        normalize: Bring to length one what is looked up.

    Example:
        >>> import torch
        >>> vectors = torch.randn(1000, 4).requires_grad_()
        >>> SparseTable(vectors)[torch.tensor([[7, 3], [7, 5]])].sum().backward()
        >>> vectors.grad.is_sparse, vectors.grad.coalesce().values().shape
        (True, torch.Size([3, 4]))
    """

    def __init__(self, vectors: Tensor, normalize: bool = False) -> None:
        self.vectors, self.normalize = vectors, normalize

    def __getitem__(self, index: Tensor | slice) -> Tensor:
        """Return the vectors of these items, ``[..., dim]`` for ids of shape ``[...]``."""
        rows = self._rows(index)
        return unit(rows) if self.normalize else rows

    def __len__(self) -> int:
        """Return the number of items."""
        return len(self.vectors)

    def _rows(self, index: Tensor | slice) -> Tensor:
        if isinstance(index, slice):
            if not torch.is_grad_enabled():
                return self.vectors[index]
            index = torch.arange(*index.indices(len(self)), device=self.vectors.device)
        return F.embedding(index, self.vectors, sparse=True)
