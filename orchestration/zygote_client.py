"""The supervisor's side of the zygote: starts it, sends requests without waiting, and hands out replies.

Owns the socket between the two and what is in flight on it. Leaves to the supervisor when to start another one.
"""

from __future__ import annotations

import os
import shutil
import socket
import sys
import tempfile
from collections import deque
from collections.abc import Mapping

import msgspec

from .limits import Limits
from .spawning import spawn
from .zygote import MESSAGE_BYTES_MAX, TITLE_ROOM, ForkReply, ForkRequest


class ZygoteClient:
    """One running zygote. `in_flight` maps the ids of unanswered requests to the places that they are for."""

    def __init__(self, entry: str, environ: Mapping[str, str], cwd: str, output: int) -> None:
        self._stage = tempfile.mkdtemp(prefix="twelvefold-")
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        # -P: modules beside the Procfile must not take the place of the framework's dependencies.
        argv = [sys.executable, "-P", "-m", "twelvefold.orchestration.zygote"]
        argv += [str(os.getpid()), entry, self._stage, TITLE_ROOM]
        with theirs:
            self.pid = spawn(argv, {**environ, "SPT_NOENV": "1"}, cwd, output, share=theirs.fileno())
        self.in_flight: dict[int, str] = {}
        self.ready = False
        self._socket = ours
        self._unsent: deque[tuple[bytes, int]] = deque()
        self._last_id = 0

    def fileno(self) -> int:
        """The descriptor to poll: readable where a reply waits, writable where `wants_to_write` was told."""
        return self._socket.fileno()

    @property
    def wants_to_write(self) -> bool:
        """Whether requests wait for room in the socket; `flush` sends them."""
        return bool(self._unsent)

    def request(
        self,
        key: str,
        arguments: list[str],
        environ: dict[str, str],
        cwd: str,
        title: str,
        output: int,
        limits: Limits | None = None,
        cgroup: str = "",
    ) -> None:
        """Ask for an agent; takes the descriptor `output` over and closes it once it is sent."""
        self._last_id += 1
        self.in_flight[self._last_id] = key
        request = ForkRequest(self._last_id, arguments, environ, cwd, title, limits, cgroup)
        self._unsent.append((msgspec.json.encode(request), output))
        self.flush()

    def flush(self) -> None:
        """Send what the socket takes."""
        while self._unsent:
            message, output = self._unsent[0]
            try:
                socket.send_fds(self._socket, [message], [output])
            except BlockingIOError:
                return
            except OSError:
                # The zygote is dead; the supervisor learns that from its exit and asks the next one.
                pass
            self._unsent.popleft()
            os.close(output)

    def replies(self) -> list[tuple[str, ForkReply]]:
        """Return the replies that are there, each with the place it is for ("" for the zygote's own)."""
        found: list[tuple[str, ForkReply]] = []
        while True:
            try:
                message = self._socket.recv(MESSAGE_BYTES_MAX)
            except OSError:
                return found
            if not message:
                return found
            reply = msgspec.json.decode(message, type=ForkReply)
            if reply.id == 0:
                self.ready = not reply.error
                self._strike_stage()
            found.append((self.in_flight.pop(reply.id, ""), reply))

    def close(self) -> list[str]:
        """Drop the socket; return the places whose requests were never answered."""
        for _, output in self._unsent:
            os.close(output)
        self._unsent.clear()
        self._socket.close()
        self._strike_stage()
        lost = list(self.in_flight.values())
        self.in_flight.clear()
        return lost

    def _strike_stage(self) -> None:
        """Remove what the zygote needed to get ready: one that was killed meanwhile cannot."""
        shutil.rmtree(self._stage, ignore_errors=True)
