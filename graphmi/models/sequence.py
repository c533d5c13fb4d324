"""Users as what they did in the past: an encoder and an interest extractor over histories."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch_geometric.data import HeteroData

from graphmi.models.base import Model
from graphmi.models.graph import tower_over
from graphmi.nn.dropout import Dropout
from graphmi.nn.encode import Encoder, IdentityEncoder
from graphmi.nn.extract import Extractor, SelfAttentiveExtractor
from graphmi.nn.extract.base import beginnings
from graphmi.nn.extract.packed import at_real_positions, pays, real_positions, require_real_first
from graphmi.nn.extract.shapes import checked_interests
from graphmi.nn.item_tower import Tower, TowerTable
from graphmi.nn.sparse_table import SparseTable
from graphmi.nn.unit import unit
from graphmi.ranges import at_least, is_share, positive
from graphmi.typing import Batch, Contributions, ItemTable, Representations

__all__ = ["SequenceModel"]


class SequenceModel(Model):
    """Reads the history of a user: item vectors, an encoder, an extractor of interests.

    The item vectors that are read are those that are recommended. The classical models are compositions:

    =================================================== ====================== ==========================
    model                                               encoder                extractor
    =================================================== ====================== ==========================
    `ComiRec-SA <https://arxiv.org/abs/2005.09347>`_    ``IdentityEncoder``    ``SelfAttentiveExtractor``
    `ComiRec-DR <https://arxiv.org/abs/2005.09347>`_    ``IdentityEncoder``    ``DynamicRoutingExtractor``
    `MIND <https://arxiv.org/abs/1904.08030>`_          ``IdentityEncoder``    ``DynamicRoutingExtractor``
    `MTMI <https://arxiv.org/abs/2403.05122>`_          ``IdentityEncoder``    ``UserTowers``
    `SASRec <https://arxiv.org/abs/1808.09781>`_        ``TransformerEncoder`` ``LastPosition``
    `GRU4Rec <https://arxiv.org/abs/1511.06939>`_       ``GRUEncoder``         ``LastPosition``
    `YouTubeDNN`__                                      ``IdentityEncoder``    ``MeanPooling``
    =================================================== ====================== ==========================

    __ https://doi.org/10.1145/2959100.2959190

    Args:
        graph: The training graph; the number of its items, and what is known of them where there is an item tower.
        embedding_dim: Size of all vectors, at least 1.
        max_length: Most items that are read, the latest ones, at least 1.
        encoder: Made from ``(embedding_dim, max_length)``.
        extractor: Made from ``(embedding_dim, max_length)``.
        item_tower: Makes the vectors that are recommended of item vectors and features, and those that are read where
            it says so, from ``(embedding_dim, num_features)``; the item vectors themselves when omitted. Features are
            the categories, and the vectors that came with the data, see :func:`graphmi.models.graph.item_features`.
        dropout: Share of the item vectors' entries that is dropped on reading, in ``[0, 1)``.
        normalize: Bring interests and items to length one (cosine scores); goes with a temperature in the loss.
        init_std: Standard deviation of the initial item vectors, positive; one over the root of ``embedding_dim`` when
            omitted, so that they have length one.
        sparse: Give the item vectors sparse gradients, so that a step costs what the batch looks up and not the number
            of items. Pays from some ten thousand items on, with sampled negatives; needs an optimizer such
            as :class:`graphmi.optim.LazyAdam`, under which the vectors of items that a step does not see stay as they
            are.

    Shapes:
        - **input:** a batch with ``history [num_sequences, length]`` and ``mask``, and ``prefix [batch]`` where several
          users of the batch read the same history
        - **output:** ``interests [batch, num_interests, dim]``, ``items [num_items, dim]``

    Raises:
        ValueError: If an argument is out of range.

    Example:
        >>> import torch
        >>> graph = HeteroData({"user": {"num_nodes": 2}, "item": {"num_nodes": 3}})
        >>> history = torch.tensor([[2, 0], [1, 0]])
        >>> mask = torch.tensor([[True, True], [True, False]])
        >>> model = SequenceModel(graph, embedding_dim=8, max_length=2)
        >>> model(Batch(user=torch.arange(2), history=history, mask=mask)).interests.shape
        torch.Size([2, 4, 8])
    """

    features: Tensor | None

    def __init__(
        self,
        graph: HeteroData,
        embedding_dim: int = 64,
        max_length: int = 50,
        *,
        encoder: Callable[[int, int | None], Encoder] = IdentityEncoder,
        extractor: Callable[[int, int | None], Extractor] = SelfAttentiveExtractor,
        item_tower: Callable[[int, int], Tower] | None = None,
        dropout: float = 0.0,
        normalize: bool = False,
        init_std: float | None = None,
        sparse: bool = False,
    ) -> None:
        super().__init__()
        at_least(1, embedding_dim=embedding_dim, max_length=max_length)
        is_share(dropout=dropout)
        positive(init_std=init_std)
        self.max_length, self.normalize = max_length, normalize
        self.embedding = nn.Embedding(int(graph["item"].num_nodes), embedding_dim, sparse=sparse)
        nn.init.normal_(self.embedding.weight, std=embedding_dim**-0.5 if init_std is None else init_std)
        self.dropout = Dropout(dropout)
        self.encoder = encoder(embedding_dim, max_length)
        self.extractor = extractor(embedding_dim, max_length)
        self.item_tower, features = tower_over(graph, item_tower, embedding_dim)
        self.register_buffer("features", features, persistent=False)

    @property
    def num_interests(self) -> int:
        """Interests per user."""
        return self.extractor.num_interests

    def forward(self, batch: Batch) -> Representations:
        """Return the interests of the users of the batch and the vectors of all items.

        Raises:
            ValueError: If the batch has no histories, or longer ones than ``max_length``, or (on the CPU) padding that
                comes before real positions, or the mask, or what the encoder or the extractor gives, has another shape.
        """
        history, mask = self._history(batch)
        if batch.prefix is None and type(self.encoder) is IdentityEncoder and pays(history):
            found = self.extractor.extract_packed(self._read(history.flatten()[real_positions(mask)]), mask)
        else:
            x = self._encoded(history, mask)
            found = self.extractor(x, mask) if batch.prefix is None else self.extractor.prefixes(x, mask, batch.prefix)
        found = checked_interests(self.extractor, found, mask, self.embedding.embedding_dim, batch.prefix)
        real: Tensor | None = mask
        if batch.prefix is not None:  # of which there are many: a mask is made where there are weights of positions
            real = None if found.routing is None else beginnings(batch.prefix, mask.size(1))
        return Representations(
            interests=unit(found.interests) if self.normalize else found.interests,
            items=self.items(),
            routing=found.routing,
            mask=real,
            interest_mask=found.interest_mask,
            routing_variance=found.routing_variance,
            ego_items=self._vectors(),
        )

    def contributions(self) -> Callable[[Batch], Contributions | None]:
        """Return a function that says which items of their histories the users of a batch have their interests from.

        What comes out of the encoder at a position counts for the item that stands there; an encoder other than
        ``IdentityEncoder`` has put something of earlier items into it. The function returns ``None`` where interests
        are no sum over positions, as with ``LastPosition``.
        """
        return self._contributions

    @torch.no_grad()
    def _contributions(self, batch: Batch) -> Contributions | None:
        history, mask = self._history(batch)
        x = self._encoded(history, mask)
        parts = self.extractor.contributions(x, mask)  # [batch, num_interests, length, dim]
        if parts is None:
            return None
        interests = self.extractor(x, mask).interests
        if self.normalize:
            length = interests.norm(dim=-1, keepdim=True).clamp_min(1e-12)
            interests, parts = interests / length, parts / length.unsqueeze(-1)
        row = mask.nonzero()[:, 0]
        vector = parts.transpose(1, 2)[mask]
        return Contributions(row, history[mask], vector, rest=interests - parts.sum(2))

    def items(self) -> Tensor | ItemTable:
        """Return the vectors of all items, ``[num_items, dim]``.

        With an item tower or ``sparse`` they are computed only where they are asked for.
        """
        if self.item_tower is not None:
            return TowerTable(self.item_tower, self._vectors(), self.features, normalize=self.normalize)
        return self._vectors(self.normalize)

    def _vectors(self, normalize: bool = False) -> Tensor | SparseTable:
        """Return the parameters behind all items, ``[num_items, dim]``."""
        weight = self.embedding.weight
        if self.embedding.sparse:
            return SparseTable(weight, normalize)
        return unit(weight) if normalize else weight

    def _history(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the items of the histories and which positions are real, both ``[num_sequences, length]``."""
        if batch.history is None or batch.mask is None:
            raise ValueError(
                "SequenceModel reads histories, and the batch has none: train on batches of a TargetLoader or a "
                "PrefixLoader, and give an Evaluator of your own 'history'"
            )
        if batch.mask.shape != batch.history.shape:
            raise ValueError(f"'mask' must be {list(batch.history.shape)}, as 'history' (got {list(batch.mask.shape)})")
        if batch.history.size(1) > self.max_length:
            raise ValueError(f"histories may have {self.max_length} items, 'max_length' (got {batch.history.size(1)})")
        require_real_first(batch.mask)
        return batch.history, batch.mask

    def _encoded(self, history: Tensor, mask: Tensor) -> Tensor:
        """Return the histories as the encoder reads them, ``[num_sequences, length, dim]``."""
        # What pads is read as the first item of its history, so that no other item gets a gradient of zeros.
        history = history.where(mask, history[:, :1])
        x = at_real_positions(lambda item, _: self._read(item), history, mask)
        encoded: Tensor = self.encoder(x, mask)
        if encoded.shape != x.shape:
            name = type(self.encoder).__name__
            raise ValueError(f"{name} must give [batch, length, dim], {list(x.shape)} (got {list(encoded.shape)})")
        return encoded

    def _read(self, item: Tensor) -> Tensor:
        """Return the vectors of items as they are read, ``[..., dim]``."""
        if self.item_tower is not None and self.item_tower.in_histories:
            vectors = TowerTable(self.item_tower, self._vectors(), self.features)[item]
        else:
            vectors = self.embedding(item)
        read: Tensor = self.dropout(vectors)
        return read
