"""A local OpenAI-style service that behaves as it is told, request by request, for the tests of models."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

#: Answers one request, which is the body's object, through the handler.
Behaviour = Callable[["Handler", dict[str, Any]], None]


class Handler(BaseHTTPRequestHandler):
    """Hands each request to the service's next behaviour; the last one answers all that follow."""

    protocol_version = "HTTP/1.1"
    service: Service

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        asked = json.loads(raw)
        with self.service.lock:
            self.service.asked.append(asked)
            self.service.headers.append({name.lower(): value for name, value in self.headers.items()})
            self.service.paths.append(self.path)
            behaviours = self.service.behaviours
            behave = behaviours.pop(0) if len(behaviours) > 1 else behaviours[0]
        behave(self, asked)

    def send(self, status: int, body: bytes, kind: str = "application/json", **headers: str) -> None:
        """Send a whole answer."""
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def begin_stream(self) -> None:
        """Begin a stream of server-sent events, in chunks."""
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def chunk(self, data: str) -> None:
        """Send one chunk; an empty one ends the stream."""
        raw = data.encode()
        self.wfile.write(f"{len(raw):x}\r\n".encode() + raw + b"\r\n")
        self.wfile.flush()

    def cut(self) -> None:
        """Break the connection."""
        self.wfile.flush()
        self.connection.close()
        self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


class Service:
    """The service: `behaviours` in turn; `asked`, `headers` and `paths` of the requests so far."""

    def __init__(self) -> None:
        self.behaviours: list[Behaviour] = [text("hello")]
        self.asked: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.lock = threading.Lock()
        #: Set at the end, so that a behaviour that waits for it doesn't outlive the test.
        self.over = threading.Event()
        handler = type("OwnHandler", (Handler,), {"service": self})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *_: None  # type: ignore[method-assign]  clients that give up are meant
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}/v1"

    def will(self, *behaviours: Behaviour) -> None:
        """Behave so from now on; the last one stays."""
        self.behaviours = list(behaviours)

    def close(self) -> None:
        self.over.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


def body(text: str | None = "hello", usage: bool = True, **message: Any) -> dict[str, Any]:
    """A whole reply's body."""
    finish = "tool_calls" if message.get("tool_calls") else "stop"
    found: dict[str, Any] = {
        "id": "1",
        "object": "chat.completion",
        "model": "served",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": text, **message}, "finish_reason": finish}
        ],
    }
    if usage:
        found["usage"] = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
    return found


def text(said: str | None, **more: Any) -> Behaviour:
    """Answer with a text in one body, whatever was asked for."""
    return lambda handler, asked: handler.send(200, json.dumps(body(said, **more)).encode())


def raw(status: int, content: bytes | str, kind: str = "application/json", **headers: str) -> Behaviour:
    """Answer with these bytes."""
    data = content.encode() if isinstance(content, str) else content
    return lambda handler, asked: handler.send(status, data, kind, **headers)


def refusing(status: int, said: str, **headers: str) -> Behaviour:
    """Answer with an error."""
    return raw(status, json.dumps({"error": {"message": said, "type": "some_error"}}), **headers)


def stream(*parts: dict[str, Any] | str, done: bool = True, cut: bool = False) -> Behaviour:
    """Answer with a stream of these parts; `cut` breaks the connection in its midst."""

    def behave(handler: Handler, asked: dict[str, Any]) -> None:
        handler.begin_stream()
        for part in parts:
            handler.chunk(f"data: {part if isinstance(part, str) else json.dumps(part)}\n\n")
        if cut:
            handler.cut()
            return
        if done:
            handler.chunk("data: [DONE]\n\n")
        handler.chunk("")

    return behave


def part(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    """One part of a stream."""
    return {"model": "served", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


class Behaviours:
    """The ways to behave, for tests."""

    text = staticmethod(text)
    raw = staticmethod(raw)
    refusing = staticmethod(refusing)
    stream = staticmethod(stream)
    part = staticmethod(part)
    body = staticmethod(body)


@pytest.fixture
def behave() -> type[Behaviours]:
    """The ways in which the service may behave."""
    return Behaviours


@pytest.fixture
def service() -> Iterator[Service]:
    """A service on a port of its own."""
    made = Service()
    yield made
    made.close()
