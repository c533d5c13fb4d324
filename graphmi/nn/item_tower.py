"""Item vectors made from an item's own vector and its features, only where they are asked for."""

from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graphmi.nn.sparse_table import SparseTable
from graphmi.nn.unit import unit
from graphmi.ranges import at_least

__all__ = ["FeatureSum", "ItemTower", "Tower", "TowerTable"]


class Tower(nn.Module, ABC):
    """Makes the vector that is recommended of an item's own vector and its features.

    Any tower is made from the two numbers ``(embedding_dim, num_features)`` and options of its own. Use it through a
    :class:`TowerTable`, which runs it for single items.

    Args:
        num_features: Number of features, at least 0.

    Attributes:
        in_histories: Whether items of histories are read as it makes them, too.

    Raises:
        ValueError: ``num_features`` is below 0, or in use features are missing or not those it was made for.
    """

    in_histories = False

    def __init__(self, num_features: int) -> None:
        super().__init__()
        at_least(0, num_features=num_features)
        self.num_features = num_features

    @abstractmethod
    def forward(self, vectors: Tensor, features: Tensor | None = None) -> Tensor:
        """Return ``[..., dim]`` from vectors ``[..., dim]`` and features ``[..., num_features]``."""

    def require_features(self, features: Tensor | None) -> None:
        """Check that these are as many as the tower was made for."""
        given = 0 if features is None else features.size(-1)
        if given != self.num_features:
            raise ValueError(f"the item tower was made for {self.num_features} features (got {given})")


class ItemTower(Tower):
    r"""A network with one hidden layer over an item's vector :math:`e_i` and its features :math:`f_i`.

    .. math:: v_i = W_2 \operatorname{ReLU}(W_1 [e_i; f_i] + b_1) + b_2

    A reconstruction of the item side of MTMI (`Xiong and Yu, 2024 <https://arxiv.org/abs/2403.05122>`_).

    Args:
        embedding_dim: Size of the vectors, at least 1.
        num_features: Number of features, at least 0.
        hidden_dim: Hidden units, at least 1; ``embedding_dim`` unless given.

    Raises:
        ValueError: An argument is out of range, or in use features are missing or not those it was made for.

    Example:
        >>> import torch
        >>> table = TowerTable(ItemTower(8, num_features=3), torch.randn(10, 8), torch.eye(10, 3))
        >>> len(table), table[torch.tensor([[4, 7]])].shape
        (10, torch.Size([1, 2, 8]))
    """

    def __init__(self, embedding_dim: int, num_features: int = 0, hidden_dim: int | None = None) -> None:
        super().__init__(num_features)
        hidden_dim = embedding_dim if hidden_dim is None else hidden_dim
        at_least(1, embedding_dim=embedding_dim, hidden_dim=hidden_dim)
        self.hidden = nn.Linear(embedding_dim + num_features, hidden_dim)
        self.output = nn.Linear(hidden_dim, embedding_dim)

    def forward(self, vectors: Tensor, features: Tensor | None = None) -> Tensor:
        """Return ``[..., dim]`` from vectors ``[..., dim]`` and features ``[..., num_features]``."""
        self.require_features(features)
        if features is not None:
            vectors = torch.cat([vectors, features.to(vectors)], dim=-1)
        out: Tensor = self.output(self.hidden(vectors).relu())
        return out


class FeatureSum(Tower):
    r"""An item's own vector :math:`e_i` and a linear map of its features :math:`f_i`, in histories, too.

    .. math:: v_i = e_i + W f_i

    So items with like features begin alike, and what their users have in common is learned for all of them at once.

    Args:
        embedding_dim: Size of the vectors, at least 1.
        num_features: Number of features, at least 1.
        init_std: Standard deviation of the initial :math:`W`, at least 0; one over the root of ``embedding_dim`` when
            omitted, so that features of length one are mapped to vectors of about that length.

    Raises:
        ValueError: An argument is out of range, or in use features are missing or not those it was made for.

    Example:
        >>> import torch
        >>> table = TowerTable(FeatureSum(8, num_features=3), torch.randn(10, 8), torch.eye(10, 3))
        >>> table[torch.tensor([[4, 7]])].shape
        torch.Size([1, 2, 8])
    """

    in_histories = True

    def __init__(self, embedding_dim: int, num_features: int, init_std: float | None = None) -> None:
        super().__init__(num_features)
        at_least(1, embedding_dim=embedding_dim)
        at_least(0, init_std=init_std)
        if not num_features:
            raise ValueError(
                "FeatureSum adds features of items, and these items have none: give categories or vectors with "
                "the data ('attributes')"
            )
        self.map = nn.Linear(num_features, embedding_dim, bias=False)
        nn.init.normal_(self.map.weight, std=embedding_dim**-0.5 if init_std is None else init_std)

    def forward(self, vectors: Tensor, features: Tensor | None = None) -> Tensor:
        """Return ``[..., dim]`` from vectors ``[..., dim]`` and features ``[..., num_features]``."""
        self.require_features(features)
        return vectors if features is None else vectors + self.map(features.to(vectors))


class TowerTable:
    """The vectors of all items by an item tower, as :class:`graphmi.typing.ItemTable`: computed row by row on demand.

    Args:
        tower: The tower.
        vectors: Item vectors, ``[num_items, dim]``, or a table of them.
        features: Item features, ``[num_items, num_features]``; ``None`` without.
        normalize: Bring what comes out to length one.

    Example:
        >>> import torch
        >>> table = TowerTable(ItemTower(8), torch.randn(10, 8))
        >>> table[torch.tensor([4, 7])].shape  # computed for two items
        torch.Size([2, 8])
    """

    def __init__(
        self, tower: Tower, vectors: Tensor | SparseTable, features: Tensor | None = None, normalize: bool = False
    ) -> None:
        self.tower, self.vectors, self.features, self.normalize = tower, vectors, features, normalize

    def __getitem__(self, index: Tensor | slice) -> Tensor:
        """Return the vectors of these items, ``[..., dim]`` for ids of shape ``[...]``."""
        features = None if self.features is None else _rows(self.features, index)
        out: Tensor = self.tower(_rows(self.vectors, index), features)
        return unit(out) if self.normalize else out

    def __len__(self) -> int:
        """Return the number of items."""
        return len(self.vectors)


def _rows(table: Tensor | SparseTable, index: Tensor | slice) -> Tensor:
    return F.embedding(index, table) if isinstance(table, Tensor) and isinstance(index, Tensor) else table[index]
