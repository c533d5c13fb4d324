"""Why a model recommends what it does, user by user: interests, and the items behind them."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeVar

import torch
from torch import Tensor, nn

from graphmi.asking import device_of, evaluating, propagating_once, question, unwrapped
from graphmi.attribution import Attribution, Cause, attribute
from graphmi.data import Dataset, Histories
from graphmi.data.dataset import Part
from graphmi.ranges import at_least
from graphmi.retrieval import TopK, rank, top_k
from graphmi.typing import Batch, Contributions, Decomposable, Representations

__all__ = ["Cause", "Explainer", "Explanation", "Interest", "Recommendation"]

_USERS, _ATTRIBUTED = 1024, 128  # users asked at once, and those of them whose sums are in memory at once


Value = TypeVar("Value", Batch, Representations)


@dataclass(frozen=True, slots=True)
class Interest:
    """One interest of a user.

    Attributes:
        index: Its number.
        active: False where the model leaves it out for this user.
        share: Share of the recommendations that it found, in ``[0, 1]``.
        nearest: The items that score best with it, known ones included: what it is about.
        causes: What it comes from, largest share first.
    """

    index: int
    active: bool
    share: float
    nearest: tuple[int, ...]
    causes: tuple[Cause, ...]


@dataclass(frozen=True, slots=True)
class Recommendation:
    """One item of the list of a user.

    Attributes:
        item: Item id.
        score: The score by which it is ranked.
        interest: The interest that gave the score.
        hit: True where it is a target.
        causes: What the score comes from, largest share first.
    """

    item: int
    score: float
    interest: int
    hit: bool
    causes: tuple[Cause, ...]


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a model makes of one user. All ids are indices into the vocabularies of the dataset.

    Attributes:
        user: User id.
        history: Known items in time order, the latest last.
        targets: What was to be found, in time order; empty for a user without a target.
        interests: All interests, inactive ones included.
        recommendations: The list, best first; shorter where fewer items are left.
    """

    user: int
    history: tuple[int, ...]
    targets: tuple[int, ...]
    interests: tuple[Interest, ...]
    recommendations: tuple[Recommendation, ...]


class Explainer:
    """Explains what a model recommends to users, for any model of the package or of one's own.

    What a share means depends on what a model can say of itself:

    - *Recommendations*. Where interests are sums over items (:class:`~graphmi.typing.Decomposable`: graph models over
      the neighbours of the user, sequence models over the history), so are scores. A share is an item's part of all
      that speaks for the recommendation; terms below 0 count as 0, and what comes from no item (the user's own vector
      in a graph model) is left over, so that shares sum to one at most. Other models with routing weights: the shares
      of the interest. Otherwise there are none.
    - *Interests*. Routing weights of sequence models, as shares of the history. Otherwise, where interests are sums
      over items, each item's part of the interest along its own direction, as above.

    How to read it: one cause near 1 means that a recommendation rests on a single item; many small ones, that it
    comes from taste as a whole; a low sum, that it comes from what is no item. Shares say what the model computed,
    not what would happen to the list if an item had not been there.

    Args:
        dataset: The data; known items of ``part`` are the history, and are not recommended without ``repeat``.
        model: ``model(Batch(user=ids))`` gives :class:`graphmi.typing.Representations`. Train it no further while it is
            explained.
        part: What is to be predicted, ``"valid"`` or ``"test"``.
        repeat: Recommend items that a user knows, too.

    Example:
        >>> from graphmi.data import LeaveOneOut, planted
        >>> from graphmi.models import InterestGCN
        >>> dataset = LeaveOneOut()(planted(num_users=50, num_items=40, num_clusters=4))
        >>> explainer = Explainer(dataset, InterestGCN(dataset.graph()))
        >>> [explanation] = explainer(torch.tensor([7]), k=5)
        >>> len(explanation.recommendations), len(explanation.interests)
        (5, 4)
    """

    def __init__(self, dataset: Dataset, model: nn.Module, part: Part = "test", repeat: bool = False) -> None:
        self.dataset, self.model, self.part, self.repeat = dataset, unwrapped(model), part, repeat
        self.history, self.targets = Histories(dataset.known(part)), Histories(dataset.targets(part))

    @torch.no_grad()
    def __call__(self, users: Tensor, k: int = 10, num_nearest: int = 5, num_causes: int = 5) -> list[Explanation]:
        """Return the explanation of each user.

        Args:
            users: User ids, ``[num_users]`` int64.
            k: Length of the list of recommendations, at least 1.
            num_nearest: Nearest items of each interest, at least 1.
            num_causes: Most causes of each interest and recommendation, at least 0.

        Raises:
            ValueError: If an id is no user, or a number is out of range.
        """
        at_least(1, k=k, num_nearest=num_nearest)
        at_least(0, num_causes=num_causes)
        users = users.cpu()
        if len(users) and not 0 <= int(users.min()) <= int(users.max()) < self.dataset.num_users:
            limit = self.dataset.num_users
            raise ValueError(f"'users' must be in [0, {limit}) (got {int(users.min())} to {int(users.max())})")
        with evaluating(self.model), propagating_once(self.model):
            batches = [
                self._batch(some, k, num_nearest, num_causes) for some in torch.split(users, _USERS) if len(some)
            ]
        return [explanation for batch in batches for explanation in batch]

    def _batch(self, users: Tensor, k: int, num_nearest: int, num_causes: int) -> list[Explanation]:
        device = device_of(self.model)
        history = self.history.to(device)
        batch = question(self.model, users, history, device)
        out: Representations = self.model(batch)
        exclude = None if self.repeat else history.rows(users)
        found = top_k(out.interests, out.items, k, exclude=exclude, interest_mask=out.interest_mask)
        causes = self._causes(batch, out, found, num_causes)
        nearest = _nearest(out, num_nearest)
        active = torch.ones(out.interests.shape[:2]) if out.interest_mask is None else out.interest_mask
        return [
            self._explanation(user, TopK(*(part[row] for part in found)), nearest[row], active[row].bool(), causes[row])
            for row, user in enumerate(users.tolist())
        ]

    def _causes(self, batch: Batch, out: Representations, found: TopK, num_causes: int) -> list[Attribution]:
        causes = []
        for start in range(0, len(batch.user), _ATTRIBUTED):
            rows = slice(start, start + _ATTRIBUTED)
            some, said = _take(batch, rows, "user", "history", "mask"), _take(out, rows, "interests", "routing", "mask")
            parts = None if self._contributions is None else self._contributions(some)
            causes += attribute(said, TopK(*(part[rows] for part in found)), parts, some.history, num_causes)
        return causes

    @cached_property
    def _contributions(self) -> Callable[[Batch], Contributions | None] | None:
        return self.model.contributions() if isinstance(self.model, Decomposable) else None

    def _explanation(self, user: int, found: TopK, nearest: Tensor, active: Tensor, causes: Attribution) -> Explanation:
        targets = _items(self.targets, user)
        origin = [interest for interest in found.interest.tolist() if interest >= 0]  # where no item is left comes last
        interests = (
            Interest(
                index=index,
                active=is_active,
                share=origin.count(index) / max(1, len(origin)),
                nearest=tuple(item for item in items if item >= 0),
                causes=because if is_active else (),
            )
            for index, (is_active, items, because) in enumerate(
                zip(active.tolist(), nearest.tolist(), causes.interests, strict=True)
            )
        )
        listed = zip(found.ids.tolist(), found.scores.tolist(), origin, causes.items, strict=False)
        return Explanation(
            user=user,
            history=_items(self.history, user),
            targets=targets,
            interests=tuple(interests),
            recommendations=tuple(
                Recommendation(item, score, interest, item in targets, because)
                for item, score, interest, because in listed
            ),
        )


def _take(value: Value, rows: slice, *names: str) -> Value:
    """Return some rows of these tensors of a batch or of representations."""
    parts = {name: getattr(value, name) for name in names}
    return replace(value, **{name: part[rows] for name, part in parts.items() if part is not None})


def _nearest(out: Representations, num_nearest: int) -> Tensor:
    """Return the items that score best with each interest alone, ``[batch, num_interests, num_nearest]``."""
    _, ids = rank(out.interests.flatten(0, 1).unsqueeze(1), out.items, num_nearest)
    return ids.view(*out.interests.shape[:2], num_nearest)


def _items(histories: Histories, user: int) -> tuple[int, ...]:
    start, stop = histories.rowptr[user : user + 2].tolist()
    return tuple(histories.item[start:stop].tolist())
