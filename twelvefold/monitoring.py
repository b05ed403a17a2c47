"""Serving metrics and health to monitoring programs: `/metrics`, `/healthz`, `/readyz`, at 127.0.0.1 only.

Owns the addresses and what is answered at each. The server is the one of `prometheus_client`, which answers `/metrics`
too, in the format that the client asks for. Keeps: an answer is always of now, and one that can't be given is an error
with its reason, never an old or an empty one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

import msgspec

from .eventstore.errors import TwelvefoldError
from .monitoring_errors import PortUnusable

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication

    from .health import HealthChecker
    from .metrics import MetricsCollector

HOST = "127.0.0.1"
_JSON = [("Content-Type", "application/json; charset=utf-8"), ("Cache-Control", "no-store")]
_TEXT = [("Content-Type", "text/plain; charset=utf-8"), ("Cache-Control", "no-store")]
_PAGES = ("/metrics", "/healthz", "/readyz")
_NAMES = ("127.0.0.1", "localhost", "[::1]", "::1")


class Monitoring:
    """A server of metrics and health at a port (0: one that is free). Raises PortUnusable.

    `command` is the command line's, for errors. Each request is answered by a thread of its own.
    """

    def __init__(self, collector: MetricsCollector, checker: HealthChecker, port: int, command: str) -> None:
        from prometheus_client.exposition import ThreadingWSGIServer, make_wsgi_app

        self._metrics = make_wsgi_app(collector.registry())
        self._checker = checker
        try:
            self._server: WSGIServer = ThreadingWSGIServer((HOST, port), _Quiet)
        except (OSError, OverflowError) as error:
            raise PortUnusable(port, getattr(error, "strerror", None) or str(error), command) from error
        self._server.set_app(self._answer)
        self.port = int(self._server.server_port)

    @property
    def url(self) -> str:
        """The address under which the pages are."""
        return f"http://{HOST}:{self.port}"

    def serve(self, stop: threading.Event) -> None:
        """Answer requests until `stop` is set."""
        thread = threading.Thread(target=self._server.serve_forever, name="monitoring", daemon=True)
        thread.start()
        try:
            stop.wait()
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join()

    def _answer(self, environ: dict[str, Any], start: StartResponse) -> Iterable[bytes]:
        if environ.get("REQUEST_METHOD") == "HEAD":
            return _without_body(self._page, environ, start)
        return self._page(environ, start)

    def _page(self, environ: dict[str, Any], start: StartResponse) -> Iterable[bytes]:
        path, method = environ.get("PATH_INFO", ""), environ.get("REQUEST_METHOD", "GET")
        if not _is_local(environ.get("HTTP_HOST", "")):
            # A page of the web that has a name lead here reads nothing (DNS rebinding).
            return _say(start, HTTPStatus.FORBIDDEN, f"only {HOST} and localhost are served here")
        if path not in _PAGES:
            status = HTTPStatus.OK if path == "/" else HTTPStatus.NOT_FOUND
            return _say(start, status, "\n".join(_PAGES))
        if method != "GET":
            return _say(start, HTTPStatus.METHOD_NOT_ALLOWED, f"{method} is not served", ("Allow", "GET, HEAD"))
        answer: WSGIApplication = {"/metrics": self._metrics, "/healthz": self._health, "/readyz": self._ready}[path]
        try:
            # A query could choose among metrics, which aren't known before they are collected: all are told.
            return answer({**environ, "QUERY_STRING": ""}, start)
        except TwelvefoldError as error:
            return _say(start, HTTPStatus.SERVICE_UNAVAILABLE, f"error[{error.code}]: {error.message()}")

    def _health(self, environ: dict[str, Any], start: StartResponse) -> Iterable[bytes]:
        found = self._checker.check_system_health()
        status = HTTPStatus.OK if found.healthy else HTTPStatus.SERVICE_UNAVAILABLE
        return _reply(start, status, _JSON, msgspec.json.encode(found) + b"\n")

    def _ready(self, environ: dict[str, Any], start: StartResponse) -> Iterable[bytes]:
        found = self._checker.check_system_health()
        status = HTTPStatus.OK if found.ready else HTTPStatus.SERVICE_UNAVAILABLE
        said = {"ready": found.ready, "status": found.status, "problems": [one.message for one in found.problems]}
        return _reply(start, status, _JSON, msgspec.json.encode(said) + b"\n")


class _Quiet(WSGIRequestHandler):
    """Says nothing of each request: a scrape every few seconds is no news. Who says nothing itself is hung up on."""

    timeout = 30

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


def _without_body(page: WSGIApplication, environ: dict[str, Any], start: StartResponse) -> Iterable[bytes]:
    """Answer HEAD as GET is answered, but for the body."""
    begun: list[tuple[str, list[tuple[str, str]]]] = []

    def note(status: str, headers: list[tuple[str, str]], _: Any = None) -> Callable[[bytes], object]:
        begun.append((status, headers))
        return lambda body: None

    length = sum(map(len, page({**environ, "REQUEST_METHOD": "GET"}, note)))
    status, headers = begun[-1]
    kept = [(name, value) for name, value in headers if name.lower() != "content-length"]
    start(status, [*kept, ("Content-Length", str(length))])
    return []


def _is_local(host: str) -> bool:
    """Tell whether a request names this machine itself; one of HTTP/1.0 need not name any."""
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
    return name.lower() in ("", *_NAMES)


def _say(start: StartResponse, status: HTTPStatus, text: str, *headers: tuple[str, str]) -> Iterable[bytes]:
    return _reply(start, status, [*_TEXT, *headers], text.encode() + b"\n")


def _reply(start: StartResponse, status: HTTPStatus, headers: list[tuple[str, str]], body: bytes) -> Iterable[bytes]:
    start(f"{status.value} {status.phrase}", [*headers, ("Content-Length", str(len(body)))])
    return [body]
