"""What goes out: hints about committed events, and beacons while the log grows.

A hint is only a hint: it carries, for every prefix of its type, the position before it, so that a watcher sees each
hole and reads the log. So hints may be dropped (slow watchers), and nothing is encoded that nobody subscribed to.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import groupby
from operator import attrgetter

import zmq

from ..eventstore.event import Event
from ..eventstore.log import EventLog
from ..eventstore.names import prefixes
from .hint import Hint
from .topics import ALL_TOPIC, BEACON_TOPIC, SYNC_TOPIC, subscription, topic
from .wire import encode

HINT_EVENTS_MAX = 512
#: Payload bytes of one hint; with the socket's high-water mark this bounds the memory that a stopped watcher costs.
HINT_BYTES_MAX = 64 * 1024
BEACON_EVERY_S = 0.5
#: Topics and types remembered at most; beyond, hints of new types make their watchers read the log.
SUBSCRIPTIONS_MAX = 100_000
TYPES_MAX = 100_000
#: As plain numbers: combining the named ones costs as much as sending a message.
NOBLOCK = int(zmq.NOBLOCK)
MORE = NOBLOCK | int(zmq.SNDMORE)
_NOT_OF_TYPES = {ALL_TOPIC, BEACON_TOPIC}

_type_of = attrgetter("type")


class Publisher:
    """The egress socket (XPUB, bound by the caller), the last position under each prefix, and the beacon."""

    def __init__(self, socket: zmq.Socket[bytes], log: EventLog, incarnation: int) -> None:
        self._socket = socket
        self._log = log
        self._incarnation = incarnation
        self._last: dict[str, int] = {}
        self._wanted: set[bytes] = set()
        self._topics: dict[str, tuple[list[str], list[bytes], bytes]] = {}
        self._beaconed = log.head
        self._beacon_at = 0.0
        self.by_type: Counter[str] = Counter()
        self.hints = 0
        self.garbage = 0

    def subscriptions(self) -> None:
        """Take in who subscribes to what; answers each sync topic at once, so its owner knows that it hears us."""
        for _ in range(10_000):
            try:
                frames = self._socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            frame = frames[0]
            if len(frames) > 1 or not frame or frame[0] > 1 or len(frame) > 300:
                self.garbage += 1
            elif frame[0] == 0:
                self._wanted.discard(frame[1:])
            elif frame[1:2] == SYNC_TOPIC:
                self._socket.send_multipart([frame[1:], encode(self._incarnation)], zmq.NOBLOCK)
            elif len(self._wanted) < SUBSCRIPTIONS_MAX:
                self._wanted.add(frame[1:])

    def learn(self, types: set[str]) -> None:
        """Look up the last positions of types that are about to be committed; must come before their commit."""
        for type in types - self._topics.keys():
            if len(self._topics) >= TYPES_MAX:
                return
            patterns = prefixes(type)
            for pattern in patterns:
                if pattern not in self._last:
                    self._last[pattern] = self._log.last_position(pattern)
            self._topics[type] = (patterns, [b"", *map(subscription, patterns[1:])], topic(type))

    def last_position(self, pattern: str) -> int:
        """Return the last position under a pattern, from memory where it is known."""
        known = self._last.get(pattern)
        return self._log.last_position(pattern) if known is None else known

    def publish(self, events: Sequence[Event]) -> None:
        """Publish committed events, in the log's order: all together, and as runs of one type."""
        last, wanted = self._last, self._wanted
        if ALL_TOPIC in wanted and events:
            self._publish_run([events[0].position - 1], ALL_TOPIC, list(events))
        for type, group in groupby(events, _type_of):
            run = list(group)
            known = self._topics.get(type)
            self.by_type[type if known else "*"] += len(run)
            patterns, wishes, name = known or (prefixes(type), None, topic(type))
            if not (wanted <= _NOT_OF_TYPES if wishes is None else wanted.isdisjoint(wishes)):
                # A previous position one below the first makes every watcher that missed anything read the log.
                missing = run[0].position - 1
                self._publish_run([last.get(pattern, missing) for pattern in patterns], name, run)
            if not known:
                # What is remembered of its wider prefixes must not fall behind: a hole would go unnoticed.
                patterns = [pattern for pattern in patterns if pattern in last]
            last.update(dict.fromkeys(patterns, run[-1].position))

    def _publish_run(self, previous: list[int], name: bytes, run: list[Event]) -> None:
        start, size = 0, 0
        for index, event in enumerate(run):
            size += len(event.payload or "")
            if size >= HINT_BYTES_MAX or index - start + 1 >= HINT_EVENTS_MAX or index + 1 == len(run):
                part = run[start : index + 1]
                hint = Hint(previous, part[0].position, event.position, part if size < 2 * HINT_BYTES_MAX else [])
                self._socket.send(name, MORE)
                self._socket.send(encode(hint), NOBLOCK)
                self.hints += 1
                previous = [event.position] * len(previous)
                start, size = index + 1, 0

    def beacon_due(self, now: float) -> float | None:
        """Return when the next beacon is due; None while the log rests."""
        if self._log.head == self._beaconed:
            return None
        if not self._beacon_at:
            self._beacon_at = now + BEACON_EVERY_S
        return self._beacon_at

    def beacon(self, now: float) -> None:
        """Send a beacon if one is due; once the log rests, that was the last one."""
        due = self.beacon_due(now)
        if due is not None and now >= due:
            self._beacon_at = 0.0
            self._beaconed = self._log.head
            self._socket.send_multipart((BEACON_TOPIC, encode(self._beaconed)), zmq.NOBLOCK)
