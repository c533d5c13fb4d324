"""Gowalla, Yelp2018 and Amazon-Book, in the form that the LightGCN paper made common."""

from functools import partial
from pathlib import Path

import polars as pl
import torch

from graphmi.data.errors import DataError
from graphmi.data.interactions import Interactions
from graphmi.data.sequence_file import item_lists
from graphmi.data.sources.obtain import Url, obtain
from graphmi.data.sources.source import Source
from graphmi.data.sources.tables import first_existing

__all__ = ["SOURCES"]

_HOME = "https://github.com/gusye1234/LightGCN-PyTorch"
_LISTS = "https://raw.githubusercontent.com/gusye1234/LightGCN-PyTorch/master/data"
_PARTS = ("train", "valid", "test")


def fetch(name: str, folder: Path, *, part: str = "all") -> None:
    """Fetch the lists of training and test items."""
    for each in ("train", "test"):
        if not _path(folder, each).exists():
            obtain(folder, Url(f"{_LISTS}/{name}/{each}.txt", f"{each}.txt"))


def parse(folder: Path, *, part: str = "all") -> Interactions:
    """Read ``train.txt``, ``test.txt`` and, where it was put there, ``valid.txt``; no times, no categories.

    Args:
        folder: The folder of the files, plain or ``.gz``.
        part: ``"all"``, or one of the paper's parts ``"train"``, ``"valid"``, ``"test"``. All parts have the
            same user and item indices.
    """
    tables = {name: item_lists(path) for name in _PARTS if (path := _path(folder, name)).exists()}
    if part != "all" and part not in tables:
        raise DataError(f"'part' must be one of all, {', '.join(tables)} (got {part!r})")
    interactions = Interactions.from_frame(pl.concat(tables.values()))
    if part == "all":
        return interactions
    rows = [torch.full((len(table),), name == part) for name, table in tables.items()]
    return interactions.take(torch.cat(rows))


def _path(folder: Path, name: str) -> Path:
    return first_existing(folder, f"{name}.txt", f"{name}.txt.gz")


def _source(name: str, summary: str, size: str, cite: str) -> Source:
    return Source(
        name=name,
        summary=f"{summary}, with the split of the LightGCN paper",
        size=size,
        home=_HOME,
        licence=f"research use, cite {cite} and He et al. (2020)",
        fetch=partial(fetch, name),
        parse=parse,
    )


SOURCES = (
    _source(
        "gowalla",
        "Gowalla: check-ins",
        "29,858 users, 40,981 items, 1,027,370 check-ins",
        "Cho, Myers and Leskovec (2011)",
    ),
    _source(
        "yelp2018",
        "Yelp: businesses of the challenge of 2018",
        "31,668 users, 38,048 items, 1,561,406 visits",
        "the Yelp data set",
    ),
    _source(
        "amazon-book",
        "Amazon: books",
        "52,643 users, 91,599 items, 2,984,108 reviews",
        "He and McAuley (2016)",
    ),
)
