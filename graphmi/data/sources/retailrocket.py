"""RetailRocket: the events of a shop over four and a half months."""

from pathlib import Path

import polars as pl

from graphmi.data.interactions import Interactions
from graphmi.data.sources.obtain import ByHand, obtain
from graphmi.data.sources.source import Source
from graphmi.data.sources.tables import select_events

__all__ = ["SOURCE"]

_EVENTS = ("view", "addtocart", "transaction")


def fetch(folder: Path, *, event: str = "view") -> None:
    """Say where to get ``events.csv`` where it is not there."""
    obtain(folder, ByHand("https://www.kaggle.com/datasets/retailrocket/ecommerce-dataset", "events.csv"))


def parse(folder: Path, *, event: str = "view") -> Interactions:
    """Read ``events.csv``: timestamp (milliseconds), visitorid, event, itemid, transactionid.

    Args:
        folder: The folder of the file.
        event: ``"view"``, ``"addtocart"``, ``"transaction"``, or ``"all"``.
    """
    kinds = {"timestamp": pl.Int64, "visitorid": pl.Int64, "event": pl.String, "itemid": pl.Int64}
    table = pl.read_csv(folder / "events.csv", glob=False, columns=list(kinds), schema_overrides=kinds)
    table = select_events(table, "event", event, _EVENTS)
    return Interactions.from_frame(table, user="visitorid", item="itemid", time="timestamp")


SOURCE = Source(
    name="retailrocket",
    summary="RetailRocket: views, carts and purchases of a shop, 2015; placed by hand (Kaggle)",
    size="1,407,580 users, 235,061 items, 2,756,101 events",
    home="https://www.kaggle.com/datasets/retailrocket/ecommerce-dataset",
    licence="CC BY-NC-SA 4.0",
    fetch=fetch,
    parse=parse,
)
