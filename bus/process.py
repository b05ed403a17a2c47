"""The bus as a process: opens the log, writes this start's secrets, serves until SIGTERM or SIGINT.

Owns what belongs to a process: file limits, signals, exit status. One home has one bus: the log's lock says so before
any socket is touched.
"""

from __future__ import annotations

import gc
import resource
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from ..eventstore.blobs import BlobStore
from ..eventstore.sqlite_log import Durability, SqliteLog
from .broker import Broker, Options
from .endpoints import Endpoints
from .keys import remove_keys, write_keys

#: Two descriptors an agent, and room for the log; lowered to what the system allows.
FILES_MIN = 8192
#: Objects made, and not freed, between two searches for garbage: the bus makes hardly any cycles, and a turn makes
#: thousands of objects that live until its commit.
GARBAGE_AFTER_OBJECTS = 50_000


def main(
    home: Path,
    endpoints: Endpoints,
    durability: Durability = "full",
    options: Options | None = None,
    *,
    ready: Callable[[], None] | None = None,
    page_count_max: int | None = None,
    keys: dict[str, str] | None = None,
) -> int:
    """Serve the bus of a home until a signal ends it, and return the exit status (0).

    `ready` is called once clients can connect; `page_count_max` limits the log's file, in pages of 4 KiB. `keys` are
    the secrets of roles that a supervisor has made; without, they are made and written below the home. Call it from the
    main thread. Raises LogLocked where another bus has the home, and any error of opening the log or making the
    sockets.
    """
    raise_file_limit(FILES_MIN)
    log = SqliteLog(home / "log.db", durability=durability, page_count_max=page_count_max)
    try:
        blobs = BlobStore(home / "blobs")
        blobs.collect(log.blob_names(), time.time())
        if keys is not None:
            remove_keys(home)
        broker = Broker(endpoints, log, blobs, keys or write_keys(home), options or Options())
        try:
            _serve(broker, ready)
        finally:
            broker.close()
    finally:
        log.close()
    return 0


def _serve(broker: Broker, ready: Callable[[], None] | None) -> None:
    reader, writer = socket.socketpair()
    reader.setblocking(False)
    writer.setblocking(False)

    def stop(signum: int, frame: FrameType | None) -> None:
        broker.stop()

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    # A signal writes a byte, so that a poll that is about to start notices it too.
    fd_before = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    try:
        if ready is not None:
            ready()
        # What was made so far stays for good: it need not be searched.
        gc.freeze()
        gc.set_threshold(GARBAGE_AFTER_OBJECTS)
        broker.run(reader)
    finally:
        signal.set_wakeup_fd(fd_before)
        for number, handler in before.items():
            signal.signal(number, handler)
        reader.close()
        writer.close()


def raise_file_limit(wanted: int) -> None:
    """Raise the soft limit of open files to `wanted`, or to the hard limit where that is lower."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < limit:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
