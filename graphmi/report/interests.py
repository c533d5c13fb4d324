"""Panels of what the interests do: who fills the list, and whether broad users have more of them in use."""

import math
from collections.abc import Sequence
from statistics import mean
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba

from graphmi.comparison import Model
from graphmi.data import residual
from graphmi.metrics import rank_correlation
from graphmi.report.panel import COLORS, Panel, color, dashes, label, marker

__all__ = ["diversity_panels", "heat_map_panels"]

_EFFECTIVE = "interests/effective@"
_PARTS, _USERS = 20, 20  # most parts, and users in each at least


def heat_map_panels(models: Sequence[Model]) -> list[Panel]:
    """Return who fills the list, one panel per model with several interests: rank x interest.

    The interests of each user are sorted by their share of the list; shares are means over the seeds.
    """
    return [
        _heat_map(model)
        for model in models
        if all(len(next(iter(run.result.get("interest_share") or []), [])) > 1 for run in model.runs)
    ]


def diversity_panels(models: Sequence[Model]) -> list[Panel]:
    """Return the effective number of interests in the list against the diversity of the user's taste.

    Once as they are, and once with activity taken out of both (:func:`graphmi.data.residual`). Users are sorted by
    diversity and cut into up to 20 equal parts; a point is the mean of one part, and over the seeds. Longer lists draw
    on more interests, so that runs whose lists were looked at to different lengths do not share a panel.

    How to read it: a rising line means that the model gives broad users more interests. A flat line means that the
    number of interests in use has nothing to do with the user. Active users have broader taste and longer histories,
    so only what rises at equal activity too comes from taste.
    """
    names = {name for model in models for name in model.first.per_user if name.startswith(_EFFECTIVE)}
    lengths = sorted(int(name.removeprefix(_EFFECTIVE)) for name in names)
    panels = [_diversity_panel(models, length, controlled) for length in lengths for controlled in (False, True)]
    return [panel for panel in panels if panel is not None]


def _diversity_panel(models: Sequence[Model], length: int, controlled: bool) -> Panel | None:
    found = {n: _parts(model, length, controlled) for n, model in enumerate(models)}
    parts = {n: part for n, part in found.items() if part is not None}
    if not parts:
        return None

    def draw(ax: Axes) -> None:
        for n, (_, points) in parts.items():
            look: dict[str, Any] = {"color": color(n), "marker": marker(n), "ls": dashes(n)}
            ax.errorbar(*points.T, ms=4, lw=1, elinewidth=0.8, label=label(models[n].name), **look)
        more = ", over or under that of equally active users" if controlled else " of the user's taste"
        ax.set(xlabel=f"diversity{more}", ylabel="effective number of interests")

    said = "; ".join(f"{models[n].name} {rho:+.2f}" for n, (rho, _) in parts.items())
    at = ", at equal activity" if controlled else ""
    return Panel(
        title=f"By diversity of taste{at}, top {length}",
        description=f"Effective number of interests in the top {length} against the diversity of the user's taste{at}. "
        f"Spearman's rank correlation over users: {said}.",
        header=("model", "mean diversity of the part", "effective interests", "± (95 %)"),
        rows=tuple((models[n].name, *row) for n, (_, points) in parts.items() for row in points.tolist()),
        draw=draw,
    )


def _heat_map(model: Model) -> Panel:
    share = np.mean([run.result["interest_share"] for run in model.runs], axis=0)  # [rank, interest]

    def draw(ax: Axes) -> None:
        ax.grid(False)
        ax.spines[:].set_visible(False)
        blue = np.broadcast_to(to_rgba(COLORS[0]), (*share.shape, 4)).copy()
        blue[..., 3] = 0.02 + 0.73 * share
        ax.pcolormesh(blue)
        for (rank, interest), value in np.ndenumerate(share):
            ax.text(interest + 0.5, rank + 0.5, f"{100 * value:.0f}", ha="center", va="center", fontsize=8)
        ax.set_xticks(np.arange(share.shape[1]) + 0.5, _numbers(share.shape[1]))
        ax.set_yticks(np.arange(share.shape[0]) + 0.5, _numbers(share.shape[0]))
        ax.tick_params(length=0)
        ax.invert_yaxis()
        ax.set(xlabel="interest of a user, the busiest first", ylabel=f"rank in the top {len(share)}")

    busiest = share[:, 0].sum() / max(share.sum(), 1.0)  # of the ranks that lists reach, which have a sum of 1
    return Panel(
        title=model.name,
        description=f"{model.name}: of 100 recommendations at each rank, how many come from each interest of a user. "
        f"Over all ranks the busiest interest gives {100 * busiest:.0f} %, an even share would be "
        f"{100 / share.shape[1]:.0f} %.",
        header=("rank", *(f"interest {n + 1}" for n in range(share.shape[1]))),
        rows=tuple((str(rank + 1), *row) for rank, row in enumerate(share.tolist())),
        draw=draw,
    )


def _numbers(count: int) -> list[str]:
    return [str(number + 1) for number in range(count)]


def _parts(model: Model, length: int, controlled: bool) -> tuple[float, np.ndarray] | None:
    """Return the rank correlation, and ``[parts, 3]``: mean diversity, mean value, half of its 95 % interval.

    Correlations and values are means over the seeds, intervals over the users.
    """
    effective = f"{_EFFECTIVE}{length}"
    needed = {effective, "diversity", *["activity"] * controlled}
    if not all(needed <= run.per_user.keys() for run in model.runs):
        return None
    users, values = model.first.per_user, model.of_runs(effective).double()  # [num_runs, num_users]
    diversity = users["diversity"].double()
    present = ~(diversity.isnan() | values.isnan().any(0))
    if controlled:
        present &= users["activity"] > 0
    diversity, values = diversity[present], values[:, present]
    if controlled:
        activity = users["activity"][present]
        diversity = residual(diversity, activity)
        values = torch.stack([residual(one, activity) + one.mean() for one in values])
    rho = mean(rank_correlation(one, diversity) for one in values)
    if math.isnan(rho):
        return None
    rows, values = [], values.mean(0)
    for part in torch.tensor_split(diversity.argsort(stable=True), max(1, min(_PARTS, len(values) // _USERS))):
        error = 1.96 * float(values[part].std()) / len(part) ** 0.5
        rows.append([float(diversity[part].mean()), float(values[part].mean()), error])
    return rho, np.array(rows)
