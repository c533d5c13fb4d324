"""What an evaluation finds beyond accuracy, batch by batch."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from graphmi.data import residual
from graphmi.metrics import (
    Catalogue,
    InterestDiagnostics,
    as_shares,
    effective_interests,
    gini,
    list_values,
    rank_correlation,
    share_counts,
)
from graphmi.retrieval import best_interest
from graphmi.typing import Representations

__all__ = ["Audit", "Seen"]

_LENGTH = 10  # of the lists whose interests are looked at


@dataclass(frozen=True, slots=True)
class Seen:
    """What there is to say of a batch of users, on the CPU, so that one process can tell others.

    Attributes:
        values: Values per user, ``[batch]`` float32 each.
        ranking: The lists, ``[batch, k]``; ``None`` where nothing is said of lists.
        diagnostics: The interests; ``None`` for a model with one.
        share: How often each rank comes from each interest, :func:`graphmi.metrics.share_counts`; ``None`` where that
            is not looked at.
    """

    values: dict[str, Tensor]
    ranking: Tensor | None = None
    diagnostics: InterestDiagnostics | None = None
    share: Tensor | None = None


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
        self._share: Tensor | None = None

    def look(
        self,
        out: Representations,
        ranking: Tensor,
        known: tuple[Tensor, Tensor],
        relevant: Tensor,
        number: int,
    ) -> Seen:
        """Return what a batch of users is like, without adding it.

        Args:
            out: The model's output.
            ranking: Item ids, best first, ``[batch, k]``; ``-1`` for none.
            known: Known items as CSR, ``rowptr [batch + 1]`` and item ids.
            relevant: Row and item id of the targets, ``[2, num_relevant]``.
            number: Which batch it is, from 0; decides what is drawn.
        """
        values, diagnostics, share = dict[str, Tensor](), None, None
        if self._catalogue is not None:
            found = list_values(ranking, self._k, self._catalogue, known)
            values |= {f"lists/{name}": value for name, value in found.items()}
        if out.interests.size(1) > 1:
            diagnostics = self._empty(out, number)
            if self._quick:
                diagnostics.update(out)
            else:
                interest = self._interest(out, ranking)
                diagnostics.update(out, interest, relevant)
                share = share_counts(interest, out.interests.size(1)).cpu()
                effective = effective_interests(interest, out.interests.size(1))
                values[f"interests/effective@{interest.size(1)}"] = effective
        return Seen(
            {name: value.float().cpu() for name, value in values.items()},
            None if self._catalogue is None else ranking.cpu(),
            None if diagnostics is None else diagnostics.cpu(),
            share,
        )

    def add(self, seen: Seen) -> None:
        """Add a batch of users, of this process or another, in the order of their numbers."""
        self._values.append(seen.values)
        if seen.ranking is not None and self._catalogue is not None:
            self._expose(seen.ranking, self._catalogue.num_items)
        if seen.diagnostics is not None:
            if self._diagnostics is not None:
                seen.diagnostics.merge_state(self._diagnostics)  # puts what was there before in front
            self._diagnostics = seen.diagnostics
        if seen.share is not None:
            self._share = seen.share if self._share is None else self._share + seen.share

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
        return None if self._share is None else as_shares(self._share)

    def _expose(self, ranking: Tensor, num_items: int) -> None:
        for k in self._k:
            top = ranking[:, :k]
            shown = top[top >= 0].bincount(minlength=num_items)
            self._exposure[k] = self._exposure[k] + shown if k in self._exposure else shown

    def _interest(self, out: Representations, ranking: Tensor) -> Tensor:
        """Return the interest that each item of the lists comes from, ``[batch, k]``."""
        top = ranking[:, : min(_LENGTH, self._k[-1])].contiguous()
        return best_interest(out.interests, out.items, top, interest_mask=out.interest_mask)

    def _empty(self, out: Representations, number: int) -> InterestDiagnostics:
        """Return diagnostics of no users, for one batch."""
        return InterestDiagnostics(
            out.interests.size(1),
            k=min(_LENGTH, self._k[-1]),
            num_sample=0 if self._quick else 2048,
            seed=number,
            sync_on_compute=False,  # batches are added up here, in their order
        ).to(out.interests.device)


def _correlations(effective: Tensor, diversity: Tensor, activity: Tensor | None) -> dict[str, float]:
    """Return the rank correlations that are defined, plain and with activity taken out of both sides."""
    found = {"effective-diversity correlation": rank_correlation(effective, diversity)}
    if activity is not None:
        known = (activity > 0) & ~(effective.isnan() | diversity.isnan())
        sides = (residual(values[known], activity[known]) for values in (effective, diversity.double()))
        found["effective-diversity correlation, controlled"] = rank_correlation(*sides)
    return {name: value for name, value in found.items() if value == value}
