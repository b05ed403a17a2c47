"""Starting a run for what has set it off, once: the same trigger gives the same key, and so the same run.

Owns the keys, and what a project file's words mean as a job or a plan. What a run is, is `orchestration.submit`'s.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from .. import jobs
from ..agents.job import ISSUE_SIZE_MAX, resolve_request
from ..bus.client import BusClient
from ..orchestration import submit
from ..orchestration.plan import PatternFields, Task, plan_from
from ..plan_runs import read_plan
from ..project_errors import ProjectFileInvalid
from ..project_file import Work
from ..settings import Settings
from .folder import Found


class Started(msgspec.Struct, frozen=True):
    """A run that something has set off; `new` is False where it had been started before."""

    run: str
    key: str
    new: bool


class Starter:
    """Starts runs on one connection. `folder` is what relative paths count from, `settings` those of the project."""

    def __init__(self, client: BusClient, settings: Settings, folder: Path) -> None:
        self._client = client
        self._settings = settings
        self._folder = folder

    def on_file(self, work: Work, found: Found) -> Started:
        """Start what a file asks for: a job on it as an issue in the work's repository, or the work's plan with it.

        The plan's input, beside its own, has the file's `name`, `path`, `sha256`, and its `text` where it is UTF-8.
        """
        digest = hashlib.sha256(found.content).hexdigest()
        path, name = printable(found.path), printable(found.path.name)
        key = f"file:{self._purpose(work)}:{path}:{digest}"
        trigger = {"trigger": {"file": path, "sha256": digest}}
        try:
            text: str | None = found.content.decode("utf-8-sig")
        except UnicodeDecodeError:
            text = None
        if work.plan is None and work.agent is None:
            if text is None or "\0" in text:
                raise ValueError("it is no text in UTF-8")
            if len(found.content) > ISSUE_SIZE_MAX:
                raise ValueError(f"it is larger than {ISSUE_SIZE_MAX} bytes")
            return self._job(work, (name, text), key, trigger)
        given = {"name": name, "path": path, "sha256": digest, "text": text}
        if isinstance(work.input, Mapping):
            given = {**work.input, **given}
        return self._plan(work, given, key, trigger)

    def on_time(self, work: Work, name: str, due: str) -> Started:
        """Start what a schedule asks for at a time; a plan without an input of its own gets the name and the time."""
        key = f"schedule:{name}:{due}"
        trigger = {"trigger": {"schedule": name, "due": due}}
        if work.issue is not None:
            from ..agents.job import read_issue

            path = self._folder / work.issue
            return self._job(work, (path.name, read_issue(path)), key, trigger)
        given = {"schedule": name, "due": due} if work.input is None else work.input
        return self._plan(work, given, key, trigger)

    def _purpose(self, work: Work) -> str:
        """Name what is done with a file, so that two who watch one folder for different ends don't take it away."""
        if work.plan is None and work.agent is None:
            return f"issue:{(self._folder / (work.repo or '.')).resolve()}"
        if isinstance(work.plan, str):
            return f"plan:{(self._folder / work.plan).resolve()}"
        what = msgspec.json.encode([work.plan, work.agent], order="sorted")
        return f"plan:{hashlib.sha256(what).hexdigest()[:16]}"

    def _job(self, work: Work, issue: tuple[str, str], key: str, trigger: Mapping[str, Any]) -> Started:
        before = self._before(key)
        if before is not None:
            return before
        job = jobs.Job(
            issue_name=issue[0],
            issue_text=issue[1],
            request=resolve_request(self._folder / (work.repo or ".")),
            engine=work.engine,
            test_command=work.test_command,
            allow_untested=work.allow_untested,
            timeout_s=work.timeout_s,
            budget=work.budget,
            path=os.environ.get("PATH"),
            command=self._settings.fixer_command or None,
            key=key,
            trigger=trigger,
        )
        return Started(jobs.start(self._client, job), key, True)

    def _plan(self, work: Work, given: Any, key: str, trigger: Mapping[str, Any]) -> Started:
        before = self._before(key)
        if before is not None:
            return before
        plan = plan_of(work, self._folder)
        if plan is None:
            raise ProjectFileInvalid(str(self._folder), "", "there is neither a plan nor an issue to start")
        run = submit.submit(
            self._client,
            plan,
            key=key,
            input=given,
            budget=work.budget,
            timeout_s=work.timeout_s,
            labels={"plan": work.plan if isinstance(work.plan, str) else work.agent or "inline"},
            caller={"program": Path(sys.argv[0]).name, "pid": os.getpid(), **trigger},
        )
        return Started(run, key, True)

    def _before(self, key: str) -> Started | None:
        """Return the run of a key where there is one. Two who ask at once may both find none: their run is one."""
        run = submit.run_of_key(key)
        there = next(iter(self._client.read(stream=f"run.{run}", limit=1)), None)
        return None if there is None else Started(run, key, False)


def printable(path: Path | str) -> str:
    """Return a path as text that any log and terminal takes: other bytes and control characters are escaped."""
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def plan_of(work: Work, folder: Path) -> PatternFields | None:
    """Return the plan of work that has one, None for a job; raises PlanInvalid, DataUnreadable."""
    if work.agent is not None:
        return Task(agent=work.agent, input={"$from": "input"})
    if isinstance(work.plan, str):
        return read_plan(folder / work.plan)
    if work.plan is None:
        return None
    plan = plan_from(dict(work.plan))
    assert isinstance(plan, PatternFields)  # every pattern has those fields
    return plan
