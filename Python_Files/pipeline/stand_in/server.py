"""The stand-in as an HTTP server on this machine only."""

from __future__ import annotations

import gzip
import hashlib
import re
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from pipeline.stand_in import api
from pipeline.stand_in.faces import PORTRAIT_TYPE, portrait
from pipeline.stand_in.faults import Fault, Faults

_JSON = "application/json; charset=utf-8"
_TEXT = "text/plain; charset=utf-8"
_HTML = "text/html; charset=utf-8"
_PORTRAIT = re.compile(r"/api/portraits/(?:(med|thumb)/)?(men|women)/([0-9]{1,2})\.jpg")
_GATEWAY = "<html><head><title>{0}</title></head><body><center><h1>{0}</h1></center></body></html>"
_REASONS = {502: "502 Bad Gateway", 503: "503 Service Temporarily Unavailable", 504: "504 Gateway Time-out"}


class StandIn(ThreadingHTTPServer):
    """Serves the API and the portraits on 127.0.0.1; ``url`` is what API_URL would be."""

    daemon_threads = True
    block_on_close = False

    def __init__(
        self,
        port: int = 0,
        *,
        faults: Iterable[Fault | str] = (),
        window_records: int = api.WINDOW_RECORDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.faults = Faults(faults)
        self.limit = api.RateLimit(window_records, clock)
        self.asked: list[str] = []  # the path of every API request, in order
        self.closing = threading.Event()
        super().__init__(("127.0.0.1", port), _Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/api/{api.VERSION}/"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is no event."""


class _Handler(BaseHTTPRequestHandler):
    server: StandIn
    protocol_version = "HTTP/1.1"
    timeout = 30

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet: who asks is told what came."""

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        found = _PORTRAIT.fullmatch(parts.path)
        if found:
            size = {"med": "medium", "thumb": "thumbnail"}.get(found[1] or "", "large")
            return self._send(200, PORTRAIT_TYPE, portrait(found[2], int(found[3]), size))
        if parts.path.rstrip("/") not in ("/api", f"/api/{api.VERSION}"):
            return self._send(404, _TEXT, b"Not Found")
        self.server.asked.append(self.path)
        return self._answer(dict(parse_qsl(parts.query, keep_blank_values=True)))

    def _answer(self, asked: dict[str, str]) -> None:
        fault = self.server.faults.next()
        if fault == "slow":
            self.server.closing.wait(60)
            self.close_connection = True
            return None
        if fault in ("502", "503", "504"):
            page = _GATEWAY.format(_REASONS[int(fault)])
            return self._send(int(fault), _HTML, page.encode())
        if fault == "html":
            return self._send(200, _HTML, _GATEWAY.format("Be right back").encode())
        if fault in ("error", "500"):
            return self._send(200 if fault == "error" else 500, _JSON, api.encode(api.ERROR))
        if fault == "empty":
            info = {"seed": "d3adb33f", "results": 1, "page": 1, "version": api.VERSION}
            return self._send(200, _JSON, api.encode({"results": [], "info": info}))
        try:
            query = api.read(asked)
        except api.SeedError:
            return self._send(500, _JSON, api.encode(api.ERROR))
        too_many = self.server.limit.take(self.client_address[0], query.results)
        if fault == "429" or too_many is not None:
            told = (
                f"Whoa, ease up there cowboy. You've requested {too_many or query.results} users in the last minute. "
            )
            told += "Help us keep this service free and spare some bandwidth for other users please :)"
            return self._send(429, _JSON, api.encode({"error": told}))
        if fault == "wrong-page":
            query = query._replace(page=query.page + 1)
        elif fault == "wrong-seed":
            query = query._replace(seed="somebodyelse")
        elif fault == "wrong-count":
            query = query._replace(results=max(query.results - 1, 1) if query.results > 1 else 2)
        response = api.answer(query)
        if fault == "bad-record":
            response["results"][0] = {**response["results"][0], "login": {"password": "hunter2"}}
        body = api.encode(response, pretty=query.pretty)
        if fault == "truncated":
            body = body[: len(body) // 2]
        return self._send(200, _JSON, body, cut=fault == "cut")

    def _send(self, status: int, kind: str, body: bytes, *, cut: bool = False) -> None:
        etag = f'W/"{len(body):x}-{hashlib.sha256(body).hexdigest()[:16]}"'
        packed = not cut and "gzip" in self.headers.get("Accept-Encoding", "") and len(body) > 1024
        packed = packed and kind != PORTRAIT_TYPE
        if packed:
            body = gzip.compress(body, 1, mtime=0)
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Access-Control-Allow-Origin", "*")
        self.send_header("Cache-Control", "no-cache")
        self.send_header("ETag", etag)
        if packed:
            self.send_header("Content-Encoding", "gzip")
        self.end_headers()
        if cut:
            self.wfile.write(body[: len(body) // 2])
            self.wfile.flush()
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
        else:
            self.wfile.write(body)


@contextmanager
def serving(port: int = 0, **how: Any) -> Iterator[StandIn]:
    """A stand-in that serves in this process for as long as the block runs; arguments as of StandIn."""
    server = StandIn(port, **how)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()
