"""Whether today's code would do again what a run has recorded: its decisions, and the handlers of its agents.

Joins deciding again (`orchestration`) with running again (`agents`), run by run. Keeps: nothing is appended, and what
could not be looked at never counts as the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from .agents.replay.found import Rerun
from .agents.replay.kept import KeptRun, kept_run
from .agents.replay.record import TaskRecord, data_of, task_records
from .agents.replay.replayer import Replayer
from .eventstore.event import Event
from .eventstore.forgotten import forgotten
from .eventstore.presence import is_there
from .eventstore.run import read_run
from .orchestration.redecide import Redecided, redecide
from .run_log import RunLog
from .run_place import imported_runs, imports_folder
from .todays_agents import TodaysAgents

_PAGE = 1000
Status = Literal["same", "different", "unchecked", "forgotten"]


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """The first place at which today's code parts from the record.

    `position` and `event` are the recorded event's, `field` the place in it (`data.value.total`; `effect`, `fact` or
    `decision` where one of the two has none at all). `expected` is what was recorded, `got` what today's code does.
    `path`, `agent` and `code` are those of a task; `decider` has the versions of the patterns that decided.
    `steady` false: today's code, run twice, doesn't do the same.
    """

    kind: Literal["decision", "handler"]
    position: int
    event: str
    field: str
    expected: Any
    got: Any
    path: str | None = None
    agent: str | None = None
    code: dict[str, str | None] | None = None
    decider: dict[str, int] = {}
    steady: bool = True
    note: str = ""


class TaskCheck(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one task: `status` as in `agents.replay.found.Rerun`, `ended` whether it had come to an end."""

    path: str
    attempt: int
    agent: str
    status: str
    ended: bool
    effects: int
    code: dict[str, str | None]
    problem: str = ""


class RunCheck(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one run. `unchecked`: no difference was found, and something could not be looked at (`problems`)."""

    run: str
    status: Status
    decisions: Redecided
    tasks: list[TaskCheck] = []
    difference: Difference | None = None
    problems: list[str] = []


class Checker:
    """Checks runs of one home. `environ` is what agents are told; `folder` and its Procfile say which agents there are.

    `handlers` False: decisions alone are looked at. What the process that runs handlers needs, is started by `with`.
    """

    def __init__(
        self, home: Path, agents: TodaysAgents, environ: Mapping[str, str], *, handlers: bool = True,
        timeout_s: float = 60.0,
    ) -> None:  # fmt: skip
        self._home = home
        self._agents = agents
        self._environ = {**environ, "TWELVEFOLD_HOME": str(home)}
        self._handlers = handlers
        self._replayer = Replayer(self._environ, timeout_s)

    def __enter__(self) -> Checker:
        if self._handlers:
            self._replayer.begin()  # it gets ready while the log is read
        return self

    def __exit__(self, *_: object) -> None:
        self._replayer.close()

    def check(self, log: RunLog, run: str, place: Path, until: int | None = None) -> RunCheck:
        """Check a run, which is kept at `place` (see `run_place`), up to a position. Raises NotSealed.

        A run of which something was forgotten can't be checked, and is said to be `forgotten`.
        """
        events = list(read_run(log, run, until=until))
        gone = sum(event.payload is None for event in events)
        if gone or forgotten(log, run) is not None:
            problem = f"{gone} of its {len(events)} events were freed by `forget`"
            return RunCheck(run=run, status="forgotten", decisions=Redecided(run), problems=[problem])
        decided = redecide(run, events, load=log.load)
        differences = [] if decided.difference is None else [_of_decision(decided, events)]
        problems = [decided.problem] if decided.problem else []
        tasks = []
        if self._handlers:
            kept = kept_run(events, place)
            for record in task_records(events):
                for stream, recorded in record.ancestors:
                    record.past[stream] = list(_stream(log, stream, recorded))
                task, difference = self._task(record, kept)
                tasks.append(task)
                differences += [difference] if difference is not None else []
                problems += [f"task {task.path} ({task.agent}): {task.problem}"] if task.problem else []
        first = min(differences, key=lambda one: one.position, default=None)
        status: Status = "different" if first is not None else "unchecked" if problems else "same"
        return RunCheck(
            run=run, status=status, decisions=decided, tasks=tasks, difference=first, problems=problems
        )  # fmt: skip

    def check_all(self, until: int | None = None) -> Iterator[RunCheck]:
        """Check every run of the home's log, in the order in which they began, and those that were imported.

        Up to a position, only the log's own are: what was imported has positions of another one. Raises NotSealed, and
        LogNotFound where there is neither a log nor an imported run.
        """
        imported = imported_runs(self._home) if until is None else []
        if is_there(self._home / "log.db") or not imported:
            with RunLog(self._home) as log:
                yield from self._check_own(log, until)
        for run in imported:
            place = imports_folder(self._home) / run
            with RunLog(place) as log:
                yield self.check(log, run, place)

    def _check_own(self, log: RunLog, until: int | None) -> Iterator[RunCheck]:
        after = 0
        while page := list(log.read(after=after, until=until, limit=_PAGE, type="run.*")):
            for event in page:
                family, _, run = event.stream.partition(".")
                if event.version == 1 and family == "run":
                    yield self.check(log, run, self._home, until)
            after = page[-1].position

    def _task(self, record: TaskRecord, kept: KeptRun) -> tuple[TaskCheck, Difference | None]:
        found = self._agents.of(record)
        if found is None:
            problem = (
                f"no agent is known that serves {record.queue!r}: run this where its Procfile is, or give --folder"
            )
            done = Rerun("unloadable", problem=problem)
        else:
            target, folder = found
            done = self._replayer.rerun(record, target, folder, kept)
        attempt = data_of(record.request).get("attempt")
        code = {"recorded": str(record.code) or None, "today": done.code or None}
        task = TaskCheck(
            path=record.path, attempt=attempt if isinstance(attempt, int) else 1, agent=record.queue,
            status=done.status, ended=record.outcome is not None, effects=done.served, code=code, problem=done.problem,
        )  # fmt: skip
        if done.found is None:
            return task, None
        place_of = {name: getattr(done.found, name) for name in ("position", "event", "field", "note")}
        return task, Difference(
            kind="handler", **place_of, expected=done.found.recorded, got=done.found.today, path=record.path,
            agent=record.queue, code=code, steady=done.steady,
        )  # fmt: skip


def _stream(log: RunLog, stream: str, until: int) -> Iterator[Event]:
    after = 0
    while page := log.read(stream=stream, after=after, until=until, limit=_PAGE):
        yield from page
        after = page[-1].position


def _of_decision(decided: Redecided, events: list[Event]) -> Difference:
    """Return a difference of decisions; the words `expected` and `got` are the record's and today's, as everywhere."""
    found = decided.difference
    assert found is not None
    event = next((event.type for event in events if event.position == found.position), "")
    return Difference(
        kind="decision", position=found.position, event=event, field=found.field, expected=found.got,
        got=found.expected, decider=dict(found.decider),
    )  # fmt: skip
