"""What a named source is: where it comes from, how its files are fetched, and how they are read."""

import gzip
import inspect
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from graphmi.data.errors import DataError
from graphmi.data.interactions import Interactions
from graphmi.data.sources.download import cache_folder, pinned_sha256, verify

__all__ = ["Source"]

# What readers raise for a file that is damaged or another than expected.
_UNREADABLE = (
    pl.exceptions.PolarsError,
    UnicodeDecodeError,
    SyntaxError,
    KeyError,
    EOFError,
    gzip.BadGzipFile,
    zlib.error,
)


@dataclass(frozen=True)
class Source:
    """A data set that is known by name.

    Attributes:
        name: The name that users type.
        summary: One line on what the data is.
        size: Users, items and interactions, as text.
        home: The page of the data set.
        licence: The terms of its home, in short.
        fetch: ``fetch(folder, **options)`` puts the files into the folder where they are missing.
        parse: ``parse(folder, **options) -> Interactions`` reads them, and takes the same options.
    """

    name: str
    summary: str
    size: str
    home: str
    licence: str
    fetch: Callable[..., None]
    parse: Callable[..., Interactions]

    @property
    def folder(self) -> Path:
        """The folder of the cache that holds the files."""
        return cache_folder() / self.name

    @property
    def options(self) -> dict[str, Any]:
        """The options of this source with their defaults."""
        return {
            name: parameter.default
            for name, parameter in inspect.signature(self.parse).parameters.items()
            if parameter.kind is inspect.Parameter.KEYWORD_ONLY
        }

    def load(self, **options: Any) -> Interactions:
        """Fetch what is missing and read it.

        Raises:
            DataError: If an option is unknown or has a value that the source does not know, or a file is damaged.
            DownloadError: If the files cannot be obtained.
        """
        self.check(options)
        self.fetch(self.folder, **options)
        try:
            return self.parse(self.folder, **options)
        except DataError as error:
            raise DataError(f"{self.name} in {self.folder}: {error}") from None
        except _UNREADABLE as error:
            reason = (str(error) or type(error).__name__).splitlines()[0]
            place = f"the files of '{self.name}' in {self.folder}"
            raise DataError(f"{place} cannot be read ({reason}); delete them to fetch them again") from error

    def verify(self) -> None:
        """Compare the files with the hashes that were trusted when they were downloaded.

        Raises:
            DownloadError: If a file has changed since.
        """
        for note in sorted(self.folder.rglob("*.sha256")):
            if (path := note.with_suffix("")).exists():
                verify(path, pinned_sha256(path))

    def check(self, options: dict[str, Any]) -> None:
        """Raise ``DataError`` for options that the source does not have."""
        if unknown := sorted(set(options) - set(self.options)):
            valid = ", ".join(self.options) or "none"
            raise DataError(f"'{self.name}' has no option {unknown[0]!r} (its options: {valid})")
