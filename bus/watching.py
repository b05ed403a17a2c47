"""All watches of one client: what to subscribe to, and which watch a published message is for. Without I/O."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from ..eventstore.errors import UpcastFailed
from ..eventstore.names import prefixes
from .hint import Hint, decode_hint
from .topics import ALL_TOPIC, BEACON_TOPIC, SYNC_TOPIC, subscription
from .watch import WatchState
from .wire import WireError

if TYPE_CHECKING:
    from .machine import Machine

TOPICS_MAX = 10_000


class Watching:
    """The watches of one machine. `nonce` is unique to this client."""

    def __init__(self, machine: Machine, nonce: bytes) -> None:
        self._machine = machine
        self._nonce = nonce
        #: Subscriptions to make (True) or end, in order.
        self.subscriptions: deque[tuple[bool, bytes]] = deque()
        self._watches: dict[str, list[WatchState]] = {}
        self._of_topic: dict[bytes, list[tuple[int, WatchState]]] = {}
        self._sync = b""
        self._syncs = 0

    def __bool__(self) -> bool:
        return bool(self._watches)

    @property
    def is_full(self) -> bool:
        """Tell whether some watch takes no more hints until something has been taken from it."""
        return any(watch.is_full for watches in self._watches.values() for watch in watches)

    def watch(self, pattern: str, name: str, after: int | None) -> WatchState:
        """Start a watch; see WatchState."""
        state = WatchState(self._machine, pattern, name, after)
        if pattern not in self._watches:
            self.subscriptions.append((True, subscription(pattern)))
        self._watches.setdefault(pattern, []).append(state)
        self._of_topic.clear()
        if not self._sync:
            self.subscriptions.append((True, BEACON_TOPIC))
        else:
            self.subscriptions.append((False, self._sync))
        # The bus answers this subscription at once, and has all those before it by then: hints are on.
        self._syncs += 1
        self._sync = SYNC_TOPIC + self._nonce + self._syncs.to_bytes(4, "big")
        self.subscriptions.append((True, self._sync))
        return state

    def unwatch(self, state: WatchState) -> None:
        """End a watch."""
        state.closed = True
        found = self._watches.get(state.pattern, [])
        if state in found:
            found.remove(state)
            if not found:
                del self._watches[state.pattern]
                self.subscriptions.append((False, subscription(state.pattern)))
        self._of_topic.clear()

    def hinted(self, frames: Sequence[bytes], now: float) -> None:
        """Take in one published message; what is none is counted by the machine."""
        try:
            topic, payload = frames
            if topic == BEACON_TOPIC:
                self._machine.see_head(msgspec.msgpack.decode(payload, type=int))
            elif topic.startswith(SYNC_TOPIC):
                if topic == self._sync:
                    self.check()
            else:
                watchers = self._of_topic.get(topic)
                if watchers is None:
                    watchers = self._watchers_of(topic)
                if watchers:
                    hint = self._lifted(decode_hint(payload))
                    self._machine.heard(hint.events)
                    for index, watch in watchers:
                        watch.hint(hint.previous[index], hint, len(payload), now)
        except (*WireError, ValueError, IndexError):
            self._machine.garbage += 1

    def _lifted(self, hint: Hint) -> Hint:
        """Return a hint with lifted events; without any where one cannot be: reading then tells the watch why."""
        try:
            events = self._machine.lifted(hint.events)
        except UpcastFailed:
            events = []
        return hint if events is hint.events else msgspec.structs.replace(hint, events=events)

    def _watchers_of(self, topic: bytes) -> list[tuple[int, WatchState]]:
        if len(self._of_topic) > TOPICS_MAX:
            self._of_topic.clear()
        if topic == ALL_TOPIC:
            found = [(0, watch) for watch in self._watches.get("*", ())]
        else:
            found = [
                (index, watch)
                for index, pattern in enumerate(prefixes(topic[:-1].decode()))
                for watch in self._watches.get(pattern, ())
                if index
            ]
        self._of_topic[topic] = found
        return found

    def check(self) -> None:
        """Have every watch ask whether it missed something."""
        for watches in self._watches.values():
            for watch in watches:
                watch.check()

    def tick(self, now: float) -> None:
        """Let time pass."""
        abandoned = []
        for watches in self._watches.values():
            for watch in watches:
                if watch.abandoned:
                    abandoned.append(watch)
                else:
                    watch.tick(now)
        for watch in abandoned:
            watch.keep(watch.handled)
            self.unwatch(watch)
