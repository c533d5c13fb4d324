"""The downloader against a server on the loopback."""

import hashlib
import random
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from graphmi.data.sources.download import DownloadError, cache_folder, download, file_sha256

CONTENT = random.Random(0).randbytes(1_000_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def url(server):
    server.content = CONTENT
    return server.url("data.bin")


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_known_hash_is_checked(url, tmp_path):
    target = download(url, tmp_path / "new" / "data.bin", sha256=SHA256)
    assert target.read_bytes() == CONTENT
    assert names(tmp_path / "new") == ["data.bin"]
    assert file_sha256(target) == SHA256


def test_a_wrong_hash_leaves_nothing_behind(url, tmp_path):
    with pytest.raises(DownloadError, match=f"data.bin has sha256 {SHA256} instead of {'0' * 64}, and was discarded"):
        download(url, tmp_path / "data.bin", sha256="0" * 64)
    assert names(tmp_path) == []


def test_a_cut_connection_is_resumed(server, url, tmp_path):
    server.cuts, server.cut_after = 2, 300_000
    download(url, tmp_path / "data.bin", sha256=SHA256)
    assert server.ranges == [None, "bytes=300000-", "bytes=600000-"]


def test_a_later_call_resumes(server, url, tmp_path):
    server.cuts, server.cut_after = 1, 400_000
    (tmp_path / "data.bin.part").write_bytes(CONTENT[:400_000])
    (tmp_path / "data.bin.part.validator").write_text(server.etag)
    server.cuts = 0
    download(url, tmp_path / "data.bin", sha256=SHA256)
    assert server.ranges == ["bytes=400000-"]
    assert names(tmp_path) == ["data.bin"]


@pytest.mark.parametrize("validator", ['"older"', None])
def test_a_part_of_other_content_is_not_continued(server, url, tmp_path, validator):
    (tmp_path / "data.bin.part").write_bytes(b"x" * 400_000)
    if validator:
        (tmp_path / "data.bin.part.validator").write_text(validator)
    download(url, tmp_path / "data.bin", sha256=SHA256)


def test_a_part_that_is_too_long_starts_again(server, url, tmp_path):
    (tmp_path / "data.bin.part").write_bytes(b"x" * 2_000_000)
    (tmp_path / "data.bin.part.validator").write_text(server.etag)
    download(url, tmp_path / "data.bin", sha256=SHA256)
    assert server.ranges == ["bytes=2000000-", None]


def wait_for(part):
    end = time.monotonic() + 5
    while not (part.exists() and part.stat().st_size) and time.monotonic() < end:
        time.sleep(0.005)


def test_two_that_download_the_same_file_wait_for_one_another(server, url, tmp_path):
    server.pause = 0.3
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(download, url, tmp_path / "data.bin")
        wait_for(tmp_path / "data.bin.part")
        second = pool.submit(download, url, tmp_path / "data.bin")
    assert first.result() == second.result()
    assert first.result().read_bytes() == CONTENT
    assert server.ranges == [None]  # the second took what the first had got
    assert names(tmp_path) == ["data.bin", "data.bin.sha256"]


def test_after_a_failure_those_who_waited_go_on_one_by_one(server, url, tmp_path):
    server.etag, server.pause, server.cuts, server.cut_after = "", 0.1, 2, 600_000  # the first is given up
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(download, url, tmp_path / "data.bin")
        wait_for(tmp_path / "data.bin.part")
        others = [pool.submit(download, url, tmp_path / "data.bin") for _ in range(3)]
    assert isinstance(first.exception(), DownloadError)
    assert [other.result().read_bytes() == CONTENT for other in others] == [True] * 3
    assert len(server.ranges) == 3  # two of the first, and one for all others


def test_a_part_that_somebody_else_wrote_to_is_not_accepted(server, url, tmp_path):
    server.pause = 0.1
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(download, url, tmp_path / "data.bin")
        wait_for(tmp_path / "data.bin.part")
        with (tmp_path / "data.bin.part").open("ab") as part:
            part.write(CONTENT)
    assert running.result().read_bytes() == CONTENT


def test_a_server_that_always_cuts_is_given_up(server, url, tmp_path):
    server.etag, server.cuts, server.cut_after = "", 10, 1000
    with pytest.raises(DownloadError, match="the connection was cut after 1,000 of 1,000,000 bytes"):
        download(url, tmp_path / "data.bin", sha256=SHA256)
    assert not (tmp_path / "data.bin").exists()
    assert len(server.ranges) == 2


def test_the_first_hash_is_trusted(server, url, tmp_path):
    target = download(url, tmp_path / "data.bin")
    assert (tmp_path / "data.bin.sha256").read_text() == f"{SHA256}  data.bin\n"
    target.unlink()
    server.content = b"changed"
    with pytest.raises(DownloadError, match=f"instead of {SHA256}, and was discarded; delete .*sha256 if"):
        download(url, target)
    assert names(tmp_path) == ["data.bin.sha256"]


def test_what_is_not_there(server, tmp_path, dead_url):
    with pytest.raises(DownloadError, match="missing: HTTP 404"):
        download(server.url("missing"), tmp_path / "data.bin")
    with pytest.raises(DownloadError, match="Connection refused"):
        download(dead_url, tmp_path / "data.bin")
    with pytest.raises(DownloadError, match="only http and https"):
        download("file:///etc/hostname", tmp_path / "data.bin")
    assert names(tmp_path) == []


def test_cache_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("GRAPHMI_DATA", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("GRAPHMI_DATA")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "graphmi"
