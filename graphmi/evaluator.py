"""Full ranking of all items for all users with a target."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Protocol

import torch
from torch import Tensor, nn
from torch_geometric.metrics.link_pred import LinkPredMetric

from graphmi.asking import device_of, evaluating, propagating_once, question, unwrapped
from graphmi.audit import Audit, Seen
from graphmi.data import Histories, Interactions
from graphmi.evaluation import Evaluation
from graphmi.metrics import Catalogue, GroupedResult, by_group, ranking_metrics, values_per_user
from graphmi.processes import gathered, position
from graphmi.ranges import at_least
from graphmi.retrieval import rank
from graphmi.typing import Batch, Representations

__all__ = ["Evaluation", "Evaluator", "Pairs"]


class Pairs(Protocol):
    """Users and items side by side, such as :class:`graphmi.data.Interactions`."""

    @property
    def user(self) -> Tensor:
        """User ids, ``[num_pairs]`` int64."""
        ...

    @property
    def item(self) -> Tensor:
        """Item ids, ``[num_pairs]`` int64."""
        ...


class Evaluator:
    """Ranks all items for every user with a target, and averages ranking metrics over these users.

    All items are candidates: sampled candidates can reverse the order of models (Krichene and Rendle, KDD 2020,
    https://dl.acm.org/doi/10.1145/3394486.3403226). Items that are known for a user are never recommended to
    them, except with ``repeat``. A target that is itself known can thus not be found; it counts as missed.

    Args:
        targets: The pairs to find; repeated pairs count once.
        known: The pairs known when the model is asked, left out of the ranking without ``repeat``.
        k: Lengths of the ranking, each at least 1.
        groups: Named groups of users, each ``[num_users]`` int64 by user id, ``-1`` for none; left out where no user
            with a target has one.
        batch_size: Users at once, at least 1.
        replicates: Bootstrap samples for the intervals of the group results; 0 for none.
        seed: Seed of the bootstrap.
        history: What users had before, in time order, for models that read histories.
        train: Training interactions, whose popularity and categories tell what the lists are like beyond accuracy.
        diversity: How diverse the interests of users are, ``[num_users]`` by user id, NaN for unknown; tells whether
            who has broader taste gets more interests.
        quick: Say of interests only what costs next to nothing, for validation while training.
        sharded: Share the batches out among the processes of ``torch.distributed``, where there are any; all of them
            must then ask, and get the result that one would. Otherwise each process ranks for all users.
        metrics: More metrics by name, such as ``{"f1@20": LinkPredF1(20)}``; one with the name of a standard one takes
            its place. They have values per user and groups as the standard ones do, and ``Trainer.fit`` can monitor
            them; an :class:`~graphmi.experiment.Experiment` evaluates the standard ones only.
        repeat: Rank items that a user knows too, as ComiRec and its successors do.

    Raises:
        ValueError: If there is no target, or an argument is out of range.

    Example:
        >>> from graphmi.data import LeaveOneOut, planted
        >>> from graphmi.models import Popularity
        >>> dataset = LeaveOneOut()(planted(num_users=50, num_items=40, num_clusters=4))
        >>> evaluator = Evaluator(dataset.targets("valid"), dataset.known("valid"))
        >>> evaluator(Popularity(dataset.graph())).metrics["recall@50"]  # everything is among the best 50 of 40 items
        1.0
    """

    def __init__(
        self,
        targets: Pairs,
        known: Pairs,
        k: Sequence[int] = (10, 20, 50),
        groups: Mapping[str, Tensor] | None = None,
        batch_size: int = 2048,
        replicates: int = 0,
        seed: int = 0,
        history: Histories | None = None,
        train: Interactions | None = None,
        diversity: Tensor | None = None,
        quick: bool = False,
        sharded: bool = False,
        metrics: Mapping[str, LinkPredMetric] | None = None,
        repeat: bool = False,
    ) -> None:
        if not len(targets.user):
            raise ValueError("There is nothing to evaluate: 'targets' holds no interaction.")
        at_least(1, batch_size=batch_size, k=min(k, default=0))
        self.users = torch.unique(targets.user)
        self.targets = _csr(targets, self.users)
        self.known = _csr(known, self.users)
        self.last_item = int(torch.cat([self.targets[1], self.known[1]]).max())
        self.k = sorted(set(k))
        self.metrics = {**ranking_metrics(k), **_fitting(metrics or {}, self.k[-1])}
        chosen = {name: self._of_users(f"groups[{name}]", group) for name, group in (groups or {}).items()}
        self.groups = {name: group for name, group in chosen.items() if (group >= 0).any()}
        self.batch_size, self.replicates, self.seed = batch_size, replicates, seed
        self.history, self.quick, self.sharded, self.repeat = history, quick, sharded, repeat
        self.catalogue = None if train is None else _catalogue(train)
        self.diversity = None if diversity is None else self._of_users("diversity", diversity)
        self.activity = None if train is None else train.user.bincount(minlength=train.num_users)[self.users]

    def __call__(self, model: nn.Module, on_users: Callable[[int], None] | None = None) -> Evaluation:
        """Return how well the model ranks; its training mode is as before.

        Args:
            model: ``model(Batch(user=ids))`` gives :class:`graphmi.typing.Representations`. Where it has a
                ``max_length``, the batch also holds that many of the latest items of each user.
            on_users: Called with the number of users done so far.

        Raises:
            ValueError: If a score is NaN, if the model does not answer with a row per user, if it reads histories
                and there are none, or if it lacks users or items that are asked for.
        """
        model = unwrapped(model)
        with evaluating(model), propagating_once(model), torch.no_grad():
            device = device_of(model)
            audit = Audit(self.k, None if self.catalogue is None else self.catalogue.to(device), self.quick)
            batches = list[dict[str, Tensor]]()
            for values, seen in self._batches(model, device, audit):
                batches.append(values)
                audit.add(seen)
                if on_users is not None:
                    on_users(min(len(batches) * self.batch_size, len(self.users)))
        per_user = {name: torch.cat([batch[name] for batch in batches]) for name in batches[0]}
        return Evaluation(
            metrics={name: float(values.double().mean()) for name, values in per_user.items()},
            groups={
                f"{group}/{name}": self._grouped(values, self.groups[group])
                for group in self.groups
                for name, values in per_user.items()
            },
            per_user=per_user,
            users=self.users,
            protocol=self.protocol,
            lists=audit.lists(),
            interests=audit.interests(self.diversity, self.activity),
            interest_share=audit.interest_share(),
            diagnostics=audit.per_user(),
        )

    @property
    def protocol(self) -> dict[str, str | int | list[int]]:
        """The conventions of the result."""
        return {
            "k": self.k,
            "candidates": "all items",
            "seen items": f"known items {'stay in' if self.repeat else 'are left out of'} the ranking",
            "users": "mean over the users with a target",
            "ndcg": "ideal DCG over min(k, relevant)",
            "map": "average precision over min(k, relevant)",
            "ties": "lower item id first",
        }

    def _batches(
        self, model: nn.Module, device: torch.device, audit: Audit
    ) -> Iterator[tuple[dict[str, Tensor], Seen]]:
        """Go through the users batch by batch; of every few batches each process finds one, and all get all of them.

        Batches are those of one process: the last digit of a score can depend on who else is in the batch.
        """
        rank, world = position() if self.sharded else (0, 1)
        starts = range(0, len(self.users), self.batch_size)
        for first in range(0, len(starts), world):
            own = starts[first : first + world][rank : rank + 1]
            found = [self._batch(model, start, device, audit) for start in own]
            yield from chain.from_iterable(gathered(found, world))

    def _batch(
        self, model: nn.Module, start: int, device: torch.device, audit: Audit
    ) -> tuple[dict[str, Tensor], Seen]:
        """Return each metric's values of the users from ``start`` on, on the CPU, and what the audit sees in them."""
        users = self.users[start : start + self.batch_size]
        out: Representations = model(self._question(model, users, device))
        if out.interests.size(0) != len(users):
            raise ValueError(f"The model must give a row for each of {len(users)} users (got {out.interests.size(0)}).")
        if (num_items := len(out.items)) <= self.last_item:
            raise ValueError(
                f"the model has {num_items:,} items and 'targets' or 'known' the number {self.last_item:,}, "
                "counted from 0: take the data that it was trained on"
            )
        rowptr, item = _rows(self.targets, start, len(users), device)
        row = torch.arange(len(users), device=device).repeat_interleave(rowptr.diff(), output_size=len(item))
        known = _rows(self.known, start, len(users), device)
        exclude = None if self.repeat else known
        _, ranking = rank(out.interests, out.items, self.k[-1], exclude=exclude, interest_mask=out.interest_mask)
        metrics = {name: metric.to(device) for name, metric in self.metrics.items()}
        relevant = torch.stack([row, item])
        seen = audit.look(out, ranking, known, relevant, start // self.batch_size)
        return {name: values.cpu() for name, values in values_per_user(metrics, ranking, relevant).items()}, seen

    def _question(self, model: nn.Module, users: Tensor, device: torch.device) -> Batch:
        """Return these users, with their histories for a model that reads them."""
        self.history = None if self.history is None else self.history.to(device)
        return question(model, users, self.history, device)

    def _of_users(self, name: str, values: Tensor) -> Tensor:
        """Return the values of the users with a target."""
        num_users = int(self.users[-1]) + 1
        if len(values) < num_users:
            raise ValueError(f"'{name}' must have at least {num_users} entries, one per user (got {len(values)}).")
        return values.cpu()[self.users]

    def _grouped(self, values: Tensor, group: Tensor) -> GroupedResult:
        generator = torch.Generator().manual_seed(self.seed)
        return by_group(values, group, replicates=self.replicates, generator=generator)


def _fitting(metrics: Mapping[str, LinkPredMetric], length: int) -> Mapping[str, LinkPredMetric]:
    """Return the metrics, or refuse one that a ranking of this length without weights of its targets cannot have."""
    for name, metric in metrics.items():
        if not isinstance(metric, LinkPredMetric) or metric.k > length or metric.weighted:
            raise ValueError(
                f"'metrics[{name}]' must be a LinkPredMetric without weights, no longer than the lists, {length} "
                f"(got {metric})"
            )
    return metrics


def _catalogue(train: Interactions) -> Catalogue:
    """Return what the training interactions say of the items."""
    categories = None if train.categories is None else train.categories.matrix(train.num_items)
    return Catalogue(train.item.bincount(minlength=train.num_items), categories)


def _csr(pairs: Pairs, users: Tensor) -> tuple[Tensor, Tensor]:
    """Return row pointers and items, ascending and once each, of these ascending users."""
    row = torch.searchsorted(users, pairs.user).clamp(max=len(users) - 1)
    wanted = users[row] == pairs.user
    row, item = row[wanted], pairs.item[wanted]
    num_items = int(item.max()) + 1 if len(item) else 1
    flat = torch.unique(row * num_items + item)
    count = flat.div(num_items, rounding_mode="floor").bincount(minlength=len(users))
    return torch.cat([count.new_zeros(1), count.cumsum(0)]), flat % num_items


def _rows(csr: tuple[Tensor, Tensor], start: int, size: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return some rows of a CSR pair."""
    rowptr = csr[0][start : start + size + 1]
    return (rowptr - rowptr[0]).to(device), csr[1][rowptr[0] : rowptr[-1]].to(device)
