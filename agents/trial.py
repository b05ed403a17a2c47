"""Trying an agent without a bus: the same turn as in its process, over a log in memory.

For unit tests of agents. Owns nothing but the set-up: semantics are those of `turn` and `effects`. A crash is tried by
raising KeyboardInterrupt from a tool, then `deliver` with the same request.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..eventstore.event import Event, NewEvent
from ..eventstore.memory_log import MemoryLog
from .agent_settings import AgentSettings
from .base import BaseAgent, queue_name
from .context import TaskContext
from .journal import AgentPlaces, LogJournal, TaskRequest, fresh_id, hold, pack, request_of
from .turn import TaskOutcome, perform


class Trial:
    """A log in memory with tasks in it. `home` is where agents find stores and workspaces: give `tmp_path`.

    `settings` is what agents find in `context.settings`.
    """

    def __init__(self, home: Path | None = None, settings: AgentSettings | None = None) -> None:
        self.settings = settings or AgentSettings()
        self.journal = LogJournal(MemoryLog(), source="trial")
        self.places = AgentPlaces(home or Path(tempfile.gettempdir()) / f"twelvefold-trial-{os.urandom(6).hex()}")

    def request(
        self,
        agent: BaseAgent,
        input: Any = None,
        *,
        run: str | None = None,
        path: str = "0",
        attempt: int = 1,
        undo: bool = False,
        requires: Sequence[str] = (),
        answers: Sequence[tuple[str, Any]] = (),
        resolved: Sequence[Mapping[str, Any]] = (),
    ) -> TaskRequest:
        """Append a `task.requested` for an agent and return it; `run` is a new one unless given.

        `answers` are the questions of earlier attempts and what humans have answered, `resolved` what they know of
        effects in doubt (`effect`, its key; `answer`, done or retry; `value`; `until`, a position).
        """
        data = {"path": path, "agent": queue_name(type(agent)), "input": input, "requires": list(requires)}
        data |= {"attempt": attempt, "undo": undo}
        data["answers"] = [{"question": question, "answer": answer} for question, answer in answers]
        data["resolved"] = list(resolved)
        run = run or fresh_id().hex()
        payload = pack(data, self.journal)
        event = NewEvent(type="task.requested", payload=payload, stream=f"run.{run}", run=run, to=data["agent"])
        return request_of(self.journal.append([event])[0], self.journal)

    def deliver(self, agent: BaseAgent, request: TaskRequest, delivery: int = 1) -> TaskOutcome:
        """Hand a task to an agent and settle it. A higher `delivery` stands for one whose holder died."""
        again = TaskRequest(
            **{name: getattr(request, name) for name in request.__struct_fields__} | {"delivery": delivery}
        )
        context = TaskContext(agent, again, self.journal, self.places, self.settings)
        outcome = perform(agent, context)
        self.journal.append([outcome.event(again, self.journal)])
        return outcome

    def hold(self, value: Any) -> dict[str, Any]:
        """Put a value into a blob, as an earlier task's large result would be, and return the reference to it."""
        return hold(value, self.journal)

    def events(self, pattern: str | None = None) -> list[Event]:
        """Return what was appended so far, oldest first; `pattern` as in `task.*`."""
        return self.journal.log.read(limit=1_000_000, type=pattern)


def run_task(
    agent: BaseAgent,
    input: Any = None,
    *,
    trial: Trial | None = None,
    settings: AgentSettings | None = None,
    **request: Any,
) -> TaskOutcome:
    """Do one task with an agent, in this process and without a bus, and return how it ended.

    `request` takes what `Trial.request` takes (`run`, `path`, `attempt`, `undo`, `requires`, `answers`, …). The
    outcome's `value` is what the log would hold, so a Struct or tuple comes back as plain JSON data. `settings` is what
    the agent finds in `context.settings`; a `trial` has its own.
    """
    trial = trial or Trial(settings=settings)
    return trial.deliver(agent, trial.request(agent, input, **request))
