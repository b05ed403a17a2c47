"""`LocalEventSystem`: emit and watch in three calls, over the durable bus.

Owns one connection and the thread that calls handlers; order, retries and durability are the bus's.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from .connection import connect_sync
from .eventstore.errors import TwelvefoldError
from .eventstore.event import Event

Handler = Callable[[Event], Any]


class LocalEventSystem:
    """Events between processes of one home: durable before `emit` returns, in order and once for each watcher.

    Handlers (plain or `async`) are called one after the other in a thread of this object. One that raises is called
    again, with growing pauses, and in the end its event is parked, visibly; the next ones pass. Raises BusNotRunning
    where no bus runs. What ends that thread for good (another release of the bus, say) comes up at the next call.
    """

    def __init__(self, home: str | os.PathLike[str] | None = None) -> None:
        self._bus = connect_sync(home)
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._failure: TwelvefoldError | None = None

    def emit(self, event_type: str, data: Any = None, **fields: Any) -> Event:
        """Append one event and return it once it is durable; `fields` as `stream`, `id`, `cause`."""
        self._check()
        return self._bus.emit(event_type, data, **fields)

    def watch(self, event_type: str, handler: Handler, *, name: str | None = None, after: int | None = None) -> None:
        """Call handler with each event of a type, or of a pattern such as `task.*`, from now on or after a position.

        With a `name` the watch is durable: another process that takes the same name goes on where this one ended.
        """
        self._check()
        self._bus.watch(event_type, handler, name=name, after=after)
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(target=self._serve, name="event-handlers", daemon=True)
                self._thread.start()

    def unwatch(self, event_type: str, handler: Handler | None = None) -> None:
        """Call handler no more; without one, end all watches of this type or pattern."""
        self._bus.unwatch(event_type, handler)

    def _serve(self) -> None:
        try:
            self._bus.run()
        except TwelvefoldError as error:
            self._failure = error

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure

    def close(self) -> None:
        """End all watches, wait for a handler that is at work, and leave the bus."""
        self._bus.stop()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()
        self._bus.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
