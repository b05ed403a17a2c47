"""Pages of the log for clients: bounded in events and in bytes, so that one reader costs the bus bounded memory."""

from __future__ import annotations

from ..eventstore.event import Event
from ..eventstore.log import EventLog
from .wire import Read

PAGE_EVENTS_MAX = 8000
PAGE_BYTES_MAX = 4 * 1024 * 1024
#: Read at once before sizes are looked at: with payloads of at most 1 MiB this is the worst that one page can cost.
_CHUNK = 32


def read_page(log: EventLog, read: Read) -> tuple[list[Event], bool]:
    """Return one page and whether more may follow; raises the log's storage errors."""
    wanted = min(read.limit, PAGE_EVENTS_MAX)
    events: list[Event] = []
    after, until, size, chunk = read.after, read.until, 0, _CHUNK
    while len(events) < wanted and size < PAGE_BYTES_MAX:
        limit = min(chunk, wanted - len(events))
        part = log.read(
            after=after, until=until, limit=limit, stream=read.stream, type=read.pattern, run=read.run, to=read.to,
            source=read.source, reverse=read.reverse,
        )  # fmt: skip
        events += part
        if len(part) < limit:
            return events, False
        size += sum([len(event.payload or "") + 256 for event in part])
        if read.reverse:
            until = part[-1].position - 1
        else:
            after = part[-1].position
        # The next chunk is as large as the sizes so far allow.
        chunk = max(_CHUNK, min(PAGE_EVENTS_MAX, (PAGE_BYTES_MAX - size) * len(events) // size))
    return events, True
