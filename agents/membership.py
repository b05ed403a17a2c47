"""Whether an agent takes tasks: it does, but while it is paused. A paused one finishes what it holds.

Owns the membership in its queues. Its supervisor says so by a mark and a signal to look at it
(`orchestration.pausing`), as both need no bus. Invariant: the last word counts, however fast they come.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from ..bus.client import BusClient
from ..bus.errors import ClientClosed
from ..orchestration.pausing import LOOK
from .look_ahead import AHEAD_MIN


class Membership:
    """The membership of one agent in its queues, of which it takes one task at a time.

    Made and begun on the main thread. `mark` is there while it pauses.
    """

    def __init__(self, client: BusClient, queues: Sequence[str], mark: Path) -> None:
        self._client = client
        self._queues = queues
        self._mark = os.fspath(mark)
        self._joined = False
        self._changing = threading.Lock()

    def begin(self) -> None:
        """Join the queues, unless paused; from now on signals are heeded."""
        signal.signal(LOOK, self._on_signal)
        self._follow()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        # By a thread: this one may be inside of the client just now, which a handler must not enter again.
        threading.Thread(target=self._follow, name="membership", daemon=True).start()

    def _follow(self) -> None:
        """Join or leave, until it is as the mark says."""
        with self._changing:
            while self._joined == os.access(self._mark, os.F_OK):
                try:
                    for queue in self._queues:
                        if self._joined:
                            self._client.leave(queue)
                        else:
                            self._client.join(queue, shared=len(self._queues) > 1, ahead=AHEAD_MIN)
                    if self._joined:
                        os.write(2, b"paused: taking no tasks\n")
                except ClientClosed:
                    return  # the process is ending
                self._joined = not self._joined
