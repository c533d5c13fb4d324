"""LightGCN and CAGCN* with several virtual interests per user."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from copy import deepcopy
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn
from torch_geometric.data import HeteroData

from graphmi.models.arrangement import Arrangement, Score
from graphmi.models.base import Model
from graphmi.models.carried import carried_to
from graphmi.models.few_users import are_few, stacked_for_few
from graphmi.models.fold_in import Readers, fold_in, fold_in_edges, histories, latest, require_readable
from graphmi.models.graph import EdgeBuffers, require_users, tower_over, user_item_adjacency
from graphmi.models.item_reader import ItemReader
from graphmi.models.kept import keeping, kept
from graphmi.models.lookup import Lookup
from graphmi.models.sampled import as_layers, per_hop, read_hops
from graphmi.models.stacked import Layers, stacked, stacked_for_users
from graphmi.neighbors import Hops, sample_hops
from graphmi.nn.conv import CenterAggregator, EdgeWeight, LightGCNWeight, MultiInterestConv, VirtualInterestGenerator
from graphmi.nn.conv.center_aggregator import Center
from graphmi.nn.conv.virtual_interest_generator import Attention
from graphmi.nn.item_tower import Tower
from graphmi.ranges import at_least, positive
from graphmi.typing import Batch, Contributions, Representations

__all__ = ["InterestGCN"]

_EDGE_DOT = (
    "'center' = 'edge_dot' reads the neighbours' virtual interests, which are not there for drawn neighbourhoods: take "
    "another 'center'"
)


class InterestGCN(Model):
    r"""Stacked multi-interest graph convolutions (`WWW 2024 <https://arxiv.org/abs/2402.13495>`_).

    Every user and item has one learnable center; each layer turns the centers of the neighbours into :math:`K` virtual
    interests and chooses the next center among them. Virtual interests and centers are averaged over the layers:

    .. math::
        E_V[v, k] = \frac{1}{L + 1} \Bigl( E_C^0[v] + \sum_{l=1}^{L} E_V^l[v, k] \Bigr), \qquad
        E_C[v] = \frac{1}{L + 1} \sum_{l=0}^{L} E_C^l[v]

    With ``num_interests=1``, the default attention and a ``center`` other than ``"edge_dot"`` it is the plain backbone:
    LightGCN, or CAGCN* with ``weight=CAGCNWeight()``; ``num_layers=0`` is matrix factorisation. A node without
    neighbours is left with its own center, over :math:`L + 1`. The paper adds only ``num_layers * num_interests * dim``
    parameters to its backbone. A reconstruction, see :class:`~graphmi.nn.MultiInterestConv`.

    **Mini-batches of the graph.** With ``num_neighbors`` a training step propagates over drawn neighbourhoods: that of
    the users of the batch at once, that of items when they are looked up (``items`` is an
    :class:`~graphmi.typing.ItemTable`), so that any sampler and loss goes with it. A node draws anew in every layer and
    every lookup, and its sum is scaled up by degree over number drawn. What is linear in the centers, the backbone
    (``num_interests=1`` or ``center="sum"``, with the default attention) before ``normalize``, is so estimated without
    bias, and so are inner products of users and items; attention, the choice of a center and ``normalize`` are not
    linear, and estimated the better the more is drawn. In evaluation mode the model propagates over the whole graph,
    which without gradients holds about ``4 * num_layers * (num_interests + 1) * num_nodes * embedding_dim`` bytes.

    Args:
        graph: The training graph, ``('user', 'interacts', 'item')``, and what is known of the items where there is an
            item tower; nothing else is read from it.
        num_interests: Virtual interests per node, at least 1.
        embedding_dim: Size of all vectors, at least 1.
        num_layers: Number of convolutions, at least 0.
        weight: Edge weights of the backbone.
        attention: ``"interest"``, ``"neighbor"`` or ``"sigmoid"``; see :class:`~graphmi.nn.VirtualInterestGenerator`.
        temperature: ``None`` for inner-product attention, a positive number for cosines divided by it.
        rescale: Multiply virtual interests by their number.
        center: ``"node_dot"``, ``"node_norm"``, ``"edge_dot"`` or ``"sum"``; see :class:`~graphmi.nn.CenterAggregator`.
        score: ``"user_virtual"``, ``"pair_max"``, ``"symmetric"`` or ``"center"``;
            see :class:`graphmi.models.arrangement.Arrangement`.
        share_interests: One set of interest vectors for all layers instead of one per layer, so that an interest means
            the same in each.
        normalize: Bring the outputs to length one (cosine scores); goes with a temperature in the loss.
        dynamic_interests: Leave a user only as many interests as hold the mass of its neighbourhood, the others
            inactive; see :func:`graphmi.models.active.active_interests`. graphmi's own.
        item_tower: Makes the centers of items, before the first layer, of the learned ones and features, from
            ``(embedding_dim, num_features)``; such as :class:`~graphmi.nn.FeatureSum`. Features are the categories, and
            the vectors that came with the data, see :func:`graphmi.models.graph.item_features`. graphmi's own.
        init_std: Standard deviation of the initial centers, positive.
        num_neighbors: Neighbours that a node draws in training, without replacement: one number for all layers, or one
            per hop, first that of the users and items asked for; -1 for all. The whole graph when omitted. Not with
            ``center="edge_dot"``.
        sparse: Give the centers sparse gradients, so that a step on drawn neighbourhoods costs what it draws, whatever
            the number of nodes; needs an optimizer such as :class:`graphmi.optim.LazyAdam`.
        max_length: Most items that a user is read by in evaluation, at least 1: the latest that are known then, those
            of validation in the test too, in place of its training items, see :func:`graphmi.models.fold_in.fold_in`.
            For the next item few of them say more than all. Needs layers, LightGCN's weights and a ``center`` other
            than ``"edge_dot"``. graphmi's own.

    Shapes:
        - **input:** a batch of users ``[batch]``, with ``max_length`` and in evaluation with their histories
        - **output:** ``interests [batch, num_interests, dim]``, ``items [num_items, dim]`` (``"pair_max"``:
          ``num_interests * dim``; ``"symmetric"``: twice that, and twice the interests' ``dim``)

    Raises:
        ValueError: If an argument is out of range or the graph has no user-item edges.

    Example:
        >>> import torch
        >>> from torch_geometric.data import HeteroData
        >>> graph = HeteroData({"user": {"num_nodes": 2}, "item": {"num_nodes": 3}})
        >>> graph["user", "interacts", "item"].edge_index = torch.tensor([[0, 0, 1], [0, 1, 2]])
        >>> out = InterestGCN(graph, num_interests=4)(Batch(user=torch.tensor([1, 0])))
        >>> out.interests.shape, out.items.shape
        (torch.Size([2, 4, 64]), torch.Size([3, 64]))
    """

    features: Tensor | None
    _kept: Layers | None = None
    _kept_items: Tensor | None = None

    def __init__(
        self,
        graph: HeteroData,
        num_interests: int = 4,
        embedding_dim: int = 64,
        num_layers: int = 3,
        *,
        weight: EdgeWeight | None = None,
        attention: Attention = "interest",
        temperature: float | None = None,
        rescale: bool = False,
        center: Center = "node_dot",
        score: Score = "user_virtual",
        share_interests: bool = False,
        normalize: bool = False,
        dynamic_interests: bool = False,
        item_tower: Callable[[int, int], Tower] | None = None,
        init_std: float = 0.1,
        num_neighbors: int | Sequence[int] | None = None,
        sparse: bool = False,
        max_length: int | None = None,
    ) -> None:
        super().__init__()
        at_least(1, num_interests=num_interests, embedding_dim=embedding_dim, max_length=max_length)
        at_least(0, num_layers=num_layers)
        positive(init_std=init_std)
        own = type(self).propagate is not InterestGCN.propagate
        if own and (num_neighbors, max_length) != (None, None):
            raise ValueError(
                f"'num_neighbors' and 'max_length' go past the 'propagate' that {type(self).__name__} has of its own: "
                f"leave them out (got {num_neighbors} and {max_length})"
            )
        self.num_neighbors = per_hop(num_neighbors, num_layers)
        if self.num_neighbors is not None and center == "edge_dot":
            raise ValueError(_EDGE_DOT)
        adjacency = user_item_adjacency(graph, LightGCNWeight() if weight is None else weight)
        self.num_users, self.num_items = int(graph["user"].num_nodes), int(graph["item"].num_nodes)
        self.attention, self.center = attention, center
        self.lightgcn = weight is None or isinstance(weight, LightGCNWeight)
        self.num_interests = num_interests
        self.normalize = normalize
        self.arrangement = Arrangement(score, normalize, dynamic_interests)
        self.users_alone = score == "user_virtual" and center == "sum" and num_interests > 1 and not own
        self.few_users = score == "user_virtual" and center != "edge_dot" and num_layers > 0 and not own
        self.num_pairs = int(adjacency.rowptr[self.num_users])
        self.edges = EdgeBuffers(adjacency)
        self.embedding = nn.Embedding(adjacency.size[0], embedding_dim, sparse=sparse)
        nn.init.normal_(self.embedding.weight, std=init_std)
        self.item_tower, features = tower_over(graph, item_tower, embedding_dim)
        self.register_buffer("features", features, persistent=False)
        convs = [
            MultiInterestConv(
                embedding_dim,
                num_interests,
                attention=attention,
                temperature=temperature,
                rescale=rescale,
                center=center,
            )
            for _ in range(1 if share_interests else num_layers)
        ]
        self.convs = nn.ModuleList(convs * num_layers if share_interests else convs)
        self.by_latest = max_length is not None
        if max_length is not None:
            require_readable(num_layers, self.lightgcn, center)
            self.max_length = max_length  # only then it reads histories

    def forward(self, batch: Batch) -> Representations:
        """Return the interests of the users of the batch and the vectors of all items.

        Where users are read by histories, -1 stands for one who is not in the graph.

        Raises:
            ValueError: If the batch has a number that is no user's (checked on the CPU).
        """
        require_users(batch.user, self.num_users, -1 if self.by_latest else 0)
        if self.training and self.num_neighbors is not None:
            return self._drawn(batch)
        if self.by_latest and not self.training:
            return self._by_items(self._readers(batch))
        if self.training and self.few_users and self._plain and are_few(batch.user, self.edges(), self.num_users):
            return self._for_few(batch.user)
        virtuals, centers = self._layers()
        ego, items = self.embedding.weight, slice(self.num_users, None)
        vectors = self._vectors(virtuals, centers)
        return self.arrangement.represent(virtuals, centers, ego, batch.user, items, vectors)

    def on_sample(self, data: HeteroData) -> Representations:
        """Return what a batch of PyG's ``LinkLoader`` or ``NodeLoader`` says of its seeds, in the numbers of the batch.

        So ``loss.terms(out, data["item"].dst_pos_index, negatives, data["user"].src_index)`` can follow. A node of the
        batch draws once for all layers: each layer is an unbiased estimate, but from the third on a path can meet the
        same draw twice, which ``num_neighbors`` avoids.

        Args:
            data: Drawn by :class:`graphmi.neighbors.BipartiteNeighborSampler` from the graph of the model, with as many
                hops as the model has layers; on the device of the model.

        Returns:
            ``interests [num_seed_users, num_interests, dim]``, ``items [num_seed_items, ...]``.

        Raises:
            ValueError: If there are fewer hops, or with ``center="edge_dot"``.
        """
        if self.center == "edge_dot":
            raise ValueError(_EDGE_DOT)
        drawn = read_hops(data, self.edges(), self.num_users, len(self.convs))
        num_users, num_items = (data[kind].num_sampled_nodes[0] for kind in ("user", "item"))
        users, items = slice(num_users), slice(num_users, num_users + num_items)
        virtuals, centers = self._over(drawn)
        ego = self.embedding(drawn.node[: items.stop])
        return self.arrangement.represent(virtuals, centers, ego, users, items)

    @torch.no_grad()
    def fold_in(self, history: Tensor, mask: Tensor) -> Representations:
        """Return what users who are not in the graph are like by their items alone, and the vectors of all items.

        They hear from their items as users of the graph do, see :func:`graphmi.models.fold_in.fold_in`; what they miss
        is a center of their own.

        Args:
            history: Items of each user, left-aligned, ``[batch, length]``; with ``max_length`` the latest are read.
            mask: True where they are real, ``[batch, length]``.

        Raises:
            ValueError: As for ``max_length``.
        """
        history, mask = latest(self, history, mask)
        nobody = history.new_full((len(history),), -1)
        return self._by_items(self._readers(Batch(nobody, history=history, mask=mask)))

    @torch.no_grad()
    def as_reader(self) -> ItemReader:
        """Return a model that reads histories and gives anybody what :meth:`fold_in` does now, without the graph.

        Raises:
            ValueError: As for ``max_length``, and if a layer is one's own.
        """
        require_readable(len(self.convs), self.lightgcn, self.center)
        if not self._plain:
            raise ValueError("layers of one's own cannot be read in rows, as those of graphmi are: use 'fold_in'")
        virtuals, centers = self._layers()
        vectors, length = self._vectors(virtuals, centers), self.max_length if self.by_latest else None
        return ItemReader(self._convs(), *self._of_items(centers), self.arrangement, vectors, length)

    def _readers(self, batch: Batch) -> Readers:
        history, mask = histories(batch)
        user = batch.user.clamp(min=0)
        degree = self.edges().rowptr.diff()[user] * (batch.user >= 0)  # of who is not in the graph 0
        center = self.embedding(user) * (degree > 0).unsqueeze(1)  # that of others was never trained
        return Readers(history, mask, center, degree)

    def _by_items(self, readers: Readers) -> Representations:
        require_readable(len(self.convs), self.lightgcn, self.center)
        virtuals, centers = self._layers()
        found_virtuals, found_centers = fold_in(self._convs(), *self._of_items(centers), readers, plain=self._plain)
        return Representations(
            interests=self.arrangement.users(found_virtuals, found_centers, slice(None)),
            items=self._vectors(virtuals, centers),
            interest_mask=self.arrangement.active(found_virtuals, slice(None)),
        )

    def _of_items(self, centers: Sequence[Tensor]) -> tuple[list[Tensor], Tensor]:
        items, degree = slice(self.num_users, None), self.edges().rowptr.diff()
        return [center[items] for center in centers], degree[items]

    def propagate(self) -> Layers:
        """Return, for each layer from 0 on, virtual interests ``[num_nodes, num_interests, dim]`` and centers.

        Centers are ``[num_nodes, dim]``; users come first among the nodes. Layer 0 has the center as every interest.
        """
        layers = [self.edges()] * len(self.convs)
        return stacked(self._convs(), self._centers(), self.num_interests, layers)

    @torch.no_grad()
    def propagating_once(self) -> AbstractContextManager[None]:
        """Propagate now, and no more for what this thread asks in evaluation mode until the context ends.

        The parameters must stay as they are meanwhile. What evaluation holds is kept, without gradients.
        """
        return keeping(self, self._layers())

    @torch.no_grad()
    def propagated(self) -> "InterestGCN":
        """Return a copy that has propagated over the graph, so that a request costs what its users do.

        In evaluation mode it answers as this model does now, whatever becomes of the parameters of this one, and keeps
        what evaluation holds. The edges they have in common: move a model to its device before.
        """
        other = deepcopy(self, {id(self.edges): self.edges, id(self._kept): None, id(self._kept_items): None})
        other._kept = other._layers()
        other._kept_items = other._vectors(*other._kept)
        return other

    def _layers(self) -> Layers:
        """Return what :meth:`propagate` does, of virtual interests those that somebody asks for."""
        if (layers := kept(self, self._kept)) is not None:
            return layers
        if not (self.users_alone and self._plain):
            return self.propagate()
        halves = self.edges().halves(self.num_users, self.num_pairs)
        return stacked_for_users(self._convs(), self._centers(), self.num_interests, *halves)

    def _for_few(self, user: Tensor) -> Representations:
        few, row = torch.unique(user, return_inverse=True)
        edges, ego = self.edges(), self.embedding.weight
        _, to_item = edges.halves(self.num_users, self.num_pairs)
        virtuals, centers = stacked_for_few(self._convs(), self._centers(), few, edges, to_item)
        return Representations(
            interests=self.arrangement.users(virtuals, centers, row),
            items=self.arrangement.items(virtuals, centers, slice(None)),
            interest_mask=self.arrangement.active(virtuals, row),
            ego_users=ego.index_select(0, user),
            ego_items=ego[self.num_users :],
        )

    def _vectors(self, virtuals: list[Tensor], centers: list[Tensor]) -> Tensor:
        """Return the vectors of all items; in evaluation mode those that were kept."""
        if self._kept_items is not None and not self.training:
            return self._kept_items
        return self.arrangement.items(virtuals, centers, slice(self.num_users, None))

    def _centers(self, node: Tensor | None = None) -> Tensor:
        """Return the centers before the first layer, of all nodes or of these."""
        if self.item_tower is None:
            centers: Tensor = self.embedding.weight if node is None else self.embedding(node)
            return centers
        if node is None:
            users, items = torch.split(self.embedding.weight, [self.num_users, self.num_items])
            return torch.cat([users, self.item_tower(items, self.features)])
        own, item = self.embedding(node), (node - self.num_users).clamp(min=0)
        of_items: Tensor = self.item_tower(own, None if self.features is None else self.features[item])
        return of_items.where((node >= self.num_users).unsqueeze(1), own)

    def _convs(self) -> list[MultiInterestConv]:
        return cast(list[MultiInterestConv], list(self.convs))

    @property
    def _plain(self) -> bool:
        """Whether no layer or part of one is one's own, which may do something else than what is done in its place."""
        return all(
            type(conv) is MultiInterestConv
            and type(conv.generator) is VirtualInterestGenerator
            and type(conv.aggregator) is CenterAggregator
            for conv in self.convs
        )

    def _over(self, drawn: Hops) -> Layers:
        """Return virtual interests and centers of each layer; the seeds come first."""
        # a softmax over the neighbours drawn is normalised as it is
        layers = as_layers(self.edges(), drawn, rescale=self.attention != "neighbor")
        return stacked(self._convs(), self._centers(drawn.node), self.num_interests, layers)

    def _around(self, node: Tensor) -> tuple[list[Tensor], list[Tensor], Tensor]:
        """Draw neighbourhoods of nodes ``[...]`` and return the layers there, and which row belongs to each node."""
        adjacency = self.edges()
        seed, row = torch.unique(node, return_inverse=True)
        drawn = sample_hops(adjacency.rowptr, adjacency.col, seed, self.num_neighbors or [], anew=True)
        return *self._over(drawn), row

    def _drawn(self, batch: Batch) -> Representations:
        virtuals, centers, row = self._around(batch.user)
        device = self.embedding.weight.device
        return Representations(
            interests=self.arrangement.users(virtuals, centers, row),
            interest_mask=self.arrangement.active(virtuals, row),
            items=Lookup(self._items, self.num_items, device),
            ego_users=self.embedding(batch.user),
            ego_items=Lookup(lambda item: self.embedding(item + self.num_users), self.num_items, device),
        )

    def _items(self, item: Tensor) -> Tensor:
        virtuals, centers, row = self._around(item + self.num_users)
        vectors = self.arrangement.items(virtuals, centers, row.flatten())
        return vectors.view(*item.shape, vectors.size(-1))

    @torch.no_grad()
    def contributions(self) -> Callable[[Batch], Contributions]:
        """Return a function that says through which neighbours the users of a batch came to their interests.

        A virtual interest is a mean over layers of sums over neighbours. What a neighbour adds is its center in each
        layer, times edge weight and attention; there the centers know of nodes further away, whose part thus counts
        for the neighbour that it came through. What is left is the user's own center. With ``max_length`` the items
        that a user is read by are its neighbours.
        """
        return partial(self._contributions, *self.propagate())

    @torch.no_grad()
    def _contributions(self, virtuals: list[Tensor], centers: list[Tensor], batch: Batch) -> Contributions:
        convs = self._convs()
        if self.by_latest:
            readers = self._readers(batch)
            found, own, read, adjacency = fold_in_edges(convs, *self._of_items(centers), readers)
            pairs = [(center[self.num_users + read], each) for center, each in zip(centers, own, strict=True)]
            everyone = torch.arange(len(batch.user), device=batch.user.device)
            virtual, center, row, place = carried_to(everyone, convs, found, pairs, adjacency)
            item = read[place]
            ego = readers.center
        else:
            virtual, center, row, node = carried_to(batch.user, convs, virtuals, centers, self.edges())
            item, ego = node - self.num_users, centers[0][batch.user]
        ego = ego / len(centers)
        egos = ego.unsqueeze(1).expand(-1, self.num_interests, -1)
        return self.arrangement.decompose((virtual, egos), (center, ego), row, item)
