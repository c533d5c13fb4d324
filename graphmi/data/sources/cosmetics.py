"""Cosmetics (REES46): the events of a cosmetics shop, one file a month."""

from pathlib import Path

import polars as pl

from graphmi.data.attributes import describe_items
from graphmi.data.interactions import Interactions
from graphmi.data.sources.obtain import ByHand, obtain
from graphmi.data.sources.source import Source
from graphmi.data.sources.tables import first_existing, select_events

__all__ = ["SOURCE"]

_PAGE = "https://www.kaggle.com/datasets/mkechinov/ecommerce-events-history-in-cosmetics-shop"
_MONTHS = ("2019-Oct", "2019-Nov", "2019-Dec", "2020-Jan", "2020-Feb")
_EVENTS = ("view", "cart", "remove_from_cart", "purchase")
_COLUMNS = ("event_time", "event_type", "product_id", "category_id", "user_id")


def fetch(folder: Path, *, event: str = "purchase") -> None:
    """Say where to get the monthly files where none is there."""
    if not _paths(folder):
        obtain(folder, ByHand(_PAGE, f"{_MONTHS[0]}.csv"))


def parse(folder: Path, *, event: str = "purchase") -> Interactions:
    """Read the months that are there: ``2019-Oct.csv`` to ``2020-Feb.csv``, plain or ``.gz``.

    The columns used are event_time, event_type, product_id, category_id and user_id; the category is the id
    of the shop, because its name is missing for almost all products.

    Args:
        folder: The folder of the files.
        event: ``"view"``, ``"cart"``, ``"remove_from_cart"``, ``"purchase"``, or ``"all"``.
    """
    table = pl.concat([_month(path, event) for path in _paths(folder)])
    interactions = Interactions.from_frame(table, item="product_id", time="timestamp")
    items = table.select(pl.col("product_id").alias("item_id"), pl.concat_list("category_id").alias("category"))
    return describe_items(interactions, items)


def _month(path: Path, event: str) -> pl.DataFrame:
    table = pl.read_csv(path, glob=False, columns=list(_COLUMNS), infer_schema=False)
    return select_events(table, "event_type", event, _EVENTS).select(
        pl.col("user_id", "product_id").cast(pl.Int64),
        pl.col("event_time").str.to_datetime("%Y-%m-%d %H:%M:%S UTC").dt.epoch("s").alias("timestamp"),
        "category_id",
    )


def _paths(folder: Path) -> list[Path]:
    paths = (first_existing(folder, f"{month}.csv", f"{month}.csv.gz") for month in _MONTHS)
    return [path for path in paths if path.exists()]


SOURCE = Source(
    name="cosmetics",
    summary="REES46 cosmetics shop: purchases and other events, categories, 2019-2020; placed by hand (Kaggle)",
    size="about 1,640,000 users, 54,600 items, 20,700,000 events",
    home="https://rees46.com/en/datasets",
    licence="free with attribution to REES46 Open CDP",
    fetch=fetch,
    parse=parse,
)
