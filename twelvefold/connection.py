"""`connect()` and `connect_sync()`: the bus of this project's home, with runs to submit and wait for.

Owns finding the bus from settings and telling at once that none runs; everything on the wire is the bus clients', what
a run is, orchestration's.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .bus.client import BusClient
from .bus.endpoints import Endpoints, endpoints
from .bus.errors import BusNotRunning
from .eventstore.event import Event
from .orchestration import submit as runs
from .orchestration.forking import fork
from .orchestration.inbox import Waiting, read_inbox
from .orchestration.plan import Plan, plan_from
from .orchestration.result import RunResult
from .reach import listens
from .settings import load_settings
from .tracing.caller import caller_traceparent

if TYPE_CHECKING:
    from .async_connection import Connection
    from .eventstore.upcast import Upcasters
    from .shared_state import SharedState


class SyncConnection(BusClient):
    """A blocking client of the bus that also starts runs and waits for them. Made by `connect_sync`."""

    def submit(self, plan: Plan | Mapping[str, Any], *, run: str = "", key: str = "", **request: Any) -> str:
        """Start a run of a plan (or of its data) and return the run's id once that is durable.

        Keywords: `input`, `labels`, `timeout_s`, `budget`, `levels`, `depth_max`, `caller` (see
        `orchestration.submit.run_request`). With a `run` id of the caller's own, submitting the same again starts
        nothing new; the same `key` always gives the same run (docs/triggers.md). `trace` is a W3C traceparent, of the
        caller's own span if left out (docs/traces.md). Raises PlanInvalid, BudgetInvalid, LevelsInvalid.
        """
        request.setdefault("trace", caller_traceparent())
        return runs.submit(self, checked(plan), run=run, key=key, **request)

    def state(self, namespace: str) -> SharedState:
        """Return the state of this name that all of the home share (docs/state.md); raises StateNameInvalid."""
        from .shared_state import SharedState

        return SharedState(self, namespace)

    def wait(self, run: str, timeout_s: float | None = None) -> RunResult:
        """Wait until a run has ended, or rests as it needs a human; raises RunNotFound and RunWaitTimedOut."""
        return runs.wait(self, run, timeout_s)

    def follow(self, run: str, timeout_s: float | None = None) -> Iterator[Event]:
        """Yield each event of a run until it has ended or rests; raises RunNotFound and RunWaitTimedOut."""
        return runs.follow(self, run, timeout_s)

    def cancel(self, run: str, reason: str = "") -> Event:
        """Ask for the end of a run: what is open is taken back, what was done is undone."""
        return runs.cancel(self, run, reason)

    def fork(
        self,
        run: str,
        at: int,
        *,
        live: Sequence[str] | str = (),
        set: Mapping[str, Any] | None = None,
        new: str = "",
    ) -> str:
        """Start a run that goes on from how a run was after the event at `at`, and return its id (docs/fork.md).

        `live` names the layers of effects (`model`, `tools`) that are done for real; the others are answered from what
        the run recorded. `set` changes what it was asked for, such as `{"input.n": 2, "budget.tokens": 1000}`. With a
        `new` id of the caller's own, forking the same again starts nothing new. Raises RunNotFound, ForkOutside,
        ForkEnded, RunForgotten, LayerUnknown, ForkChangeInvalid.
        """
        return fork(self, run, at, live=live, set=set, new=new)

    def rollback(self, run: str, *, to: int | None = None, reason: str = "", again: bool = False) -> Event:
        """Ask that a run, open or ended, is taken back to how it was after the event at `to` (docs/rollback.md).

        Without `to`: to its beginning. `wait` returns once it is `rolled_back`, or a human is needed. A run that was
        taken back to there before is left as it is, unless its files are to be laid out `again`. Raises RunNotFound,
        RollbackOutside where `to` is before the run or beyond the log, and RollbackUnderWay.
        """
        return runs.rollback(self, run, to, reason, again=again)

    def pause(self, run: str) -> Event:
        """Ask that a run starts nothing new: what is out goes on, and what must be undone is undone."""
        return runs.pause(self, run)

    def resume(self, run: str) -> Event:
        """Ask that a paused run goes on."""
        return runs.resume(self, run)

    def approve(self, run: str, *, path: str = "", note: str = "") -> Event:
        """Let a task that waits for an approval go on; `path` may be left out where only one asks."""
        return runs.approve(self, run, path=path, note=note)

    def reject(self, run: str, *, path: str = "", note: str = "") -> Event:
        """Fail a task that waits for an approval, for the reason `rejected`."""
        return runs.reject(self, run, path=path, note=note)

    def inbox(self, run: str | None = None) -> list[Waiting]:
        """Return what waits for a human in all open runs, or in one, oldest first; read from the log's file."""
        return read_waiting(self._endpoints.blobs.parent, run)

    def answer(self, run: str, answer: Any, *, path: str = "", **about: Any) -> Event:
        """Answer what a run asks a human; for stuck work `retry`, `done` (with a `value`) or `give_up`.

        `path` may be left out where only one task asks; `question` is the id of what is answered, `note` says why.
        """
        return runs.answer(self, run, answer, path=path, **about)


def connect(
    home: str | os.PathLike[str] | None = None,
    *,
    timeout_s: float | None = None,
    upcasters: Upcasters | None = None,
) -> Connection:
    """Return an asyncio client of the bus, to be used with `async with`.

    `home` overrides the one that the command line would use (the nearest `.twelvefold/`, TWELVEFOLD_HOME, …). Calls
    wait `timeout_s` where they are not told. `upcasters` lift payloads of older schemas in all that is read, watched or
    delivered; what is stored stays. Raises BusNotRunning at once where neither a bus nor an `up` runs.
    """
    from .async_connection import Connection  # asyncio is slow to import, and blocking programs don't need it

    places, wait_s = _reached(home, timeout_s)
    return Connection(places, timeout_s=wait_s, upcasters=upcasters)


def connect_sync(
    home: str | os.PathLike[str] | None = None,
    *,
    timeout_s: float | None = None,
    upcasters: Upcasters | None = None,
) -> SyncConnection:
    """Return a blocking client of the bus, to be used with `with`; arguments and errors as `connect`'s."""
    places, wait_s = _reached(home, timeout_s)
    return SyncConnection(places, timeout_s=wait_s, upcasters=upcasters)


def _reached(home: str | os.PathLike[str] | None, timeout_s: float | None) -> tuple[Endpoints, float]:
    """Return where the bus is and how long to wait for it; a bus that an `up` is restarting counts as there."""
    settings = load_settings()
    places = endpoints(settings.home if home is None else Path(home).absolute(), settings.runtime_dir)
    if not listens(places.ingress) and not listens(places.control):
        raise BusNotRunning(places.ingress, 0.0)
    return places, settings.timeout_s if timeout_s is None else timeout_s


def read_waiting(home: Path, run: str | None) -> list[Waiting]:
    """Return what waits for a human in the runs of a home, or in one run; see `orchestration.inbox`."""
    from .run_log import RunLog

    with RunLog(home) as log:
        return read_inbox(log, None if run is None else [run], log.load)


def checked(plan: Plan | Mapping[str, Any]) -> Plan:
    """Return a plan made of what may be its data; raises PlanInvalid."""
    return plan_from(dict(plan)) if isinstance(plan, Mapping) else plan
