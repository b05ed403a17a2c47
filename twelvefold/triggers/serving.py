"""Looking after folders and schedules until told to stop.

Owns the loop: when to look, what to do with what could not be started now, whom to tell. All that must last is in the
log (runs by their keys, facts of schedules), so that a process that dies here, or a second one, changes nothing.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from .. import jobs
from ..agent_errors import AgentsMissing
from ..agents.job import resolve_request
from ..agents.work_errors import NotARepository
from ..built_in import QUEUES, needed_by
from ..bus.client import BusClient
from ..bus.errors import BusNotRunning, BusTimeout
from ..eventstore.errors import TwelvefoldError
from ..orchestration.errors import NotUp
from ..orchestration.home_lock import holder_of
from ..plan_runs import queues_of
from ..project_errors import WatchedFolderMissing
from ..project_file import Schedule, WatchedFolder, Work
from ..settings import Settings
from .folder import FolderScan, Found
from .schedule import ScheduleClock
from .starting import Started, Starter, plan_of, printable

#: The longest time between two looks at folders and clock.
TICK_S = 0.5
#: After how long something is tried again that could not be started.
AGAIN_S = 10.0
_ENDS = {
    "run.succeeded": "succeeded", "run.nothing_to_do": "nothing_to_do", "run.failed": "failed",
    "run.cancelled": "cancelled", "run.needs_human": "needs_human", "run.rolled_back": "rolled_back",
}  # fmt: skip


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What is told of a trigger: `started` (a run, `new` or not), the `outcome` of one, or a `problem`.

    `what` is a file's path, or a schedule's name and time.
    """

    what: str
    run: str | None = None
    key: str | None = None
    new: bool | None = None
    outcome: str | None = None
    problem: str | None = None


class Triggers:
    """Folders and schedules of one project. Relative paths count from `folder`; `tell` is told of what happens."""

    def __init__(
        self,
        settings: Settings,
        environ: Mapping[str, str],
        folder: Path,
        *,
        folders: Sequence[WatchedFolder] = (),
        schedules: Sequence[Schedule] = (),
        tell: Callable[[Told], None],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._settings = settings
        self._environ = environ
        self._folder = folder
        self._works = [(one, FolderScan((folder / one.path).resolve(), one.patterns)) for one in folders]
        self._schedules = list(schedules)
        self._tell = tell
        self._now = now
        self._waiting: dict[str, str] = {}
        self._not_before: dict[str, float] = {}
        self._problems: dict[str, str] = {}
        self._looked_at = 0.0
        #: How many runs ended otherwise than well.
        self.failed = 0

    def check(self) -> None:
        """Look whether all of it can be served: folders, plans and repositories are there, and who does the work.

        Raises WatchedFolderMissing, what reading a plan and finding a repository raise, and NotUp.
        """
        for work in (*(work for work, _ in self._works), *self._schedules):
            plan = plan_of(work, self._folder)
            if plan is None:
                resolve_request(self._folder / (work.repo or "."))
            elif not set(queues_of(plan)) <= QUEUES and holder_of(self._settings.home) is None:
                raise NotUp(str(self._settings.home))
        for _, scan in self._works:
            if not scan.folder.is_dir():
                raise WatchedFolderMissing(str(scan.folder), *(["it is a file"] if scan.folder.exists() else []))

    def serve(self, stop: threading.Event, *, once: bool = False) -> None:
        """Start what is due and new until `stop`, or with `once` until what is there now has been done.

        Raises WatchedFolderMissing where a folder goes, and BusNotRunning where no bus comes.
        """
        self._stand()
        with jobs.connect(self._settings) as client:
            starter = Starter(client, self._settings, self._folder)
            clocks = [ScheduleClock(client, one, self._now) for one in self._schedules]
            ends = client.watch("run.*")
            for _ in self._moments(stop):
                for clock in clocks:
                    self._guarded(clock.schedule.name, lambda clock=clock: self._on_time(clock, starter))  # type: ignore[misc]
                for work, scan in self._works:
                    for found in list(scan.look(time.monotonic())):
                        self._on_file(work, scan, found, starter)
                for event in ends.take(0):
                    if event.seen and event.type in _ENDS and event.run in self._waiting:
                        self._ended(event.run, _ENDS[event.type])
                self._look_for_agents(client)
                if once and not self._waiting and not any(scan.waits for _, scan in self._works):
                    return

    def _moments(self, stop: threading.Event) -> Iterator[None]:
        """Yield at once, then whenever something happens in a folder, at the latest after TICK_S, until `stop`."""
        yield
        folders = [scan.folder for _, scan in self._works]
        try:
            if folders:
                import watchfiles

                for _ in watchfiles.watch(
                    *folders, stop_event=stop, recursive=False, raise_interrupt=False, watch_filter=None,
                    debounce=200, step=50, rust_timeout=int(TICK_S * 1000), yield_on_timeout=True,
                ):  # fmt: skip
                    yield
        except (OSError, RuntimeError) as error:
            # The system's watches are limited in number, and some file systems have none.
            self._tell(
                Told(what=str(folders[0]), problem=f"looked at every {TICK_S} s, as it can't be watched: {error}")
            )
        while not stop.wait(TICK_S):
            yield

    def _on_time(self, clock: ScheduleClock, starter: Starter) -> None:
        passed = clock.look_after(starter)
        if passed is not None:
            started, due, missed = passed
            more = f", after {missed} that nobody was there for" if missed else ""
            self._started(f"{clock.schedule.name} at {due}{more}", started)

    def _on_file(self, work: Work, scan: FolderScan, found: Found, starter: Starter) -> None:
        what = printable(found.path)
        if found.problem:
            self._tell(Told(what=what, problem=found.problem))
            return

        def start() -> None:
            if holder_of(self._settings.home) is None:
                self._stand()  # somebody has ended what was there
            self._started(what, starter.on_file(work, found))

        if not self._guarded(what, start):
            scan.again(found.path)

    def _guarded(self, what: str, start: Callable[[], None]) -> bool:
        """Start something; False where it is to be tried again later, and it is told why."""
        if time.monotonic() < self._not_before.get(what, 0.0):
            return False
        try:
            start()
        except (BusNotRunning, BusTimeout, NotARepository) as error:
            self._put_off(what, f"tried again later: {error.message()}")
            return False
        except (TwelvefoldError, ValueError) as error:
            # What is wrong with it stays so until somebody changes it; a schedule comes again by itself.
            self._put_off(what, str(error))
        else:
            self._not_before.pop(what, None)
            self._problems.pop(what, None)
        return True

    def _put_off(self, what: str, problem: str) -> None:
        """Try something again after a while, and tell why, once."""
        self._not_before[what] = time.monotonic() + AGAIN_S
        if self._problems.get(what) != problem:
            self._problems[what] = problem
            self._tell(Told(what=what, problem=problem))

    def _started(self, what: str, started: Started) -> None:
        if started.new:
            self._stand()
            self._waiting[started.run] = what
            self._looked_at = time.monotonic()
        self._tell(Told(what=what, run=started.run, key=started.key, new=started.new))

    def _look_for_agents(self, client: BusClient) -> None:
        """Tell, once, of work that waits where nobody takes it: an `up` has the agents that its user gave it."""
        if not self._waiting or time.monotonic() < self._looked_at + AGAIN_S:
            return
        self._looked_at = time.monotonic()
        holder = holder_of(self._settings.home)
        if holder is None or holder.ephemeral:
            return  # what is started for the work has all agents that it needs
        groups = client.stats()["groups"].values()
        idle = tuple(sorted(one["name"] for one in groups if one["queue"] and one["waiting"] and not one["members"]))
        problem = AgentsMissing(idle, str(self._settings.home)).message() if idle else ""
        if problem and self._problems.get("agents") != problem:
            self._tell(Told(what="agents", problem=problem))
        self._problems["agents"] = problem

    def _ended(self, run: str, outcome: str) -> None:
        self.failed += outcome not in ("succeeded", "nothing_to_do")
        self._tell(Told(what=self._waiting.pop(run), run=run, outcome=outcome))

    def _stand(self) -> None:
        """See to it that somebody is there for the built-in work: without an `up`, it may have ended meanwhile."""
        queues: list[str] = []
        for work in (*(work for work, _ in self._works), *self._schedules):
            plan = plan_of(work, self._folder)
            queues += jobs.JOB_QUEUES if plan is None else needed_by(queues_of(plan))
        if queues:
            jobs.ground(self._settings, self._environ, tuple(dict.fromkeys(queues)))
