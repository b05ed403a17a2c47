"""Starting a run and following it, from any client of the bus.

Owns the shape of `run.requested` and of requests about a run. What follows is the orchestrator's: a run that was
submitted while none is up begins when there is one.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from typing import TYPE_CHECKING, Any

from ..eventstore.errors import DuplicateConflict
from ..eventstore.event import Event, NewEvent, new_event
from ..eventstore.ids import derived_id, uuid7
from ..eventstore.large_values import Put
from ..eventstore.run import read_run
from .budget import budget_from
from .errors import RunNotFound, RunWaitTimedOut
from .large_decisions import shrunk
from .levels import depth_from, limits_from
from .plan import Plan, plan_data
from .result import RunResult, RunView
from .rollback_request import check_request
from .run_state import ENDS, Run, run_of

if TYPE_CHECKING:
    from ..bus.client import BusClient

#: After how long without news a run counts as one that does not move.
IDLE_S = 2.0


def new_run_id() -> str:
    """Return a fresh run id: 32 hexadecimal digits, in the order of time."""
    return uuid7(time.time_ns() // 1_000_000, os.urandom(10)).hex()


def run_of_key(key: str) -> str:
    """Return the id of the run that a key stands for, in every process and for ever: one key, one run."""
    return derived_id("", key, "run").hex()


def run_request(
    run: str,
    plan: Plan,
    *,
    key: str = "",
    input: Any = None,
    labels: Mapping[str, str] | None = None,
    timeout_s: float | None = None,
    budget: Mapping[str, float] | None = None,
    levels: Mapping[str, int] | None = None,
    depth_max: int | None = None,
    caller: Any = None,
    trace: str = "",
    put: Put | None = None,
) -> NewEvent:
    """Return the event that starts a run: the first of the stream `run.<id>`.

    Raises PlanInvalid, BudgetInvalid, LevelsInvalid.

    `budget` bounds `tasks`, `wall_s`, `tokens`, `usd`; `levels` how many tasks are out at once at the levels
    `primary`, `secondary`, `tertiary` (1, 10, 30 where it names only others); `depth_max` how deep tasks may answer
    with plans (3). `key` is what the run's id was derived from (`run_of_key`), if anything. `put` holds what is too
    large for an event as blobs (see `eventstore/large_values.py`).
    """
    budget_from(dict(budget or {}))
    data = {
        "caller": caller,
        "plan": plan_data(plan),
        "input": input,
        "budget": dict(budget or {}),
        "timeout_s": timeout_s,
        "labels": dict(labels or {}),
    }
    if key:
        data["key"] = key
    if levels is not None:
        data["levels"] = limits_from(levels)
    if depth_max is not None:
        data["depth_max"] = depth_from(depth_max)
    id = derived_id(run, "", "run.requested")
    event = new_event("run.requested", data, stream=f"run.{run}", id=id, run=run, trace=trace)
    return event if put is None else shrunk([event], put)[0]


def submit(client: BusClient, plan: Plan, *, run: str = "", key: str = "", **request: Any) -> str:
    """Start a run of a plan and return its id once that is durable; keywords as for `run_request`.

    With a `run` id of the caller's own, submitting the same again starts nothing new. The same `key` always gives the
    same run: whoever comes first starts it, and whatever others with that key ask for is not looked at.
    """
    run = run or (run_of_key(key) if key else new_run_id())
    try:
        client.emit_many([run_request(run, plan, key=key, put=client.blobs.put, **request)])
    except DuplicateConflict:
        if not key:
            raise
    return run


def request(run: str, type: str, **data: Any) -> NewEvent:
    """Return an event that asks something of a run; asking an ended run changes nothing."""
    return new_event(type, data, stream=f"request.{run}", run=run)


def cancel_request(run: str, reason: str = "") -> NewEvent:
    """Return the event that asks for the end of a run: what is open is taken back, what was done is undone."""
    return request(run, "run.cancel_requested", reason=reason)


def rollback_request(run: str, to: int | None = None, reason: str = "", *, again: bool = False) -> NewEvent:
    """Return the event that asks that a run is taken back to how it was after the event at the position `to`.

    Without `to` that is its beginning. One that was taken back to there already is not touched, unless `again`.
    """
    more = {"again": True} if again else {}
    return request(run, "run.rollback_requested", to=to, reason=reason, **more)


def answer_request(
    run: str, answer: Any, *, path: str = "", question: str = "", value: Any = None, note: str = ""
) -> NewEvent:
    """Return the event that answers what a run asks a human.

    For stuck work and effects in doubt the answer is `retry`, `done` (with the `value` that counts as the result) or
    `give_up`; for approvals `approve` or `reject`; for an agent's question anything. `path` names the task, and may be
    left out where only one asks; `question` is the id of what is answered, so that it answers nothing else. `note`
    says why: an agent gets it with the answer, a rejection is failed with it.
    """
    return request(run, "human.answered", path=path, question=question, answer=answer, value=value, note=note)


def pause(client: BusClient, run: str) -> Event:
    """Ask that a run starts nothing new: what is out goes on, and what must be undone is undone."""
    return client.emit_many([request(run, "run.pause_requested")])[0]


def resume(client: BusClient, run: str) -> Event:
    """Ask that a paused run goes on."""
    return client.emit_many([request(run, "run.resume_requested")])[0]


def cancel(client: BusClient, run: str, reason: str = "") -> Event:
    """Ask for the end of a run: what is open is taken back, what was done is undone."""
    return client.emit_many([cancel_request(run, reason)])[0]


def rollback(client: BusClient, run: str, to: int | None = None, reason: str = "", *, again: bool = False) -> Event:
    """Ask that a run is taken back to a position, also one that has ended; see `rollback_request`.

    Raises RunNotFound, RollbackOutside, RollbackUnderWay.
    """
    check_request(client, run, to)
    return client.emit_many([rollback_request(run, to, reason, again=again)])[0]


def answer(client: BusClient, run: str, answer: Any, **about: Any) -> Event:
    """Answer what a run asks a human; keywords and meaning as for `answer_request`."""
    return client.emit_many(shrunk([answer_request(run, answer, **about)], client.blobs.put))[0]


def approve(client: BusClient, run: str, *, path: str = "", note: str = "") -> Event:
    """Let a task that waits for an approval go on; `path` may be left out where only one asks."""
    return answer(client, run, "approve", path=path, note=note)


def reject(client: BusClient, run: str, *, path: str = "", note: str = "") -> Event:
    """Fail a task that waits for an approval, for the reason `rejected`."""
    return answer(client, run, "reject", path=path, note=note)


def result(client: BusClient, run: str) -> RunResult:
    """Return what is known of a run by now; raises RunNotFound."""
    return _view(client, run).result()


def wait(client: BusClient, run: str, timeout_s: float | None = None) -> RunResult:
    """Wait until a run has ended, or rests because it needs a human; raises RunNotFound, RunWaitTimedOut."""
    deadline = _Deadline(run, timeout_s)
    head = client.head()
    view = _view(client, run)
    if view.status in ("ended", "resting"):
        return view.result()
    # Only the decided stops matter here, and they are all of `run.*`.
    with closing(client.watch("run.*", after=head)) as watch:
        while True:
            for event in watch.take(deadline.left_s()):
                if event.run == run and event.seen and event.type in _STOPS:
                    return result(client, run)


def follow(
    client: BusClient, run: str, timeout_s: float | None = None, *, on_idle: Callable[[Run], None] | None = None
) -> Iterator[Event]:
    """Yield each event of a run, from its first, until it has ended or rests; raises RunNotFound, RunWaitTimedOut.

    `on_idle` is called with the run's state whenever it has not moved for IDLE_S, and what it raises ends this.
    """
    deadline = _Deadline(run, timeout_s)
    head = client.head()
    view = RunView(run)
    for event in read_run(client, run):
        view.take(event)
        yield event
    if view.status == "unknown":
        raise RunNotFound(run)
    if view.status in ("ended", "resting"):
        return
    heard = time.monotonic()
    with closing(client.watch("*", after=head)) as watch:
        while True:
            left_s = deadline.left_s()
            if on_idle is not None:
                left_s = IDLE_S if left_s is None else min(left_s, IDLE_S)
                if time.monotonic() - heard >= IDLE_S:
                    on_idle(view.state)
                    heard = time.monotonic()
            for event in watch.take(left_s):
                if run_of(event) != run or event.position <= view.last:
                    continue
                heard = time.monotonic()
                view.take(event)
                yield event
                if event.seen and event.type in _STOPS:
                    return


_STOPS = frozenset({"run.needs_human", *(f"run.{end}" for end in ENDS)})


def _view(client: BusClient, run: str) -> RunView:
    view = RunView(run, client.blobs.load)
    for event in read_run(client, run):
        view.take(event)
    if view.status == "unknown":
        raise RunNotFound(run)
    return view


class _Deadline:
    """How long may still be waited for a run."""

    def __init__(self, run: str, timeout_s: float | None) -> None:
        self._run = run
        self._timeout_s = timeout_s
        self._end = None if timeout_s is None else time.monotonic() + timeout_s

    def left_s(self) -> float | None:
        """Return the seconds that are left, None for no bound; raises RunWaitTimedOut when there are none."""
        if self._end is None:
            return None
        left = self._end - time.monotonic()
        if left <= 0:
            raise RunWaitTimedOut(self._run, self._timeout_s or 0.0)
        return left
