"""How commands reach a running supervisor: one JSON request and its reply over ZeroMQ, in the home's socket folder.

Owns both ends. Only the user can enter that folder (`bus/endpoints.py` sees to it). What isn't a request is dropped.
A reply may take as long as what was asked for does; the client meanwhile sees to it that the supervisor lives.
"""

from __future__ import annotations

import os
import select
import time
from pathlib import Path
from typing import Any, Literal

import msgspec
import zmq

from ..bus.endpoints import Endpoints, endpoints
from ..eventstore.errors import TwelvefoldError, error_classes
from .background import BackgroundAgent
from .errors import ControlTimeout, NotUp, SupervisorRefused
from .home_lock import holder_of
from .procfile import ProcfileLine

Operation = Literal[
    "ps", "down", "start", "stop", "restart", "scale", "wait", "join", "add", "spawn", "remove", "pause", "resume"
]
_REQUEST_BYTES_MAX = 1024 * 1024
_LOOK_EVERY_S = 0.5


class ControlRequest(msgspec.Struct, frozen=True):
    """What a command wants: `names` are NAME or NAME.N, `count` is scale's.

    `spawn` starts a background `agent`, `remove` ends some; `pause` and `resume` are for agents of any kind.
    `add` takes in `lines`, and starts as many of each as `counts` say by name (one), if fewer are there.
    """

    op: Operation
    names: tuple[str, ...] = ()
    count: int = 0
    agent: BackgroundAgent | None = None
    lines: tuple[ProcfileLine, ...] = ()
    counts: dict[str, int] = {}


class ControlReply(msgspec.Struct, frozen=True):
    """The value asked for, or an error's code and facts."""

    value: Any = None
    code: str = ""
    facts: dict[str, Any] = {}


class ProcessStatus(msgspec.Struct, frozen=True):
    """One place as the supervisor sees it; `since` is a Unix time, `exit` as in `ProcessTable.exited`.

    `excess` says which limit ended its last process (reason, limit, used); it is empty where none did. `on_bus` tells
    that its command runs an agent or the orchestrator, which connects to the bus as `instance`.
    """

    name: str
    pid: int | None
    state: str
    since: float
    restarts: int
    exit: int | None
    instance: str = ""
    waits_for: str = ""
    excess: dict[str, Any] = {}
    paused: bool = False
    on_bus: bool = False


class ControlServer:
    """The supervisor's end."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], where: Endpoints) -> None:
        self._socket = context.socket(zmq.ROUTER)
        self._socket.setsockopt(zmq.LINGER, 500)
        self._socket.setsockopt(zmq.MAXMSGSIZE, _REQUEST_BYTES_MAX)
        Path(where.control.removeprefix("ipc://")).unlink(missing_ok=True)
        self._socket.bind(where.control)
        self.dropped = 0

    def fileno(self) -> int:
        """The descriptor that becomes readable when something came (only then: call `requests` until it is empty)."""
        return int(self._socket.getsockopt(zmq.FD))

    def requests(self) -> list[tuple[bytes, ControlRequest, int]]:
        """Return what was asked, each with the address for its answer and the pid of who asks."""
        found: list[tuple[bytes, ControlRequest, int]] = []
        while int(self._socket.getsockopt(zmq.EVENTS)) & zmq.POLLIN:
            frames = self._socket.recv_multipart(zmq.NOBLOCK, copy=False)
            try:
                address, empty, body = (frame.bytes for frame in frames)
                if empty:
                    raise ValueError
                found.append((address, msgspec.json.decode(body, type=ControlRequest), _peer_of(frames[-1])))
            except (ValueError, msgspec.DecodeError):
                self.dropped += 1
        return found

    def answer(self, address: bytes, value: Any = None) -> None:
        """Answer one request."""
        self._send(address, ControlReply(value))

    def refuse(self, address: bytes, error: TwelvefoldError) -> None:
        """Answer one request with an error."""
        self._send(address, ControlReply(None, error.code, error.facts()))

    def close(self) -> None:
        """Send what is left and close."""
        self._socket.close()

    def _send(self, address: bytes, reply: ControlReply) -> None:
        self._socket.send_multipart([address, b"", msgspec.json.encode(reply)])


def _peer_of(frame: zmq.Frame) -> int:
    """Return the pid of the process at the other end, as the kernel has told ZeroMQ; 0 where it hasn't."""
    try:
        pid = str(frame.get("Peer-Address")).rpartition(":")[2]
    except zmq.ZMQError:
        return 0
    return int(pid) if pid.isdigit() else 0


def ask(home: Path, runtime_dir: Path | None, request: ControlRequest, *, timeout_s: float | None = 10.0) -> Any:
    """Ask the supervisor of a home and return its answer.

    Raises NotUp where there is none or it ends meanwhile, ControlTimeout, or the error that it answers with.
    """
    holder = holder_of(home)
    if holder is None:
        raise NotUp(str(home))
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    socket = context.socket(zmq.REQ)
    socket.setsockopt(zmq.LINGER, 0)
    try:
        # Who asks may have another environment than who started it, as by cron: where it is counts.
        where = Path(holder.runtime_dir) if holder.runtime_dir else runtime_dir
        socket.connect(endpoints(home, where).control)
        socket.send(msgspec.json.encode(request))
        while True:
            left = _LOOK_EVERY_S if deadline is None else min(_LOOK_EVERY_S, deadline - time.monotonic())
            if left > 0 and socket.poll(int(left * 1000) + 1):
                return _opened(socket.recv())
            if holder_of(home) is None:
                raise NotUp(str(home))
            if left <= 0:
                raise ControlTimeout(request.op, holder.pid, timeout_s or 0.0)
    finally:
        socket.close()
        context.term()


def await_end(home: Path, pid: int, timeout_s: float) -> None:
    """Wait until the supervisor with this pid has let go of its home; raises ControlTimeout."""
    deadline = time.monotonic() + timeout_s
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        if not select.select([handle], [], [], max(0.0, deadline - time.monotonic()))[0]:
            raise ControlTimeout("down", pid, timeout_s)
    finally:
        os.close(handle)


def _opened(body: bytes) -> Any:
    """Return a reply's value, or raise what it says."""
    reply = msgspec.json.decode(body, type=ControlReply)
    if not reply.code:
        return reply.value
    cls = error_classes().get(reply.code)
    if cls is None:
        raise SupervisorRefused(f"{reply.code}: {reply.facts}")
    raise cls(**{name: tuple(v) if isinstance(v, list) else v for name, v in reply.facts.items()})
