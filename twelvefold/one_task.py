"""Doing one task with one built-in agent from the outside: finding or starting what it runs on, and waiting for it.

What it runs on is `ground`'s, which agents there are `built_in`'s. Keeps: a task that nobody waits for any more doesn't
go on, if what it runs on was started for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

from . import jobs
from .eventstore.event import Event
from .orchestration import submit
from .orchestration.plan import Task
from .orchestration.result import RunResult
from .settings import Settings
from .tracing.caller import caller_traceparent


def do_task(
    queue: str,
    input: Mapping[str, Any],
    *,
    settings: Settings,
    environ: Mapping[str, str],
    labels: Mapping[str, str],
    progress: Callable[[str], AbstractContextManager[Callable[[Event], None]]],
    timeout_s: float | None = None,
) -> RunResult:
    """Have the agent of a queue do a task, showing its run as `progress` of its id does, and return what became of it.

    Raises AgentsMissing and AgentsGone where nobody is there to do it; interrupted, the run is cancelled where it runs
    on what belongs to nobody.
    """
    owned = jobs.ground(settings, environ, (queue,))
    with jobs.connect(settings) as client:
        jobs.require_agents(client, settings, owned=owned, queues=(queue,))
        run = submit.submit(
            client,
            Task(agent=queue, input=dict(input)),
            labels=dict(labels),
            timeout_s=timeout_s,
            caller=jobs.caller_of(settings),
            trace=caller_traceparent(environ),
        )
        try:
            with progress(run) as show:
                for event in jobs.follow(client, run, settings, owned=owned):
                    show(event)
        except KeyboardInterrupt:
            if owned:
                submit.cancel(client, run, "interrupted")
                submit.wait(client, run, jobs.CANCEL_WITHIN_S)
            raise
        return submit.result(client, run)
