"""The vectors behind recommendations as tables, for a search engine or an analysis outside of graphmi."""

from collections.abc import Callable

import polars as pl
import torch
from torch import Tensor, nn

from graphmi.asking import device_of, evaluating, propagating_once, question, require_items, unwrapped
from graphmi.data import Histories, Interactions
from graphmi.data.vocabulary import Vocabulary
from graphmi.typing import Representations

__all__ = ["Vectors", "vectors"]

_USERS = 1024  # users at once
Vectors = tuple[pl.DataFrame, pl.DataFrame]


@torch.no_grad()
def vectors(interactions: Interactions, model: nn.Module, on_users: Callable[[int], None] | None = None) -> Vectors:
    """Return the interests of all users and the vectors of all items, by the ids of the data.

    The score of a user and an item is the largest inner product of any of their vectors.

    Args:
        interactions: What is known of users, with the ids.
        model: ``model(Batch(user=ids))`` gives :class:`graphmi.typing.Representations`; it is asked in evaluation mode.
        on_users: Called with the number of users done so far.

    Returns:
        A table with the columns user_id, interest (from 1) and vector, without interests that are inactive, and one
        with item_id and vector: a row per vector where an item has several. Vectors are ``pl.Array`` of float32.

    Raises:
        ValueError: If the model has another number of items than the data, or does not know a user.

    Example:
        >>> from graphmi.data import LeaveOneOut, planted
        >>> from graphmi.models import InterestGCN
        >>> data = planted(num_users=50, num_items=40, num_clusters=4)
        >>> users, items = vectors(data, InterestGCN(LeaveOneOut()(data).graph()))
        >>> users.columns, users.shape, items.shape
        (['user_id', 'interest', 'vector'], (200, 3), (40, 2))
    """
    model = unwrapped(model)
    device, users = device_of(model), torch.arange(len(interactions.users))
    history = Histories(interactions).to(device)
    parts, done = list[pl.DataFrame](), 0
    with evaluating(model), propagating_once(model):
        for chosen in torch.split(users, _USERS):
            out: Representations = model(question(model, chosen, history, device))
            require_items(out.items, interactions.num_items)
            active = out.interest_mask
            if active is None:
                active = torch.ones(out.interests.shape[:2], dtype=torch.bool, device=device)
            row, interest = active.nonzero(as_tuple=True)
            table = _table("user_id", interactions.users, chosen[row.cpu()], out.interests[active])
            parts.append(table.insert_column(1, pl.Series("interest", (interest + 1).cpu().numpy(), dtype=pl.Int32)))
            done += len(chosen)
            if on_users is not None:
                on_users(done)
    of_items = out.items[:].reshape(interactions.num_items, -1, out.interests.size(-1))  # the same for all users
    number = torch.arange(interactions.num_items).repeat_interleave(of_items.size(1))
    return pl.concat(parts), _table("item_id", interactions.items, number, of_items.flatten(0, 1))


def _table(name: str, vocabulary: Vocabulary, index: Tensor, vector: Tensor) -> pl.DataFrame:
    kept = vector.float().cpu().numpy()
    return pl.DataFrame(
        {
            name: vocabulary.ids.gather(index.numpy()),
            "vector": pl.Series(kept, dtype=pl.Array(pl.Float32, kept.shape[1])),
        }
    )
