"""Several trained models as one: their vectors side by side."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor, nn

from graphmi.typing import Batch, FoldsIn, HistoryReader, Representations

__all__ = ["SideBySide"]


class SideBySide(nn.Module):
    r"""Several trained models as one: users and items have the vectors of all of them, side by side.

    With ``"sum"`` scores add up, and with ``"best"`` the best one counts, as over interests:

    .. math::
        s_{ui} = \sum_m w_m \langle v^m_u, e^m_i \rangle \qquad \text{or} \qquad
        s_{ui} = \max_{m, k} w_m \langle v^m_{uk}, e^m_i \rangle

    So what evaluates, ranks and serves one model does so for all. A model of sequences beside one of the graph knows
    more than either (docs/results/both.md). graphmi's own.

    Args:
        models: Models of the same users and items, at least one, with one vector per item of any width, and for
            ``"sum"`` with one interest.
        reading: ``"sum"`` or ``"best"``.
        weights: :math:`w_m`, a positive number for each model; 1 when omitted.

    Attributes:
        max_length: The longest history that one of the models reads; only where one does.

    Shapes:
        - **input:** a batch of users ``[batch]``, and their histories for models that read them
        - **output:** ``interests [batch, 1, dims]`` or ``[batch, all interests, dims]``, ``items [num_items, dims]``,
          with the sum of the models' dimensions

    Raises:
        ValueError: If an argument is out of range, or in use a model has several interests that should be added up, or
            users read beginnings of histories (``prefix``), as in training.

    Example:
        >>> from graphmi.data import LeaveOneOut, planted
        >>> from graphmi.models import InterestGCN
        >>> graph = LeaveOneOut()(planted(num_users=50, num_items=40, num_clusters=4)).graph()
        >>> models = [InterestGCN(graph, num_interests=1, embedding_dim=dim) for dim in (8, 16)]
        >>> SideBySide(models, weights=[1.0, 0.2])(Batch(torch.tensor([3, 5]))).interests.shape
        torch.Size([2, 1, 24])
    """

    def __init__(
        self,
        models: Sequence[nn.Module],
        reading: Literal["sum", "best"] = "sum",
        weights: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        self.weights = [1.0] * len(models) if weights is None else list(weights)
        if not models or len(self.weights) != len(models) or not all(weight > 0 for weight in self.weights):
            raise ValueError(f"give each model a positive weight (got {len(models)} models and weights {weights})")
        if reading not in ("sum", "best"):
            raise ValueError(f"'reading' must be 'sum' or 'best' (got {reading!r})")
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

    def _together(self, outs: Sequence[Representations]) -> Representations:
        interests = [weight * out.interests for weight, out in zip(self.weights, outs, strict=True)]
        items = torch.cat([out.items[:] for out in outs], -1)
        if self.reading == "sum":
            if any(each.size(1) != 1 for each in interests):
                raise ValueError(
                    f"only models with one interest can be added up (got {[each.size(1) for each in interests]}): use "
                    "reading='best'"
                )
            return Representations(torch.cat(interests, -1), items)
        own = [_in_own_dimensions(interests, place) for place in range(len(interests))]
        masks = [out.interest_mask for out in outs]
        if all(mask is None for mask in masks):
            return Representations(torch.cat(own, 1), items)
        active = [
            each.new_ones(each.shape[:2], dtype=torch.bool) if mask is None else mask
            for each, mask in zip(interests, masks, strict=True)
        ]
        return Representations(torch.cat(own, 1), items, interest_mask=torch.cat(active, 1))


def _in_own_dimensions(interests: Sequence[Tensor], place: int) -> Tensor:
    """Return the interests of one model, 0 in the dimensions of the others."""
    one = interests[place]
    return torch.cat(
        [one if i == place else one.new_zeros(*one.shape[:2], each.size(-1)) for i, each in enumerate(interests)], -1
    )


def _folded_in(model: nn.Module, history: Tensor, mask: Tensor) -> Representations:
    history, mask = _latest(model, history, mask)
    if isinstance(model, FoldsIn):
        return model.fold_in(history, mask)
    if isinstance(model, HistoryReader):
        found: Representations = model(Batch(history.new_full((len(history),), -1), history=history, mask=mask))
        return found
    raise ValueError(f"{type(model).__name__} knows the users that it was trained with and no others")


def _for(model: nn.Module, batch: Batch) -> Batch:
    """Return the batch with as much of the histories as a model reads."""
    if batch.history is None or batch.mask is None:
        return batch
    history, mask = _latest(model, batch.history, batch.mask)
    return replace(batch, history=history, mask=mask)


def _latest(model: nn.Module, history: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Return the latest items that a model reads, left-aligned, and which are real."""
    if not isinstance(model, HistoryReader) or model.max_length >= mask.size(1):
        return history, mask
    length = mask.sum(1, keepdim=True)
    place = (length - model.max_length).clamp(min=0) + torch.arange(model.max_length, device=mask.device)
    return history.gather(1, place), place < length
