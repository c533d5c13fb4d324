"""What an evaluation finds beyond accuracy, batch by batch."""

from collections.abc import Sequence

import torch
from torch import Tensor

from graphmi.data import residual
from graphmi.metrics import (
    Catalogue,
    InterestDiagnostics,
    InterestShare,
    effective_interests,
    gini,
    list_values,
    rank_correlation,
)
from graphmi.retrieval import best_interest
from graphmi.typing import Representations

__all__ = ["Audit"]

_LENGTH = 10  # of the lists whose interests are looked at


class Audit:
    """Collects what the lists and the interests of users are like.

    Args:
        k: Lengths of the lists, ascending.
        catalogue: The items, on the device of the model; nothing is said of lists without it.
        quick: Only what costs next to nothing: nothing that needs to know which interest found an item.
    """

    def __init__(self, k: Sequence[int], catalogue: Catalogue | None, quick: bool) -> None:
        self._k, self._catalogue, self._quick = k, catalogue, quick
        self._values: list[dict[str, Tensor]] = []
        self._exposure: dict[int, Tensor] = {}
        self._diagnostics: InterestDiagnostics | None = None
        self._share: InterestShare | None = None

    def update(self, out: Representations, ranking: Tensor, known: tuple[Tensor, Tensor], relevant: Tensor) -> None:
        """Add users.

        Args:
            out: The model's output.
            ranking: Item ids, best first, ``[batch, k]``; ``-1`` for none.
            known: Known items as CSR, ``rowptr [batch + 1]`` and item ids.
            relevant: Row and item id of the targets, ``[2, num_relevant]``.
        """
        values = {}
        if self._catalogue is not None:
            found = list_values(ranking, self._k, self._catalogue, known)
            values.update({f"lists/{name}": value for name, value in found.items()})
            self._expose(ranking, self._catalogue.num_items)
        if out.interests.size(1) > 1:
            values.update(self._look_at_interests(out, ranking, relevant))
        self._values.append({name: value.float().cpu() for name, value in values.items()})

    def per_user(self) -> dict[str, Tensor]:
        """Return the values per user, ``[num_users]`` float32 on the CPU each; NaN where there is none."""
        return {name: torch.cat([batch[name] for batch in self._values]) for name in self._values[0]}

    def lists(self) -> dict[str, float]:
        """Return what the lists are like; nothing without a catalogue. NaN where nobody has a value."""
        found = {f"coverage@{k}": float((shown > 0).double().mean()) for k, shown in self._exposure.items()}
        found |= {f"gini@{k}": float(gini(shown)) for k, shown in self._exposure.items()}
        means = {name: float(values.double().nanmean()) for name, values in self.per_user().items()}
        for name in ("novelty", "entropy", "calibration"):
            found |= {f"{name}@{k}": means[key] for k in self._k if (key := f"lists/{name}@{k}") in means}
        return found

    def interests(self, diversity: Tensor | None = None, activity: Tensor | None = None) -> dict[str, float]:
        """Return what the interests do; nothing for a model with one.

        Args:
            diversity: Diversity of these users, ``[num_users]``, NaN for none; adds its rank correlation with their
                effective number of interests where it is defined.
            activity: Training interactions of these users; adds the same correlation with activity taken out of both.
        """
        found = {} if self._diagnostics is None else self._diagnostics.compute()
        for name, effective in self.per_user().items():
            if diversity is not None and name.startswith("interests/effective@"):
                found |= _correlations(effective.double(), diversity, activity)
        return found

    def interest_share(self) -> Tensor | None:
        """Return the share of a user's largest, second, ... interest at each rank, ``[k, num_interests]``."""
        return None if self._share is None else self._share.compute().cpu()

    def _expose(self, ranking: Tensor, num_items: int) -> None:
        for k in self._k:
            top = ranking[:, :k]
            shown = top[top >= 0].bincount(minlength=num_items)
            self._exposure[k] = self._exposure[k] + shown if k in self._exposure else shown

    def _look_at_interests(self, out: Representations, ranking: Tensor, relevant: Tensor) -> dict[str, Tensor]:
        num_interests, k = out.interests.size(1), min(_LENGTH, self._k[-1])
        if self._diagnostics is None:
            # Who evaluates in one of several processes does not wait for the others.
            num_sample = 0 if self._quick else 2048
            self._diagnostics = InterestDiagnostics(num_interests, k=k, num_sample=num_sample, sync_on_compute=False)
            self._diagnostics.to(ranking.device)
        if self._quick:
            self._diagnostics.update(out)
            return {}
        if self._share is None:
            self._share = InterestShare(num_interests, k=k, sync_on_compute=False).to(ranking.device)
        top = ranking[:, :k].contiguous()
        interest = best_interest(out.interests, out.items, top, interest_mask=out.interest_mask)
        self._diagnostics.update(out, interest, relevant)
        self._share.update(interest)
        return {f"interests/effective@{k}": effective_interests(interest, num_interests)}


def _correlations(effective: Tensor, diversity: Tensor, activity: Tensor | None) -> dict[str, float]:
    """Return the rank correlations that are defined, plain and with activity taken out of both sides."""
    found = {"effective-diversity correlation": rank_correlation(effective, diversity)}
    if activity is not None:
        known = (activity > 0) & ~(effective.isnan() | diversity.isnan())
        sides = (residual(values[known], activity[known]) for values in (effective, diversity.double()))
        found["effective-diversity correlation, controlled"] = rank_correlation(*sides)
    return {name: value for name, value in found.items() if value == value}
