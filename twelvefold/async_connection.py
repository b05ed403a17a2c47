"""The asyncio connection to the bus, with runs to submit and wait for; `connection.connect` makes it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from .bus.aio import AsyncBusClient
from .connection import checked, read_waiting
from .eventstore.errors import DuplicateConflict
from .eventstore.event import Event, NewEvent
from .eventstore.run import Part, find_parts
from .orchestration import submit as runs
from .orchestration.errors import RunNotFound, RunWaitTimedOut
from .orchestration.forking import fork_steps
from .orchestration.inbox import Waiting
from .orchestration.large_decisions import shrunk
from .orchestration.plan import Plan
from .orchestration.result import RunResult, RunView
from .orchestration.rollback_request import checking_steps
from .tracing.caller import caller_traceparent

if TYPE_CHECKING:
    from .async_shared_state import AsyncSharedState

_AT_REST = ("ended", "resting")


class Connection(AsyncBusClient):
    """An asyncio client of the bus that also starts runs and waits for them. Made by `connect`."""

    async def submit(self, plan: Plan | Mapping[str, Any], *, run: str = "", key: str = "", **request: Any) -> str:
        """Start a run of a plan and return the run's id once that is durable; see `SyncConnection.submit`."""
        request.setdefault("trace", caller_traceparent())
        run = run or (runs.run_of_key(key) if key else runs.new_run_id())
        try:
            await self.emit_many([runs.run_request(run, checked(plan), key=key, put=self.blobs.put, **request)])
        except DuplicateConflict:
            if not key:
                raise
        return run

    def state(self, namespace: str) -> AsyncSharedState:
        """Return the state of this name that all of the home share (docs/state.md); raises StateNameInvalid."""
        from .async_shared_state import AsyncSharedState

        return AsyncSharedState(self, namespace)

    async def wait(self, run: str, timeout_s: float | None = None) -> RunResult:
        """Wait until a run has ended, or rests as it needs a human; raises RunNotFound and RunWaitTimedOut."""
        try:
            async with asyncio.timeout(timeout_s):
                return await self._wait(run)
        except TimeoutError:
            raise RunWaitTimedOut(run, timeout_s or 0.0) from None

    async def cancel(self, run: str, reason: str = "") -> Event:
        """Ask for the end of a run: what is open is taken back, what was done is undone."""
        return await self._ask(runs.cancel_request(run, reason))

    async def fork(
        self,
        run: str,
        at: int,
        *,
        live: Sequence[str] | str = (),
        set: Mapping[str, Any] | None = None,
        new: str = "",
    ) -> str:
        """Start a run that goes on from how a run was after the event at `at`; see `SyncConnection.fork`."""
        steps = fork_steps(run, at, live=live, set=set, new=new, load=self.blobs.load)
        try:
            asked = next(steps)
            while True:
                asked = steps.send([event async for event in self.read(**asked)])
        except StopIteration as made:
            event: NewEvent = made.value
        return (await self._ask(event)).run

    async def rollback(self, run: str, *, to: int | None = None, reason: str = "", again: bool = False) -> Event:
        """Ask that a run is taken back to how it was after the event at `to`; see `SyncConnection.rollback`."""
        steps = checking_steps(run, to)
        with suppress(StopIteration):
            asked = next(steps)
            while True:
                asked = steps.send([event async for event in self.read(**asked)])
        return await self._ask(runs.rollback_request(run, to, reason, again=again))

    async def pause(self, run: str) -> Event:
        """Ask that a run starts nothing new: what is out goes on, and what must be undone is undone."""
        return await self._ask(runs.request(run, "run.pause_requested"))

    async def resume(self, run: str) -> Event:
        """Ask that a paused run goes on."""
        return await self._ask(runs.request(run, "run.resume_requested"))

    async def approve(self, run: str, *, path: str = "", note: str = "") -> Event:
        """Let a task that waits for an approval go on; `path` may be left out where only one asks."""
        return await self._ask(runs.answer_request(run, "approve", path=path, note=note))

    async def reject(self, run: str, *, path: str = "", note: str = "") -> Event:
        """Fail a task that waits for an approval, for the reason `rejected`."""
        return await self._ask(runs.answer_request(run, "reject", path=path, note=note))

    async def inbox(self, run: str | None = None) -> list[Waiting]:
        """Return what waits for a human in all open runs, or in one, oldest first; read from the log's file."""
        return await asyncio.to_thread(read_waiting, self._endpoints.blobs.parent, run)

    async def answer(self, run: str, answer: Any, *, path: str = "", **about: Any) -> Event:
        """Answer what a run asks a human; see `SyncConnection.answer`."""
        return await self._ask(runs.answer_request(run, answer, path=path, **about))

    async def _ask(self, event: NewEvent) -> Event:
        return (await self.emit_many(shrunk([event], self.blobs.put)))[0]

    async def _wait(self, run: str) -> RunResult:
        head, view = await self.head(), RunView(run, self.blobs.load)
        await self._catch_up(view, run)
        if view.status == "unknown":
            raise RunNotFound(run)
        if view.status not in _AT_REST:
            watch = self.watch("run.*", after=head)
            try:
                async for event in watch:
                    if event.run == run:
                        await self._catch_up(view, run)
                        if view.status in _AT_REST:
                            break
            finally:
                await watch.close()
        return view.result()

    async def _catch_up(self, view: RunView, run: str) -> None:
        if not view.last:
            for part in reversed(await self._ancestors(run)):
                async for event in self.read(run=part.run, until=part.until):
                    view.take(event)
        async for event in self.read(run=run, after=view.last):
            view.take(event)

    async def _ancestors(self, run: str) -> list[Part]:
        """Return what a fork shares with the runs that it comes from; nothing for any other run."""
        looking = find_parts(run, await self.head())
        try:
            stream = next(looking)
            while True:
                found = [event async for event in self.read(stream=stream, limit=1)]
                stream = looking.send(found[0] if found else None)
        except StopIteration as parts:
            return list(parts.value[1:])
