"""Shared state over the blocking connection: `bus.state(namespace)`.

Owns answering what `orchestration/shared_state.py` asks for, and following a namespace. Keeps nothing that could not be
read again: a namespace's fold is only ever moved on from where it was.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from .eventstore.event import Event, NewEvent
from .orchestration import shared_state as calls
from .orchestration.large_decisions import shrunk
from .projections import shared_state as model
from .projections.shared_state import Entry

if TYPE_CHECKING:
    from .bus.client import BusClient
    from .bus.subscription import Watch


class SharedState:
    """One namespace of state that all processes of a home share. For any thread. Made by `bus.state(namespace)`."""

    def __init__(self, bus: BusClient, namespace: str) -> None:
        self.namespace = calls.check_namespace(namespace)
        self._bus = bus
        self._held = model.initial()
        self._position = 0
        self._lock = threading.Lock()

    def get(self, key: str, default: Any = None) -> Any:
        """Return a key's value as it is now, `default` where it isn't there. Raises StateNameInvalid."""
        found = self.entry(key)
        return found.value if found.exists else default

    def entry(self, key: str) -> Entry:
        """Return a key's value with its version, as it is now; version 0 and `exists` False where it isn't there."""
        return self._loaded(self._do(calls.get(self.namespace, key)))

    def put(self, key: str, value: Any, *, expected_version: int | None = None) -> Entry:
        """Give a key a JSON-like value, and return it with its new version once that is durable.

        With an `expected_version` only where the key still has that one (0: where it isn't there): raises
        VersionConflict otherwise, and nothing has changed.
        """
        event = calls.put_event(self.namespace, key, value)
        return self._loaded(self._do(calls.put(event, key, expected_version)))

    def compare_and_set(self, key: str, value: Any, expected_version: int) -> Entry:
        """Do as `put` with an expected version: of writers who saw the same version one succeeds."""
        return self.put(key, value, expected_version=expected_version)

    def update(self, key: str, change: Callable[[Any], Any], default: Any = None) -> Entry:
        """Give a key what `change` makes of its value (of `default` where it isn't there), losing nobody's change.

        `change` is called again where somebody else was quicker, so it should do nothing but compute.
        """
        return self._loaded(self._do(calls.update(self.namespace, key, change, default, self._bus.blobs.load)))

    def delete(self, key: str, *, expected_version: int | None = None) -> bool:
        """Delete a key; tell whether it was there. With an `expected_version` only that one: VersionConflict else."""
        return self._do(calls.delete(self.namespace, key, expected_version)).exists

    def keys(self, prefix: str = "") -> list[str]:
        """Return the keys that are there, sorted; those that begin with `prefix`."""
        return sorted(entry.key for entry in self._caught_up() if entry.exists and entry.key.startswith(prefix))

    def items(self, prefix: str = "") -> dict[str, Any]:
        """Return keys and values that are there, as they all were at one moment, by sorted keys."""
        entries = sorted(self._caught_up(), key=lambda entry: entry.key)
        found = (entry for entry in entries if entry.exists and entry.key.startswith(prefix))
        return {entry.key: self._loaded(entry).value for entry in found}

    def history(self, key: str, *, reverse: bool = False, limit: int | None = None) -> Iterator[Entry]:
        """Yield all that a key has been, oldest first unless `reverse`: deletions have `exists` False."""
        for event in self._bus.read(stream=calls.stream_of(self.namespace, key), reverse=reverse, limit=limit):
            entry = model.entry_of(event)
            if entry is not None:
                yield self._loaded(entry)

    def watch(
        self,
        handler: Callable[[Entry], Any] | None = None,
        *,
        key: str | None = None,
        name: str | None = None,
        after: int | None = None,
    ) -> StateWatch:
        """Follow the changes of a namespace, or of one key: from now, after a position, or durably by `name`.

        Iterate over it, or give a handler that the connection's `run` calls. Deletions have `exists` False.
        """
        wanted = self._wanted(key)
        if handler is None:
            return StateWatch(self, self._bus.watch("state.*", name=name, after=after), wanted)

        def handle(event: Event) -> Any:
            entry = wanted(event)
            return None if entry is None else handler(self._loaded(entry))

        return StateWatch(self, self._bus.watch("state.*", handle, name=name, after=after), wanted)

    def _wanted(self, key: str | None) -> Callable[[Event], Entry | None]:
        return wanted(self.namespace, key)

    def _do(self, steps: calls.Steps) -> Entry:
        bus = self._bus

        def last(stream: str, limit: int) -> list[Event]:
            return list(bus.read(stream=stream, reverse=True, limit=limit))

        def append(event: NewEvent, expected: dict[str, int]) -> Event:
            return bus.emit_many(shrunk([event], bus.blobs.put), expected_version=expected)[0]

        return calls.answered(steps, last, append)

    def _caught_up(self) -> list[Entry]:
        with self._lock:
            for event in self._bus.read(stream=calls.pattern_of(self.namespace), after=self._position):
                self._held, self._position = model.apply(self._held, event), event.position
            return list(self._held.values())

    def _loaded(self, entry: Entry) -> Entry:
        return loaded(entry, self._bus.blobs.load)


class StateWatch:
    """The changes of a namespace, or of one key of it, in their order."""

    def __init__(self, state: SharedState, watch: Watch, wanted: Callable[[Event], Entry | None]) -> None:
        self._state = state
        self._watch = watch
        self._wanted = wanted

    def __iter__(self) -> Iterator[Entry]:
        for event in self._watch:
            entry = self._wanted(event)
            if entry is not None:
                yield self._state._loaded(entry)

    def take(self, timeout_s: float | None = None) -> list[Entry]:
        """Return the next changes, as many as came together; none after the timeout, or where they were others'."""
        found = (self._wanted(event) for event in self._watch.take(timeout_s))
        return [self._state._loaded(entry) for entry in found if entry is not None]

    def close(self) -> None:
        """End the watch."""
        if self._watch.handler is not None:
            self._state._bus.unwatch(self._watch.pattern, self._watch.handler)
        else:
            self._watch.close()


def wanted(namespace: str, key: str | None) -> Callable[[Event], Entry | None]:
    """Return what tells of an event which entry of a namespace it made, None where it made none."""
    stream = None if key is None else calls.stream_of(namespace, key)
    prefix = calls.pattern_of(namespace)[:-1]

    def entry(event: Event) -> Entry | None:
        ours = event.stream == stream if stream is not None else event.stream.startswith(prefix)
        return model.entry_of(event) if ours else None

    return entry


def loaded(entry: Entry, load: Callable[[Any], Any]) -> Entry:
    """Return an entry whose value is whole, where it was too large for an event."""
    value = entry.value
    if not isinstance(value, Mapping | list):
        return entry
    return msgspec.structs.replace(entry, value=load(value))
