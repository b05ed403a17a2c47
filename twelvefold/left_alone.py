"""Whether anybody will still come to do what a run waits for: agents may die for good, and then it waits for ever.

Owns what "for ever" means: no timer of the run is set, no queue of what it has requested has a member, and the
supervisor has no process that could become one. Asks the bus and the supervisor; what to do about it is the caller's.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path

import msgspec

from .agent_errors import AgentsGone
from .bus.client import BusClient
from .bus.errors import BusNotRunning, BusTimeout
from .errors import HomeUnusable
from .eventstore.presence import is_there
from .orchestration.control import ControlRequest, ProcessStatus, ask
from .orchestration.errors import ControlTimeout, NotUp
from .orchestration.log_reading import LogFolder
from .orchestration.run_state import Run
from .settings import Settings

#: How often in a row nobody must be found, and the time between two looks: who is ready joins its queues a bit later.
LOOKS = 4
LOOK_EVERY_S = 0.5
#: How many of their last lines are looked at.
LINES_MAX = 200
#: States in which a place stays as it is until somebody acts.
_SETTLED = ("ready", "stopped", "crashed")
_CORE = ("bus", "orchestrator")


class Watchman:
    """Looks after one run, or what it needs before it begins.

    Raises AgentsGone once nobody can come any more, and HomeUnusable once the home is gone.
    """

    def __init__(self, client: BusClient, settings: Settings, run: str = "") -> None:
        self._client = client
        self._settings = settings
        self._run = run
        self._looks = 0
        self._next_look = 0.0

    def look(self, state: Run) -> None:
        """Look whether an open run, of which nothing has been heard for a while, waits in vain."""
        needed = tuple(sorted({state.tasks[path].agent for path in state.out.values()}))
        unbegun = state.status == "requested"
        waits = unbegun or (state.status == "open" and bool(needed) and not state.timers)
        self._look(needed if waits else (), given_up=False)

    def look_for(self, queues: Sequence[str]) -> None:
        """Look whether those were given up who could have come to serve queues that have no member."""
        self._look(queues, given_up=True)

    def _look(self, queues: Sequence[str], *, given_up: bool) -> None:
        now = time.monotonic()
        if now < self._next_look:
            return
        self._next_look = now + LOOK_EVERY_S
        if not is_there(self._settings.home):
            raise HomeUnusable(str(self._settings.home), "it was removed, and with it all that is waited for")
        places = self._places()
        dead = tuple(place.name for place in places if place.state == "crashed")
        core = tuple(name for name in dead if name.rpartition(".")[0] in _CORE or name in _CORE)
        if not core and (not queues or not places or (given_up and not dead) or self._may_come(queues, places)):
            self._looks = 0
            return
        self._looks += 1
        if self._looks >= LOOKS:
            raise AgentsGone(
                tuple(queues), core or dead, self._run, str(self._settings.home), self._last_words(core or dead)
            )

    def _may_come(self, queues: Sequence[str], places: Sequence[ProcessStatus]) -> bool:
        if any(place.state not in _SETTLED for place in places):
            return True
        try:
            groups = self._client.stats()["groups"].values()
        except (BusNotRunning, BusTimeout):
            return True
        served = {group["name"] for group in groups if group["queue"] and group["members"]}
        return not served.isdisjoint(queues)

    def _places(self) -> list[ProcessStatus]:
        """Return the supervisor's places; none where there is no supervisor, as agents may then come from anywhere."""
        try:
            told = ask(self._settings.home, self._settings.runtime_dir, ControlRequest("ps"))
        except (NotUp, ControlTimeout):
            return []
        return msgspec.convert(told, list[ProcessStatus])

    def _last_words(self, names: Sequence[str]) -> str:
        """Return the last line that those who were given up have printed; the last that tells of an error, if any."""
        if not names:
            return ""
        folder = LogFolder(Path(self._settings.home) / "logs", names)
        try:
            lines = deque((line.text.strip() for line in folder.lines() if line.text.strip()), maxlen=LINES_MAX)
        finally:
            folder.close()
        errors = [line for line in lines if "error" in line.lower()]
        return next(reversed(errors or lines), "")
