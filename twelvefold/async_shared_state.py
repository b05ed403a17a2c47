"""Shared state over the asyncio connection: `bus.state(namespace)`; the same calls as the blocking one, awaited."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any

from .eventstore.errors import VersionConflict
from .eventstore.event import Event
from .orchestration import shared_state as calls
from .orchestration.large_decisions import shrunk
from .projections import shared_state as model
from .projections.shared_state import Entry
from .shared_state import loaded, wanted

if TYPE_CHECKING:
    from .bus.aio import AsyncBusClient
    from .bus.aio_watch import AioWatch


class AsyncSharedState:
    """One namespace of state that all processes of a home share. See `SharedState` for what each call means."""

    def __init__(self, bus: AsyncBusClient, namespace: str) -> None:
        self.namespace = calls.check_namespace(namespace)
        self._bus = bus
        self._held = model.initial()
        self._position = 0

    async def get(self, key: str, default: Any = None) -> Any:
        """Return a key's value as it is now, `default` where it isn't there."""
        found = await self.entry(key)
        return found.value if found.exists else default

    async def entry(self, key: str) -> Entry:
        """Return a key's value with its version, as it is now; version 0 and `exists` False where it isn't there."""
        return self._loaded(await self._do(calls.get(self.namespace, key)))

    async def put(self, key: str, value: Any, *, expected_version: int | None = None) -> Entry:
        """Give a key a value; raises VersionConflict where it is not at the expected version (0: not there)."""
        event = calls.put_event(self.namespace, key, value)
        return self._loaded(await self._do(calls.put(event, key, expected_version)))

    async def compare_and_set(self, key: str, value: Any, expected_version: int) -> Entry:
        """Do as `put` with an expected version: of writers who saw the same version one succeeds."""
        return await self.put(key, value, expected_version=expected_version)

    async def update(self, key: str, change: Callable[[Any], Any], default: Any = None) -> Entry:
        """Give a key what `change` (plain, and called again where somebody was quicker) makes of its value."""
        return self._loaded(await self._do(calls.update(self.namespace, key, change, default, self._bus.blobs.load)))

    async def delete(self, key: str, *, expected_version: int | None = None) -> bool:
        """Delete a key; tell whether it was there. With an `expected_version` only that one: VersionConflict else."""
        return (await self._do(calls.delete(self.namespace, key, expected_version))).exists

    async def keys(self, prefix: str = "") -> list[str]:
        """Return the keys that are there, sorted; those that begin with `prefix`."""
        return sorted(entry.key for entry in await self._caught_up() if entry.exists and entry.key.startswith(prefix))

    async def items(self, prefix: str = "") -> dict[str, Any]:
        """Return keys and values that are there, as they all were at one moment, by sorted keys."""
        entries = sorted(await self._caught_up(), key=lambda entry: entry.key)
        found = (entry for entry in entries if entry.exists and entry.key.startswith(prefix))
        return {entry.key: self._loaded(entry).value for entry in found}

    async def history(self, key: str, *, reverse: bool = False, limit: int | None = None) -> AsyncIterator[Entry]:
        """Yield all that a key has been, oldest first unless `reverse`: deletions have `exists` False."""
        stream = calls.stream_of(self.namespace, key)
        async for event in self._bus.read(stream=stream, reverse=reverse, limit=limit):
            entry = model.entry_of(event)
            if entry is not None:
                yield self._loaded(entry)

    def watch(
        self,
        handler: Callable[[Entry], Awaitable[None] | None] | None = None,
        *,
        key: str | None = None,
        name: str | None = None,
        after: int | None = None,
    ) -> AsyncStateWatch:
        """Follow the changes of a namespace, or of one key: from now, after a position, or durably by `name`."""
        of = wanted(self.namespace, key)
        if handler is None:
            return AsyncStateWatch(self, self._bus.watch("state.*", name=name, after=after), of)

        def handle(event: Event) -> Awaitable[None] | None:
            entry = of(event)
            return None if entry is None else handler(self._loaded(entry))

        return AsyncStateWatch(self, self._bus.watch("state.*", handle, name=name, after=after), of)

    async def _do(self, steps: calls.Steps) -> Entry:
        answer: Any = None
        raised: VersionConflict | None = None
        while True:
            try:
                step = steps.send(answer) if raised is None else steps.throw(raised)
            except StopIteration as end:
                entry: Entry = end.value
                return entry
            answer, raised = None, None
            if isinstance(step, calls.Newest):
                answer = [event async for event in self._bus.read(stream=step.stream, reverse=True, limit=step.limit)]
                continue
            events = shrunk([step.event], self._bus.blobs.put)
            try:
                answer = (await self._bus.emit_many(events, expected_version=calls.expected_of(step)))[0]
            except VersionConflict as conflict:
                raised = conflict

    async def _caught_up(self) -> list[Entry]:
        held, position = self._held, self._position
        async for event in self._bus.read(stream=calls.pattern_of(self.namespace), after=position):
            held, position = model.apply(held, event), event.position
        if position > self._position:  # another call may have come further meanwhile
            self._held, self._position = held, position
        return list(held.values())

    def _loaded(self, entry: Entry) -> Entry:
        return loaded(entry, self._bus.blobs.load)


class AsyncStateWatch:
    """The changes of a namespace, or of one key of it, in their order."""

    def __init__(self, state: AsyncSharedState, watch: AioWatch, wanted: Callable[[Event], Entry | None]) -> None:
        self._state = state
        self._watch = watch
        self._wanted = wanted

    async def opened(self) -> None:
        """Wait until the watch has begun."""
        await self._watch.opened()

    async def __aiter__(self) -> AsyncIterator[Entry]:
        async for event in self._watch:
            entry = self._wanted(event)
            if entry is not None:
                yield self._state._loaded(entry)

    async def close(self) -> None:
        """End the watch."""
        if self._watch.handler is not None:
            await self._state._bus.unwatch(self._watch.pattern, self._watch.handler)
        else:
            await self._watch.close()
