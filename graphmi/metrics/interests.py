"""Which of a user's interests the recommendations come from.

All functions take the interest that each recommended item came from, ``[num_users, k]`` int64 with ``-1`` where there
is no item, as :func:`graphmi.retrieval.top_k` gives it.
"""

import torch
from scipy import stats
from torch import Tensor

__all__ = [
    "as_shares",
    "dead_interests",
    "effective_interests",
    "idle_interests",
    "interest_balance",
    "interest_counts",
    "interest_share",
    "rank_correlation",
    "share_counts",
]


def interest_counts(interest: Tensor, num_interests: int) -> Tensor:
    """Return how many items each interest gives to each list, ``[num_users, num_interests]`` int64.

    Args:
        interest: The interest of each item, ``[num_users, k]``; ``-1`` for none.
        num_interests: More than the highest of them.
    """
    counts = interest.new_zeros(len(interest), num_interests)
    return counts.scatter_add(1, interest.clamp(min=0), (interest >= 0).long())


def interest_share(interest: Tensor, num_interests: int) -> Tensor:
    """Return how often the item at each rank comes from a user's largest, second largest, ... interest.

    The interests of each user are put in the order of how much of the list they give (equals in the order in which
    they first appear in it), so that users can be added up whatever their interests stand for; after figure 1 of `BaM
    <https://github.com/jlunits2/BaM>`_ (IEEE BigData 2024).

    How to read it: rows are ranks, and a row sums to one. Columns of similar weight: several interests serve the
    user. All weight in the first column: one interest does, and the others might as well not be there. The first
    column strong in the upper rows only: other interests come in where the first has run out of items.

    Args:
        interest: The interest of each item, ``[num_users, k]``; ``-1`` for none.
        num_interests: More than the highest of them.

    Returns:
        ``[k, num_interests]`` float64; 0 at ranks that no list reaches.
    """
    return as_shares(share_counts(interest, num_interests))


def as_shares(counts: Tensor) -> Tensor:
    """Return the rows of :func:`share_counts`, of any number of users added up, as shares; 0 where a row is empty."""
    return counts / counts.sum(dim=1, keepdim=True).clamp(min=1).double()


def share_counts(interest: Tensor, num_interests: int) -> Tensor:
    """Return the users behind :func:`interest_share`, ``[k, num_interests]`` int64."""
    place = _by_size(interest, num_interests).gather(1, interest.clamp(min=0))
    counts = interest.new_zeros(interest.size(1), num_interests)
    return counts.scatter_add(1, place.T, (interest >= 0).long().T)


def _by_size(interest: Tensor, num_interests: int) -> Tensor:
    """Return the place of each interest among those of the user, the largest first, ``[num_users, num_interests]``."""
    length = interest.size(1)
    rank = torch.arange(length, device=interest.device).expand_as(interest)
    first = interest.new_full((len(interest), num_interests), length)
    first = first.scatter_reduce(1, interest.clamp(min=0), rank.where(interest >= 0, length), "amin")
    # More items first, then the earlier first item; both are at most the length.
    key = (length - interest_counts(interest, num_interests)) * (length + 1) + first
    return key.argsort(dim=1, stable=True).argsort(dim=1)


def effective_interests(interest: Tensor, num_interests: int) -> Tensor:
    r"""Return the effective number of interests behind each list: the exponential of the entropy of their shares.

    .. math:: \exp\Big(-\sum_k s_{uk} \log s_{uk}\Big)

    The Hill number of order 1 (`Hill, Ecology 1973 <https://doi.org/10.2307/1934352>`_). How to read it: 1 where one
    interest gives the whole list, ``m`` where ``m`` interests give equal parts. It should be higher for users of
    broad taste, see :func:`rank_correlation`.

    Args:
        interest: The interest of each item, ``[num_users, k]``; ``-1`` for none.
        num_interests: More than the highest of them.

    Returns:
        Values in ``[1, min(k, num_interests)]``, ``[num_users]`` float64; NaN for an empty list.
    """
    return _entropy(interest, num_interests).exp()


def interest_balance(interest: Tensor, num_interests: int, interest_mask: Tensor | None = None) -> Tensor:
    """Return how evenly the active interests share each list: the entropy of the shares over its largest value.

    How to read it: 1 where all active interests give equal parts, 0 where one gives everything. (Ten items cannot be
    shared by four quite equally: 0.985 is the most then.) Low values with many interests mean that most are not used.

    Args:
        interest: The interest of each item, ``[num_users, k]``; ``-1`` for none.
        num_interests: More than the highest of them.
        interest_mask: ``[num_users, num_interests]``, False where an interest is inactive.

    Returns:
        Values in ``[0, 1]``, ``[num_users]`` float64; NaN for an empty list and for fewer than two active interests.
    """
    active = _active(interest, num_interests, interest_mask).sum(dim=1)
    return _entropy(interest, num_interests) / active.double().log().where(active > 1, torch.nan)


def idle_interests(interest: Tensor, num_interests: int, interest_mask: Tensor | None = None) -> Tensor:
    """Return the share of each user's active interests that give no item to the list.

    How to read it: 0 where every interest is heard. Half of four interests idle is normal for a user of narrow taste;
    see :func:`dead_interests` for those that nobody ever hears.

    Args:
        interest: The interest of each item, ``[num_users, k]``; ``-1`` for none.
        num_interests: More than the highest of them.
        interest_mask: ``[num_users, num_interests]``, False where an interest is inactive.

    Returns:
        Values in ``[0, 1)``, ``[num_users]`` float64; NaN for an empty list.
    """
    counts = interest_counts(interest, num_interests)
    active = _active(interest, num_interests, interest_mask)
    idle = (active & (counts == 0)).sum(dim=1).double() / active.sum(dim=1)
    return idle.where(counts.any(dim=1), torch.nan)


def dead_interests(used: Tensor, active: Tensor) -> float:
    """Return the share of interests that give no item to any user, among those active for at least one.

    How to read it: 0 is good. An interest that is dead costs memory and time in serving and gives nothing; a model
    with half of them dead has half as many interests as it says.

    Args:
        used: Items that each interest gives to all lists, ``[num_interests]``: :func:`interest_counts`, summed.
        active: Users for whom it is active, ``[num_interests]``.

    Returns:
        A value in ``[0, 1]``; NaN where no interest is active.
    """
    return float(((used == 0) & (active > 0)).sum() / (active > 0).sum())


def rank_correlation(first: Tensor, second: Tensor) -> float:
    """Return Spearman's rank correlation of two values per user.

    How to read it, of :func:`effective_interests` and the diversity of users: 1 where who has the broader taste always
    gets more interests, 0 where the number of interests has nothing to do with taste. Both grow with a user's
    activity, so look at it within users of similar activity too.

    Args:
        first: ``[num_users]``; NaN leaves a user out.
        second: ``[num_users]``; NaN leaves a user out.

    Returns:
        A value in ``[-1, 1]``; NaN for fewer than two users, or where all values of one kind are equal.

    Raises:
        ValueError: If the shapes differ.
    """
    if first.shape != second.shape or first.dim() != 1:
        raise ValueError(
            f"Both values must be vectors of one length (got {list(first.shape)} and {list(second.shape)})."
        )
    known = ~(first.isnan() | second.isnan())
    first, second = first[known], second[known]
    if len(first) < 2 or (first == first[0]).all() or (second == second[0]).all():
        return float("nan")
    return float(stats.spearmanr(first.cpu().numpy(), second.cpu().numpy()).statistic)


def _entropy(interest: Tensor, num_interests: int) -> Tensor:
    """Return the entropy of the shares of the interests in each list in nats, ``[num_users]``; NaN if empty."""
    counts = interest_counts(interest, num_interests).double()
    entropy: Tensor = torch.special.entr(counts / counts.sum(dim=1, keepdim=True)).sum(dim=1)
    return entropy


def _active(interest: Tensor, num_interests: int, interest_mask: Tensor | None) -> Tensor:
    if interest_mask is None:
        return torch.ones(len(interest), num_interests, dtype=torch.bool, device=interest.device)
    return interest_mask
