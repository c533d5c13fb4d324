"""One item of a list, and lists as a table."""

from typing import NamedTuple

import polars as pl
import torch

__all__ = ["Recommendation", "as_table"]


class Recommendation(NamedTuple):
    """One item of a list.

    Attributes:
        item: Its id in the data.
        score: The score by which it was found.
        interest: The interest that found it, from 0.
    """

    item: str | int
    score: float
    interest: int


def as_table(users: pl.Series, lists: list[list[Recommendation]], items: pl.DataType) -> pl.DataFrame:
    """Return lists as a table with the columns user_id, rank, item_id, score and interest; the last counts from 1.

    Args:
        users: The user of each list.
        lists: The lists.
        items: Type of the ids of items.
    """
    rows = [(place, *one) for each in lists for place, one in enumerate(each, start=1)]
    rank, item, score, interest = zip(*rows, strict=True) if rows else ((), (), (), ())
    row = torch.arange(len(lists)).repeat_interleave(torch.tensor([len(each) for each in lists], dtype=torch.int64))
    return pl.DataFrame(
        {
            "user_id": users.gather(row.numpy()),
            "rank": pl.Series(rank, dtype=pl.Int32),
            "item_id": pl.Series(item, dtype=items),
            "score": pl.Series(score, dtype=pl.Float32),
            "interest": pl.Series(interest, dtype=pl.Int32) + 1,
        }
    )
