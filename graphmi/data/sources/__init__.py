"""Data sets that are known by name, and one function that opens a name or a file."""

import difflib
import inspect
from collections.abc import Callable, Mapping
from os import PathLike
from pathlib import Path
from types import MappingProxyType
from typing import Any

from graphmi.data.attributes import with_attributes
from graphmi.data.errors import DataError
from graphmi.data.interactions import Interactions
from graphmi.data.reading import read_interactions
from graphmi.data.sequence_file import read_sequences
from graphmi.data.sources import (
    amazon,
    anime,
    cosmetics,
    epinions,
    lightgcn,
    ml_1m,
    ml_100k,
    movietweetings,
    planted,
    retailrocket,
)
from graphmi.data.sources.download import DownloadError, cache_folder
from graphmi.data.sources.source import Source

__all__ = ["SOURCES", "DownloadError", "Source", "cache_folder", "find_source", "load", "open_data"]

_ALL = (
    ml_100k.SOURCE, ml_1m.SOURCE, movietweetings.SOURCE, *lightgcn.SOURCES, amazon.SOURCE, retailrocket.SOURCE,
    anime.SOURCE, epinions.SOURCE, cosmetics.SOURCE, planted.SOURCE,
)  # fmt: skip

SOURCES: Mapping[str, Source] = MappingProxyType({source.name: source for source in _ALL})


_READERS: Mapping[str, Callable[..., Interactions]] = {"table": read_interactions, "sequences": read_sequences}


def load(name: str, **options: Any) -> Interactions:
    """Return the interactions of a named source; download it on first use.

    Args:
        name: A name of ``SOURCES``, with options behind a colon where one likes: ``"amazon:year=2014,category=Books"``.
        options: Options of the source.

    Raises:
        DataError: If the name or an option is unknown; the message has the nearest names.
        DownloadError: If the files cannot be obtained; the message says where to put them by hand.
    """
    source, written = find_source(name)
    source.check(options)
    texts = {key: _value(source, key, value) for key, value in options.items() if isinstance(value, str)}
    return source.load(**{**written, **options, **texts})


def open_data(name_or_path: str | PathLike[str], **columns: Any) -> Interactions:
    """Return the interactions of a named source, a file, or a folder of Parquet files.

    Args:
        name_or_path: A name as for ``load``, or a path as for ``graphmi.data.read_interactions``.
        columns: Options of the source, or arguments of ``read_interactions`` such as ``user="user"``; with
            ``format="sequences"`` none. Of all of them ``attributes``, a file with categories, titles and vectors of
            the items for ``graphmi.data.with_attributes``; beside a file ``category`` names a column there.

    Raises:
        DataError: If it is neither a known name nor an existing path, which the message has the nearest names of, or
            the format or one of its options is unknown, or it is no path.
    """
    if not isinstance(name_or_path, str | PathLike):
        raise DataError(
            f"'open_data' takes a name or a path (got a {type(name_or_path).__name__}); Interactions.from_frame takes "
            "a table"
        )
    if str(name_or_path).split(":", 1)[0] in SOURCES:
        attributes = columns.pop("attributes", None)
        interactions = load(str(name_or_path), **columns)
        return with_attributes(interactions, attributes) if attributes else interactions
    if str(name_or_path) and Path(name_or_path).exists():  # Path("") is this folder
        return _read(name_or_path, columns.pop("format", "table"), **columns)
    raise DataError(f"no file and no data set is named {str(name_or_path)!r} ({_suggestion(str(name_or_path))})")


def _read(path: str | PathLike[str], kind: str, attributes: str | None = None, **options: Any) -> Interactions:
    if kind not in _READERS:
        raise DataError(f"'format' must be {' or '.join(_READERS)} (got {kind!r})")
    named = {"category": options.pop("category", None)} if attributes else {}  # a column there
    known = [*list(inspect.signature(_READERS[kind]).parameters)[1:], "attributes"]  # without the path
    if unknown := sorted(set(options) - set(known)):
        raise DataError(f"a file of format '{kind}' has no option {unknown[0]!r} (its options: {', '.join(known)})")
    interactions = _READERS[kind](path, **options)
    if not attributes:
        return interactions
    return with_attributes(interactions, attributes, item=options.get("item", "item_id"), **named)


def find_source(name: str) -> tuple[Source, dict[str, Any]]:
    """Return the source of ``name`` and the options written behind its colon."""
    plain, _, written = name.partition(":")
    if plain not in SOURCES:
        raise DataError(f"no data set is named {plain!r} ({_suggestion(plain)})")
    source = SOURCES[plain]
    pairs = [pair.partition("=") for pair in written.split(",") if pair]
    source.check({key.strip(): value for key, _, value in pairs})
    return source, {key.strip(): _value(source, key.strip(), value.strip()) for key, _, value in pairs}


def _value(source: Source, option: str, text: str) -> Any:
    """Return the text as the type that the default of the option has."""
    kind = type(source.options[option])
    if kind is bool:
        return text.lower() in ("true", "yes", "1")
    try:
        return kind(text)
    except ValueError:
        raise DataError(
            f"option {option!r} of '{source.name}' must be of type {kind.__name__} (got {text!r})"
        ) from None


def _suggestion(name: str) -> str:
    near = difflib.get_close_matches(name.lower(), SOURCES, n=3, cutoff=0.5)
    return f"did you mean {' or '.join(near)}?" if near else f"known names: {', '.join(SOURCES)}"
