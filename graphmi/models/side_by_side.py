"""Several trained models as one: their vectors side by side."""

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import replace
from functools import partial
from math import prod
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graphmi.models.base import Model
from graphmi.models.fold_in import latest
from graphmi.models.lookup import Lookup
from graphmi.ranges import one_of
from graphmi.typing import (
    Batch,
    BecomesReader,
    Contributions,
    Decomposable,
    FoldsIn,
    HistoryReader,
    ItemTable,
    Propagates,
    Representations,
)

__all__ = ["SideBySide"]

_MOST_INTERESTS = 256
_KNOWS_ITS_USERS = "{} knows the users that it was trained with and no others"


class SideBySide(Model):
    r"""Several trained models as one: users and items have the vectors of all of them, side by side.

    With ``"sum"`` scores add up, and with ``"best"`` the best one counts, as over interests:

    .. math::
        s_{ui} = \sum_m w_m \max_k \langle v^m_{uk}, e^m_i \rangle \qquad \text{or} \qquad
        s_{ui} = \max_{m, k} w_m \langle v^m_{uk}, e^m_i \rangle

    A sum of maxima is the maximum over the sums of all combinations of interests, so with ``"sum"`` there are as many
    interests as the product of the models'. What evaluates, ranks and serves one model does so for all. A model of
    sequences beside one of the graph knows more than either (docs/results/both.md). graphmi's own.

    Args:
        models: Models of the same users and items, at least one, with one vector per item of any width.
        reading: ``"sum"`` or ``"best"``.
        weights: :math:`w_m`, a positive number for each model; 1 when omitted.

    Attributes:
        max_length: The longest history that one of the models reads; only where one does.

    Shapes:
        - **input:** a batch of users ``[batch]``, and their histories for models that read them
        - **output:** ``interests [batch, product or sum of the models' interests, dims]``, ``items [num_items, dims]``,
          with the sum of the models' dimensions

    Raises:
        ValueError: If an argument is out of range, or in use models that are added up have more than 256 combinations
            of interests, or users read beginnings of histories (``prefix``), as in training.

    Example:
        >>> from graphmi.data import LeaveOneOut, planted
        >>> from graphmi.models import InterestGCN
        >>> graph = LeaveOneOut()(planted(num_users=50, num_items=40, num_clusters=4)).graph()
        >>> models = [InterestGCN(graph, num_interests=1, embedding_dim=dim) for dim in (8, 16)]
        >>> SideBySide(models, weights=[1.0, 0.2])(Batch(torch.tensor([3, 5]))).interests.shape
        torch.Size([2, 1, 24])
    """

    _keeps = False
    _items: Tensor | None = None

    def __init__(
        self,
        models: Sequence[nn.Module],
        reading: Literal["sum", "best"] = "sum",
        weights: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        if not isinstance(models, Sequence | nn.ModuleList):
            raise ValueError(f"'models' must be a list of trained models (got {type(models).__name__})")
        self.weights = [1.0] * len(models) if weights is None else list(weights)
        if not models or len(self.weights) != len(models) or not _positive(self.weights):
            raise ValueError(
                f"give each model a positive weight that float32 holds (got {len(models)} models and weights {weights})"
            )
        one_of(("sum", "best"), reading=reading)
        self.models, self.reading = nn.ModuleList(models), reading
        lengths = [model.max_length for model in models if isinstance(model, HistoryReader)]
        if lengths:
            self.max_length = max(lengths)  # only then it reads histories

    def forward(self, batch: Batch) -> Representations:
        """Return the interests of the users of the batch and the vectors of all items."""
        if batch.prefix is not None:
            raise ValueError("SideBySide is for models that are trained: it reads whole histories, no 'prefix' of them")
        return self._together([model(_for(model, batch)) for model in self.models])

    @torch.no_grad()
    def fold_in(self, history: Tensor, mask: Tensor) -> Representations:
        """Return what users whom no model was trained with are like by their items, ``[batch, length]``.

        Raises:
            ValueError: If one of the models knows the users of its training only.
        """
        return self._together([_folded_in(model, history, mask) for model in self.models])

    def as_reader(self) -> "SideBySide":
        """Return the same of models that read histories, and know no users.

        Raises:
            ValueError: If one of the models knows the users of its training only, or has no ``as_reader``.
        """
        return deepcopy(self, {id(self.models): nn.ModuleList(map(_as_reader, self.models)), id(self._items): None})

    def propagated(self) -> "SideBySide":
        """Return the same of models that have propagated over their graphs, as InterestGCN's ``propagated`` does.

        The vectors of the items are put together at the first request without gradients, and kept for evaluation mode:
        models that do not propagate must stay as they are.
        """
        ready = [model.propagated() if isinstance(model, Propagates) else model for model in self.models]
        other = deepcopy(self, {id(self.models): nn.ModuleList(ready), id(self._items): None})
        other._keeps = True
        return other

    @torch.no_grad()
    def contributions(self) -> Callable[[Batch], Contributions | None]:
        """Return a function that gives what items add to the interests of a batch, in whichever model they do.

        There is none where one of the models has none.
        """
        asked = [model.contributions() if isinstance(model, Decomposable) else None for model in self.models]
        return partial(self._contributions, asked)

    def _together(self, outs: Sequence[Representations]) -> Representations:
        places = self._places([out.interests for out in outs])
        interests = torch.cat(
            [weight * place @ out.interests for weight, place, out in zip(self.weights, places, outs, strict=True)], -1
        )
        idle = [
            place @ (~out.interest_mask).to(place).unsqueeze(-1)  # [batch, num_interests, 1]
            for place, out in zip(places, outs, strict=True)
            if out.interest_mask is not None
        ]
        active = torch.cat(idle, -1).sum(-1) == 0 if idle else None
        return Representations(interests, self._vectors(outs), interest_mask=active)

    def _vectors(self, outs: Sequence[Representations]) -> Tensor | ItemTable:
        if torch.compiler.is_exporting():  # a program gives interests alone, and would keep what these are made of
            return Lookup(partial(_beside, outs), len(outs[0].items), outs[0].interests.device)
        if self._items is not None and not self.training:
            return self._items
        items = _beside(outs, slice(None))
        if self._keeps and not (self.training or items.requires_grad or items.is_inference()):
            self._items = items
        return items

    def _contributions(
        self, asked: Sequence[Callable[[Batch], Contributions | None] | None], batch: Batch
    ) -> Contributions | None:
        found = [
            None if ask is None else ask(_for(model, batch)) for ask, model in zip(asked, self.models, strict=True)
        ]
        parts = [part for part in found if part is not None]
        if len(parts) < len(found):
            return None
        places = self._places([part.rest for part in parts])
        weighted = [weight * place for weight, place in zip(self.weights, places, strict=True)]
        rest = [place @ part.rest for place, part in zip(weighted, parts, strict=True)]
        width = [each.size(-1) for each in rest]
        vector = [
            F.pad(place @ part.vector, (sum(width[:before]), sum(width[before + 1 :])))
            for before, (place, part) in enumerate(zip(weighted, parts, strict=True))
        ]
        row, order = torch.cat([part.row for part in parts]).sort(stable=True)
        item = torch.cat([part.item for part in parts])
        return Contributions(row, item[order], torch.cat(vector)[order], torch.cat(rest, -1))

    def _places(self, interests: Sequence[Tensor]) -> Sequence[Tensor]:
        """Return which interest of each model is in which of all, ``[num_all, num_interests]`` of zeros and ones."""
        sizes = [each.size(1) for each in interests]
        if self.reading == "best":  # one after the other
            return torch.split(torch.eye(sum(sizes)).to(interests[0]), sizes, dim=1)
        if prod(sizes) > _MOST_INTERESTS:
            raise ValueError(
                f"models of {sizes} interests added up have {prod(sizes):,}, all combinations, and at most "
                f"{_MOST_INTERESTS} can be ranked: take fewer models"
            )
        which = torch.cartesian_prod(*map(torch.arange, sizes)).view(-1, len(sizes))  # [num_all, num_models]
        return [torch.eye(size)[of].to(interests[0]) for size, of in zip(sizes, which.t(), strict=True)]


def _beside(outs: Sequence[Representations], item: Tensor | slice) -> Tensor:
    return torch.cat([out.items[item] for out in outs], -1)


def _as_reader(model: nn.Module) -> nn.Module:
    if isinstance(model, BecomesReader):
        return model.as_reader()
    if isinstance(model, HistoryReader) and not isinstance(model, FoldsIn):
        return model
    if isinstance(model, FoldsIn):
        raise ValueError(f"{type(model).__name__} has no 'as_reader', and tells of others by 'fold_in' alone")
    raise ValueError(_KNOWS_ITS_USERS.format(type(model).__name__))


def _folded_in(model: nn.Module, history: Tensor, mask: Tensor) -> Representations:
    if isinstance(model, FoldsIn):
        return model.fold_in(history, mask)
    if isinstance(model, HistoryReader):
        history, mask = latest(model, history, mask)
        found: Representations = model(Batch(history.new_full((len(history),), -1), history=history, mask=mask))
        return found
    raise ValueError(_KNOWS_ITS_USERS.format(type(model).__name__))


def _for(model: nn.Module, batch: Batch) -> Batch:
    """Return the batch with as much of the histories as a model reads."""
    if batch.history is None or batch.mask is None:
        return batch
    history, mask = latest(model, batch.history, batch.mask)
    return replace(batch, history=history, mask=mask)


def _positive(weights: Sequence[float]) -> bool:
    held = torch.tensor(weights, dtype=torch.float64).float()  # what scores are made with
    return bool(((held > 0) & held.isfinite()).all())
