"""A server on the loopback that can cut a connection."""

import http.server
import re
import socket
import threading
import time

import pytest


class Server(http.server.ThreadingHTTPServer):
    """Serve one content at every path, with ranges, and cut the first ``cuts`` answers after ``cut_after`` bytes.

    Each answer waits for ``pause`` seconds in its middle.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = b""
        self.etag = '"1"'
        self.cuts = 0
        self.cut_after = 0
        self.pause = 0.0
        self.ranges: list[str | None] = []

    def url(self, file: str) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/{file}"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.server.ranges.append(wanted)
        if self.path.endswith("missing"):
            self.send_error(404)
            return
        start = int(re.match(r"bytes=(\d+)-", wanted)[1]) if wanted else 0
        if self.headers.get("If-Range") != self.server.etag:
            start = 0
        if start and start >= len(self.server.content):
            self.send_error(416)
            return
        self.answer(self.server.content[start:], start)

    def answer(self, body: bytes, start: int) -> None:
        self.send_response(206 if start else 200)
        if start:
            self.send_header(
                "Content-Range", f"bytes {start}-{len(self.server.content) - 1}/{len(self.server.content)}"
            )
        self.send_header("Content-Length", str(len(body)))
        if self.server.etag:
            self.send_header("ETag", self.server.etag)
        self.end_headers()
        if self.server.cuts > 0:
            self.server.cuts -= 1
            body = body[: self.server.cut_after]
        middle = len(body) // 2
        self.wfile.write(body[:middle])
        time.sleep(self.server.pause)
        self.wfile.write(body[middle:])

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def dead_url():
    """Return an address where nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}/data.zip"
