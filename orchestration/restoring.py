"""Has files restored beside the orchestrator's loop: git takes its time, and deciding goes on meanwhile.

Owns one thread and the way back from it. What is done is another level's, known here by name only. May be killed at any
instruction: what was ordered stands in the log, and doing it again comes to the same.
"""

from __future__ import annotations

import queue
import threading
import traceback
from collections import deque
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from ..eventstore.errors import TwelvefoldError
from .orchestrator import Restore

#: Restores the files of a run: called with the home, the run's id and the position; returns what came of it.
RESTORE = "agents.restoring:restore_run"
_THREAD = "restoring"


class Restorer:
    """Restores the files of runs of one home, one after the other; `wake` is called, from its thread, after each."""

    def __init__(self, home: Path, wake: Callable[[], None], restore: str = RESTORE) -> None:
        self._home = home
        self._wake = wake
        self._restore = restore
        self._ordered: queue.SimpleQueue[Restore] = queue.SimpleQueue()
        self._done: deque[tuple[Restore, dict[str, Any]]] = deque()
        self._under_way: set[Restore] = set()
        self._thread: threading.Thread | None = None

    @property
    def is_due(self) -> bool:
        """Whether there is something to take."""
        return bool(self._done)

    def order(self, restores: dict[str, Restore]) -> None:
        """Take over what is to be restored; what is under way already is not begun again."""
        for restore in restores.values():
            if restore not in self._under_way:
                self._under_way.add(restore)
                self._ordered.put(restore)
        if restores and self._thread is None:
            # As a daemon: nobody waits for git when the orchestrator is to end.
            self._thread = threading.Thread(target=self._work, name=_THREAD, daemon=True)
            self._thread.start()
        restores.clear()

    def take(self) -> list[tuple[Restore, dict[str, Any]]]:
        """Return what was restored, with what came of each."""
        taken = [self._done.popleft() for _ in range(len(self._done))]
        self._under_way.difference_update(restore for restore, _ in taken)
        return taken

    def _work(self) -> None:
        while True:
            restore = self._ordered.get()
            self._done.append((restore, self._restored(restore)))
            self._wake()

    def _restored(self, restore: Restore) -> dict[str, Any]:
        module, _, name = self._restore.partition(":")
        try:
            do = getattr(import_module(f"..{module}", __package__), name)
            facts: dict[str, Any] = do(self._home, restore.run, restore.to)
        except Exception as error:  # noqa: BLE001 - whatever it is, a human is told, and may have it tried again
            told = error.message() if isinstance(error, TwelvefoldError) else traceback.format_exc(limit=-4)
            problem = {"state": "failed", "problem": f"the files could not be restored: {told}"}
            return {"workspaces": [problem], "branches": []}
        return facts
