r"""Recommendation lists beyond accuracy: what is in them, for whom, and who gets shown.

All functions take rankings ``[num_users, k]`` of item ids, ``-1`` where a row is shorter, and give one value per user,
so that :func:`graphmi.metrics.by_group` (group ``-1`` for users with NaN) and :func:`graphmi.metrics.paired_tests`
(without them) apply; :func:`gini` is about all lists together. PyG has further metrics of this kind:
``LinkPredCoverage``, ``LinkPredDiversity``, ``LinkPredPersonalization`` and ``LinkPredAveragePopularity``.
"""

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor

from graphmi.metrics.catalogue import Catalogue

__all__ = ["calibration", "category_distribution", "gini", "list_entropy", "list_values", "novelty"]


def category_distribution(items: Tensor, share: Tensor, rowptr: Tensor | None = None) -> Tensor:
    """Return the distribution over categories of each row of items, ``[num_rows, num_categories]``.

    An item in several categories shares its weight among them; items in none do not count.

    Args:
        items: Item ids, ``[num_rows, length]``, ``-1`` for none; with ``rowptr`` those of all rows one after another.
        share: :attr:`Catalogue.share`, ``[num_items, num_categories]``.
        rowptr: Where each row begins, and where the last ends, ``[num_rows + 1]``.

    Returns:
        Rows that sum to one; NaN for rows without an item that has a category.
    """
    if rowptr is None:
        real = (items >= 0).to(share)
        total = F.embedding_bag(items.clamp(min=0), share, mode="sum", per_sample_weights=real)
    else:
        total = F.embedding_bag(items, share, rowptr, mode="sum", include_last_offset=True)
    return total / total.sum(dim=1, keepdim=True)


def list_entropy(listed: Tensor) -> Tensor:
    r"""Return the entropy of the categories in each list, in nats.

    .. math:: -\sum_c q(c \mid u) \log q(c \mid u)

    How to read it: 0 for a list from one category; ``log(num_categories)`` where all are equally frequent. High is
    diverse, which suits a user of broad taste and bothers one of narrow taste: see :func:`calibration`.

    Args:
        listed: :func:`category_distribution` of the lists, ``[num_users, num_categories]``.

    Returns:
        Values in ``[0, log(num_categories)]``, ``[num_users]``; NaN where the list has none of the categories.
    """
    entropy: Tensor = torch.special.entr(listed).sum(dim=1)
    return entropy


def calibration(listed: Tensor, history: Tensor, alpha: float = 0.01) -> Tensor:
    r"""Return how far the categories of each list are from those of the user's history (Kullback-Leibler, nats).

    .. math::
        \sum_c p(c \mid u) \log \frac{p(c \mid u)}{\tilde q(c \mid u)}, \qquad
        \tilde q = (1 - \alpha)\, q + \alpha\, p

    Published: `Steck, "Calibrated Recommendations", RecSys 2018 <https://doi.org/10.1145/3240323.3240372>`_, whose
    smoothing keeps it finite.

    How to read it: 0 where the list has the same mixture as the history, high where
    interests of the user are missing from the list; with one of two equal interests missing it is about 2.
    Low is good. It punishes what is missing more than what is new.

    Args:
        listed: :func:`category_distribution` of the lists, ``[num_users, num_categories]``.
        history: The same of what the users had before.
        alpha: Share of the history in the smoothed list, in ``(0, 1]``.

    Returns:
        Values in ``[0, log(1 / alpha)]``, ``[num_users]``; NaN where list or history has none of the categories.

    Raises:
        ValueError: If ``alpha`` is out of range.
    """
    if not 0 < alpha <= 1:
        raise ValueError(f"'alpha' must be above 0 and at most 1 (got {alpha})")
    smoothed = (1 - alpha) * listed + alpha * history
    # xlogy is 0 where a category is not in the history, whatever the list has of it.
    terms = torch.xlogy(history, history) - torch.xlogy(history, smoothed)
    return terms.sum(dim=1).clamp(min=0.0)  # rounding may take equal distributions below 0


def novelty(ranking: Tensor, information: Tensor) -> Tensor:
    r"""Return the mean self-information of the items of each list, in bits.

    .. math:: \operatorname{mean}_{i} -\log_2 \frac{n_i}{\sum_j n_j}

    with the training interactions :math:`n_i` of an item; an item without any counts as if it had one. After
    `Zhou et al., PNAS 2010 <https://doi.org/10.1073/pnas.1000488107>`_ and `Vargas and Castells, RecSys 2011
    <https://doi.org/10.1145/2043932.2043955>`_.

    How to read it: one bit more is half as popular. Low means
    blockbusters; high means items that few know, which is good only where accuracy holds.

    Args:
        ranking: Item ids, ``[num_users, k]``; ``-1`` for none.
        information: :attr:`Catalogue.information`, ``[num_items]``.

    Returns:
        Values of at least 0, ``[num_users]``; NaN for an empty list.
    """
    real = ranking >= 0
    return (information[ranking.clamp(min=0)] * real).sum(dim=1) / real.sum(dim=1)


def gini(exposure: Tensor) -> Tensor:
    r"""Return the Gini coefficient of the exposure of items over the last axis.

    .. math:: \frac{\sum_{r=1}^{n} (2 r - n - 1)\, x_{(r)}}{n \sum_r x_{(r)}}

    with the exposures :math:`x` in ascending order; see `Shani and Gunawardana, "Evaluating Recommendation Systems"
    <https://doi.org/10.1007/978-0-387-85820-3_8>`_.

    How to read it: 0 where every item is shown equally often, close to 1 where few items are all that is shown. High
    means that the lists of all users are alike and the rest of the catalogue is invisible.

    Args:
        exposure: How often each item is in a list, ``[..., num_items]``, at least 0; items never shown count.

    Returns:
        Values in ``[0, 1 - 1 / num_items]`` float64; NaN where nothing is shown.
    """
    ordered = exposure.double().sort(dim=-1).values
    size = ordered.size(-1)
    rank = torch.arange(1, size + 1, dtype=torch.float64, device=ordered.device)
    return ((2 * rank - size - 1) * ordered).sum(dim=-1) / (size * ordered.sum(dim=-1))


@torch.no_grad()
def list_values(
    ranking: Tensor, k: Iterable[int], catalogue: Catalogue, known: tuple[Tensor, Tensor] | None = None
) -> dict[str, Tensor]:
    """Return what the lists of each user are like beyond accuracy.

    Args:
        ranking: Item ids, best first, ``[num_users, length]``; ``-1`` for none.
        k: Lengths of the lists, each at least 1.
        catalogue: The items, on the device of the ranking.
        known: What the users had before, as CSR: ``rowptr [num_users + 1]`` and item ids.

    Returns:
        :func:`novelty` as ``"novelty@k"``, and where there are categories :func:`list_entropy` as ``"entropy@k"`` and
        with ``known`` :func:`calibration` as ``"calibration@k"``; each ``[num_users]`` float32, NaN where not defined.
    """
    share, values = catalogue.share, dict[str, Tensor]()
    history = None if share is None or known is None else category_distribution(known[1], share, known[0])
    for length in k:
        top = ranking[:, :length]
        values[f"novelty@{length}"] = novelty(top, catalogue.information)
        if share is not None:
            listed = category_distribution(top, share)
            values[f"entropy@{length}"] = list_entropy(listed)
            if history is not None:
                values[f"calibration@{length}"] = calibration(listed, history)
    return values
