"""Download one file: resumed after a cut, checked, and renamed into place only when it is whole."""

import hashlib
import os
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import IO, cast

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

_LOCKS = os.name == "posix"
if _LOCKS:
    import fcntl

__all__ = ["DownloadError", "cache_folder", "download", "file_sha256", "pinned_sha256", "verify"]

_BLOCK = 1 << 18
_TIMEOUT = 20.0  # seconds for the connection and for each block


class DownloadError(OSError):
    """A file could not be obtained; the message says why in one sentence."""


def cache_folder() -> Path:
    """Return the folder that holds the data sets: ``GRAPHMI_DATA``, else ``~/.cache/graphmi``."""
    folder = os.environ.get("GRAPHMI_DATA")
    return Path(folder).expanduser() if folder else Path.home() / ".cache" / "graphmi"


def download(url: str, target: Path, *, sha256: str | None = None) -> Path:
    """Download ``url`` to ``target``.

    The bytes go to ``target`` + ``.part``, which a later call continues where the server vouches for the same
    content (``ETag`` or ``Last-Modified``). A cut connection is retried as long as each attempt brings
    something new. Without a known hash the first one seen is trusted and written to ``target`` + ``.sha256``.
    Processes that download the same file wait for one another, and take what the first one got.

    Args:
        url: An ``http`` or ``https`` address.
        target: The file to write; its folder is made if needed.
        sha256: Expected hash in hexadecimal.

    Raises:
        DownloadError: If the address cannot be reached, the connection stays cut, or the hash differs.
        OSError: If the folder cannot be written to.
    """
    if not url.startswith(("http://", "https://")):
        raise DownloadError(f"only http and https addresses can be downloaded (got {url!r})")
    target.parent.mkdir(parents=True, exist_ok=True)
    with _alone(_beside(target, ".lock")):
        expected = sha256 or pinned_sha256(target)
        if target.exists():  # another process was faster
            verify(target, expected)
        else:
            part = _beside(target, ".part")
            _receive_all(url, part)
            _accept(part, target, expected)
    return target


def verify(path: Path, sha256: str | None) -> str:
    """Return the hash of ``path``, and raise ``DownloadError`` where it is not the expected one."""
    found = file_sha256(path)
    if sha256 is not None and found != sha256:
        raise DownloadError(f"{path.name} has sha256 {found} instead of {sha256}")
    return found


def file_sha256(path: Path) -> str:
    """Return the sha256 of a file in hexadecimal, read in blocks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def pinned_sha256(path: Path) -> str | None:
    """Return the hash that was trusted on first use, from the ``.sha256`` file beside ``path``."""
    note = _beside(path, ".sha256")
    return note.read_text().split()[0] if note.exists() else None


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """Hold a lock, and wait for it; go on at once where files cannot be locked."""
    while _LOCKS:
        with lock.open("w") as file:
            with suppress(OSError):  # some network drives have no locks
                fcntl.flock(file, fcntl.LOCK_EX)
            if os.fstat(file.fileno()).st_nlink:  # else who held it has removed it, and others lock a new file
                try:
                    yield
                finally:
                    lock.unlink(missing_ok=True)
                return
    yield


def _receive_all(url: str, part: Path) -> None:
    """Receive ``part`` in as many attempts as bring something new."""
    while True:
        before = _size(part)
        try:
            return _receive(url, part)
        except (OSError, HTTPException) as error:
            if _size(part) <= before:
                raise DownloadError(f"{url}: {_reason(error)}") from error


def _accept(part: Path, target: Path, expected: str | None) -> None:
    try:
        found = verify(part, expected)
    except DownloadError as error:
        _forget(part)
        pin = _beside(target, ".sha256")
        remedy = f"; delete {pin} if the new content is right" if pin.exists() else ""
        raise DownloadError(f"{str(error).replace('.part', '', 1)}, and was discarded{remedy}") from None
    if expected is None:
        _beside(target, ".sha256").write_text(f"{found}  {target.name}\n")
    part.replace(target)
    _forget(part)


def _receive(url: str, part: Path) -> None:
    """Receive what is missing of ``part``, and raise ``ConnectionError`` where it has not the size promised."""
    with _open(url, part) as response:
        range_sent = response.headers.get("Content-Range", "")
        resumed = response.status == 206 and range_sent.startswith(f"bytes {_size(part)}-")
        if not resumed:
            _note_validator(response, part)
        length = response.headers.get("Content-Length")
        start = _size(part) if resumed else 0
        total = start + int(length) if length else None
        with part.open("ab" if resumed else "wb") as file:
            _copy(response, file, start, total, url)
    if total is not None and (size := _size(part)) != total:  # of the file: others may have written to it
        raise ConnectionError(f"the connection was cut after {size:,} of {total:,} bytes")


def _open(url: str, part: Path) -> HTTPResponse:
    """Ask for the rest of ``part`` where the server can vouch that the beginning is the same, else for all."""
    request = urllib.request.Request(url, headers={"User-Agent": "graphmi"})  # noqa: S310 (checked by the caller)
    validator = _beside(part, ".validator")
    if _size(part) > 0 and validator.exists():
        request.add_header("Range", f"bytes={_size(part)}-")
        request.add_header("If-Range", validator.read_text())
    try:
        return cast(HTTPResponse, urllib.request.urlopen(request, timeout=_TIMEOUT))  # noqa: S310
    except urllib.error.HTTPError as error:
        error.close()
        if error.code != 416 or not request.has_header("Range"):
            raise
    _forget(part)  # nothing lies behind what is there, so what is there is not this file
    return _open(url, part)


def _note_validator(response: HTTPResponse, part: Path) -> None:
    _forget(part)
    if validator := response.headers.get("ETag") or response.headers.get("Last-Modified"):
        _beside(part, ".validator").write_text(validator)


def _copy(response: HTTPResponse, file: IO[bytes], start: int, total: int | None, url: str) -> None:
    with _progress() as progress:
        task = progress.add_task(url.rsplit("/", 1)[-1], total=total, completed=start)
        while block := response.read(_BLOCK):
            file.write(block)
            progress.advance(task, len(block))


def _progress() -> Progress:
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    hidden = not (console.is_terminal or console.is_jupyter)
    return Progress(*columns, console=console, transient=True, disable=hidden)


def _reason(error: Exception) -> str:
    reason = getattr(error, "reason", None) or error
    text = getattr(reason, "strerror", None) or str(reason) or type(error).__name__
    return f"HTTP {error.code}, {text}" if isinstance(error, urllib.error.HTTPError) else text


def _forget(part: Path) -> None:
    part.unlink(missing_ok=True)
    _beside(part, ".validator").unlink(missing_ok=True)


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
