"""The inbox: everything that waits for a human in the runs that are open.

Owns what waits and under which id. What waits is a fold of each run's own events; which runs are open is told by the
marks beside the log. How an answer is given is `submit`'s. Pure: reads what it is given.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, Protocol

import msgspec

from ..bus import run_marks
from ..eventstore.event import Event
from ..eventstore.large_values import Load
from ..eventstore.run import Readable, read_run
from .run_errors import AlreadyAnswered, AnswerInvalid, QuestionNotFound
from .run_fold import fold_run
from .run_state import Run, TaskState, fact_of, is_waiting, tree_order

#: How many digits of a `human.requested` event's id name what it asks.
ID_LENGTH = 12
Kind = Literal["question", "approval", "in_doubt", "compensation", "stuck"]
_KINDS: dict[str, Kind] = {"approval": "approval", "in_doubt": "in_doubt", "compensation": "compensation"}


class Waiting(msgspec.Struct, frozen=True):
    """One thing that waits for a human: an agent's question, an approval, an effect in doubt, a compensation that
    failed, or other stuck work.

    `takes` lists the answers that count, () for any. `since` and `expires` are wall-clock nanoseconds; at `expires`
    (None: never) `default` counts as the answer, or without one (UNSET) the task has failed. `error` is what the work
    said of its failure, where a failure is what waits.
    """

    id: str
    kind: Kind
    run: str
    path: str
    agent: str
    reason: str
    question: Any
    takes: tuple[Any, ...]
    since: int
    expires: int | None = None
    default: Any = msgspec.UNSET
    error: Any = None

    def check(self, answer: Any) -> Any:
        """Return the answer that is meant, where only some count; raises AnswerInvalid."""
        if not self.takes or answer in self.takes:
            return answer
        for taken in self.takes:
            if str(taken) == str(answer):
                return taken
        raise AnswerInvalid(self.id, str(answer), tuple(map(str, self.takes)))


class Marked(Readable, Protocol):
    """A log that can be read, and whose marks tell which runs are open."""

    def marks(self, prefix: str = "") -> dict[str, str]:
        """Return the marks whose name starts with prefix."""


def waiting_in(run: Run) -> list[Waiting]:
    """Return what waits for a human in a run, in the order of its tree."""
    if run.status == "ended":
        return []
    waiting = (run.tasks[path] for path in sorted(run.open, key=tree_order))
    return [_waiting(run, task) for task in waiting if is_waiting(task) and task.asking is not None]


def open_runs(log: Marked) -> dict[str, int]:
    """Return the runs that are open and the positions of their first events, in the order in which they began."""
    marks = log.marks(run_marks.PREFIX)
    found = {
        name.removeprefix(run_marks.PREFIX): run_marks.first_of(mark)
        for name, mark in marks.items()
        if name != run_marks.SEEN
    }
    return dict(sorted(found.items(), key=lambda item: item[1]))


def read_inbox(log: Marked, runs: Iterable[str] | None = None, load: Load | None = None) -> list[Waiting]:
    """Return what waits for a human in these runs, all open ones where none are given, oldest first.

    `load` puts in what events hold as blobs, as for `run_fold.follow`.
    """
    found: list[Waiting] = []
    for run in open_runs(log) if runs is None else runs:
        # Most open runs have never asked anything, and are not worth a fold.
        if any(True for _ in log.read(run=run, type="human.requested", limit=1)):
            found += waiting_in(fold_run(run, read_run(log, run), load).at_head)
    return sorted(found, key=lambda one: (one.since, one.run, tree_order(one.path)))


def find_waiting(log: Marked, given: str, load: Load | None = None) -> list[Waiting]:
    """Return what waits under the ids that begin with `given`; raises AlreadyAnswered and QuestionNotFound."""
    prefix = given.strip().lower()
    found = [one for one in read_inbox(log, load=load) if one.id.startswith(prefix)] if prefix else []
    if found:
        return found
    if prefix:
        for event in _requested(log):
            if event.id.hex().startswith(prefix):
                raise AlreadyAnswered(event.id.hex()[:ID_LENGTH], event.run, fact_of(event).path, _end(log, event))
    raise QuestionNotFound(given)


def _waiting(run: Run, task: TaskState) -> Waiting:
    asking = task.asking
    assert asking is not None  # the caller has looked
    kind = _kind(task)
    report = task.report if kind in ("compensation", "stuck") else None
    return Waiting(
        asking.id.hex()[:ID_LENGTH],
        kind,
        run.id,
        task.path,
        task.agent,
        asking.reason,
        asking.question,
        asking.takes,
        asking.since,
        asking.expires or None,
        asking.default,
        report.error if report is not None else None,
    )


def _kind(task: TaskState) -> Kind:
    if task.phase == "parked":
        return _KINDS.get(task.reason, "stuck")
    return "in_doubt" if task.report is not None and task.report.effect else "question"


def _requested(log: Marked) -> Iterator[Event]:
    """Yield all that humans were ever asked, the last first."""
    until: int | None = None
    while page := list(log.read(type="human.requested", until=until, limit=1000, reverse=True)):
        yield from page
        until = page[-1].position - 1


def _end(log: Marked, asked: Event) -> str:
    """Say what became of a question that doesn't wait any more."""
    path = fact_of(asked).path
    for event in read_run(log, asked.run):
        if event.position <= asked.position:
            continue
        data: Mapping[str, Any] = fact_of(event).data
        if event.type == "human.answered" and data.get("path") in ("", path):
            return f"it was answered with {data.get('answer')!r} at position {event.position}"
        if event.type == "human.expired" and data.get("path") == path:
            return f"its time was over at position {event.position}"
    return "its task was taken back"
