"""Several independent towers over one history."""

from collections.abc import Callable, Iterable, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from graphmi.nn.encode.base import Encoder, IdentityEncoder
from graphmi.nn.extract.base import Extractor, Interests, linear_parts
from graphmi.nn.extract.pooling import LastPosition, MeanPooling
from graphmi.nn.extract.shapes import checked_interests
from graphmi.ranges import at_least

__all__ = ["UserTowers"]


class UserTowers(Extractor):
    """Interests from independent towers: an encoder, an extractor of one interest, and a network with a hidden layer.

    A reconstruction of the user side of MTMI (`Xiong and Yu, 2024 <https://arxiv.org/abs/2403.05122>`_), whose towers
    share nothing but the item vectors that they read. They differ by their initial weights, and come to differ by what
    the loss asks of them. The usual bodies of a tower are compositions:

    ============= ====================== ================================================
    body          encoder                extractor
    ============= ====================== ================================================
    mean          ``IdentityEncoder``    ``MeanPooling`` (these are the defaults)
    attention     ``IdentityEncoder``    ``SelfAttentiveExtractor`` with one interest
    recurrent     ``GRUEncoder``         ``LastPosition``
    transformer   ``TransformerEncoder`` ``LastPosition``
    ============= ====================== ================================================

    Args:
        embedding_dim: Size of item vectors and interests, at least 1.
        max_length: Longest history, at least 1; ``None`` for sets of any size.
        num_interests: Number of towers, at least 1.
        encoder: Made from ``(embedding_dim, max_length)`` for each tower.
        extractor: Made from ``(embedding_dim, max_length)`` for each tower, with a single interest.
        hidden_dim: Hidden units of the network, at least 1, ``embedding_dim`` when omitted; 0 for no network.

    Shapes:
        - x: ``[batch, length, dim]`` with a mask ``[batch, length]``, or sets ``[num, dim]`` with ``[num]``
        - interests: ``[batch, num_interests, dim]``; not normalised
        - routing: that of each tower, ``[batch, num_interests, length]``, where its extractor has any

    Raises:
        ValueError: An argument is out of range, a tower has several interests, nothing would tell the towers apart, or
            in use an extractor gives other shapes than :class:`Interests` has.

    Example:
        >>> import torch
        >>> from graphmi.nn import GRUEncoder, LastPosition
        >>> towers = UserTowers(8, num_interests=3, encoder=GRUEncoder, extractor=LastPosition)
        >>> towers(torch.randn(2, 5, 8), torch.ones(2, 5, dtype=torch.bool)).interests.shape
        torch.Size([2, 3, 8])
    """

    def __init__(
        self,
        embedding_dim: int,
        max_length: int | None = None,
        num_interests: int = 4,
        *,
        encoder: Callable[[int, int | None], Encoder] = IdentityEncoder,
        extractor: Callable[[int, int | None], Extractor] = MeanPooling,
        hidden_dim: int | None = None,
    ) -> None:
        super().__init__()
        at_least(1, embedding_dim=embedding_dim, num_interests=num_interests)
        hidden_dim = embedding_dim if hidden_dim is None else hidden_dim
        at_least(0, hidden_dim=hidden_dim)
        self.num_interests = num_interests
        self.towers = nn.ModuleList(
            _Tower(encoder(embedding_dim, max_length), extractor(embedding_dim, max_length), embedding_dim, hidden_dim)
            for _ in range(num_interests)
        )
        if num_interests > 1 and next(self.parameters(), None) is None:
            raise ValueError("towers without parameters are all alike: give an encoder, or a 'hidden_dim' above 0")

    def extract(self, x: Tensor, mask: Tensor) -> Interests:
        """Return the :class:`Interests` of histories, one from each tower."""
        real = mask.any(1).view(-1, 1, 1)  # the networks have biases, but an empty history is 0
        found = self._towers(x, mask)
        return found._replace(interests=found.interests * real)

    def contributions(self, x: Tensor, mask: Tensor) -> Tensor | None:
        """Return what each tower's network makes of the positions; ``None`` where a tower's extractor has no sum."""
        towers = cast(Iterable[_Tower], self.towers)
        return _cat([tower.contributions(x, mask) for tower in towers])

    def prefixes(self, x: Tensor, mask: Tensor, prefix: Tensor) -> Interests:
        """Return the :class:`Interests` of beginnings of histories, by the extractors' own way to do it."""
        return self._towers(x, mask, prefix)

    def _towers(self, x: Tensor, mask: Tensor, prefix: Tensor | None = None) -> Interests:
        towers = cast(Sequence[_Tower], self.towers)
        if len({type(tower.extractor) for tower in towers}) == 1 and all(tower.alike for tower in towers):
            read = [towers[0].read(x, mask, prefix)] * len(towers)
        else:
            read = [tower.read(x, mask, prefix) for tower in towers]
        return _side_by_side([tower(found) for tower, found in zip(towers, read, strict=True)])


class _Tower(nn.Module):
    """One interest from a history.

    Args:
        encoder: Its encoder.
        extractor: Its extractor.
        dim: Size of item vectors and interests.
        hidden_dim: Hidden units of the network on top; 0 for none.
    """

    def __init__(self, encoder: Encoder, extractor: Extractor, dim: int, hidden_dim: int) -> None:
        super().__init__()
        if extractor.num_interests != 1:
            raise ValueError(
                f"a tower has a single interest: give {type(extractor).__name__} one (got {extractor.num_interests})"
            )
        self.encoder, self.extractor = encoder, extractor
        self.network = nn.Sequential()
        if hidden_dim:
            self.network.extend([nn.Linear(dim, hidden_dim), nn.ReLU(), nn.Linear(hidden_dim, dim)])

    @property
    def alike(self) -> bool:
        """Whether nothing below the network is learned or drawn, so that towers of one extractor read the same."""
        plain = type(self.encoder) is IdentityEncoder and type(self.extractor) in (LastPosition, MeanPooling)
        return plain and next(self.extractor.parameters(), None) is None

    def read(self, x: Tensor, mask: Tensor, prefix: Tensor | None) -> Interests:
        """Return what the extractor makes of the histories, or of their beginnings."""
        x = self.encoder(x, mask)
        found = self.extractor(x, mask) if prefix is None else self.extractor.prefixes(x, mask, prefix)
        return checked_interests(self.extractor, found, mask, x.size(-1), prefix)

    def forward(self, found: Interests) -> Interests:
        """Return what the network makes of it."""
        return found._replace(interests=self.network(found.interests))

    def contributions(self, x: Tensor, mask: Tensor) -> Tensor | None:
        """Return what each position adds to the interest, ``[batch, 1, length, dim]``."""
        parts = self.extractor.contributions(self.encoder(x, mask), mask)
        return None if parts is None else linear_parts(self.network, parts)


def _side_by_side(found: Sequence[Interests]) -> Interests:
    """Put the interests of all towers into one; what a tower does not know, nobody does."""
    parts = (_cat([getattr(tower, name) for tower in found]) for name in Interests._fields[1:])
    return Interests(torch.cat([tower.interests for tower in found], dim=1), *parts)


def _cat(parts: Sequence[Tensor | None]) -> Tensor | None:
    known = [part for part in parts if part is not None]
    return torch.cat(known, dim=1) if len(known) == len(parts) else None
