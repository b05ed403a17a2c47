"""Doing the built-in job from the outside: finding or starting what it runs on, submitting it, reporting it.

Owns the formation of a supervisor that belongs to nobody. What a job is, stands in `agents/job.py`; what the command
line shows of it, in `cli/run.py`.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from .agents.job import Request, job_plan
from .agents.job_report import job_report
from .bus.client import BusClient
from .bus.endpoints import endpoints
from .errors import AgentsMissing
from .home import make_home
from .orchestration import submit
from .orchestration.home_lock import holder_of
from .orchestration.plan import plan_from
from .orchestration.procfile import ProcfileLine
from .orchestration.supervising import join_or_start
from .orchestration.supervisor_plan import SupervisorPlan
from .settings import Settings

#: Seconds after which a supervisor that belongs to nobody ends, counted from the last open run and client.
IDLE_S = 10.0
#: How long a starting `up` has for its agents to say hello.
HELLO_WITHIN_S = 10.0
#: The same for the agents that a job starts for itself, on a machine that may be very busy: nobody has to act for them.
START_WITHIN_S = 300.0
#: The agents of the job: name of the line, class, and how many work side by side.
JOB_AGENTS = (
    ("fixer", "twelvefold.agents.fixer:IssueFixerAgent", 2),
    ("testing", "twelvefold.agents.testing:TestingAgent", max(2, os.cpu_count() or 1)),
    ("publisher", "twelvefold.agents.publisher:PublisherAgent", 1),
)
JOB_QUEUES = ("issue_fixer", "testing", "publisher")


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for: an issue's name and text, the repository as it was found, and how to go about it."""

    issue_name: str
    issue_text: str
    request: Request
    engine: str = "patch"
    test_command: str | None = None
    allow_untested: bool = False
    timeout_s: float | None = None
    budget: Mapping[str, float] = {}
    path: str | None = None


def job_agent_lines() -> tuple[ProcfileLine, ...]:
    """Return the Procfile lines of the job's agents."""
    return tuple(
        ProcfileLine(name, f"twelvefold agent {place}", number) for number, (name, place, _) in enumerate(JOB_AGENTS, 1)
    )


def ground(settings: Settings, environ: Mapping[str, str]) -> bool:
    """See to it that something runs which does the job's work; tell whether it belongs to nobody.

    An `up` of the home is used as it is; without one, a supervisor that belongs to nobody is joined or started.
    """
    make_home(settings.home)
    holder = holder_of(settings.home)
    if holder is not None and not holder.ephemeral:
        return False
    plan = SupervisorPlan(
        home=str(settings.home),
        runtime_dir=str(settings.runtime_dir) if settings.runtime_dir is not None else None,
        cwd=str(settings.home),
        environ=dict(environ),
        lines=job_agent_lines(),
        formation={name: count for name, _, count in JOB_AGENTS},
        port=settings.port,
        stop_timeout_s=settings.stop_timeout_s,
        idle_s=IDLE_S,
    )
    join_or_start(plan)
    holder = holder_of(settings.home)
    return holder is None or holder.ephemeral


def connect(settings: Settings, timeout_s: float | None = None) -> BusClient:
    """Return a client of the home's bus."""
    places = endpoints(settings.home, settings.runtime_dir)
    return BusClient(places, timeout_s=settings.timeout_s if timeout_s is None else timeout_s)


def require_agents(client: BusClient, home: Path, *, owned: bool, queues: Sequence[str] = JOB_QUEUES) -> None:
    """Wait until each of the queues has a member; raises AgentsMissing, as the run would wait for ever.

    An `up` gets a moment for that. What belongs to nobody (`owned`, as `ground` says) has these agents for certain, so
    it gets the time that it needs.
    """
    begun = time.monotonic()
    while True:
        groups = client.stats()["groups"].values()
        served = {group["name"] for group in groups if group["queue"] and group["members"]}
        missing = tuple(queue for queue in queues if queue not in served)
        if not missing:
            return
        waited_s = time.monotonic() - begun
        if waited_s > (START_WITHIN_S if owned else HELLO_WITHIN_S):
            raise AgentsMissing(missing, str(home))
        # Those who wait for long leave the processor to what they wait for.
        time.sleep(0.1 if waited_s < 3 else 0.5)


def start(client: BusClient, job: Job, trace: str = "") -> str:
    """Submit a job and return the run's id, once that is durable."""
    run = submit.new_run_id()
    plan = job_plan(
        run=run,
        issue_name=job.issue_name,
        issue_text=job.issue_text,
        repo=job.request.repo,
        base=job.request.base,
        engine=job.engine,
        test_command=job.test_command,
        allow_untested=job.allow_untested,
        path=job.path,
    )
    note = job.request.note()
    return submit.submit(
        client,
        plan_from(plan),
        run=run,
        input={"notes": [note] if note else []},
        labels={"job": "issue", "issue": job.issue_name, "repo": job.request.repo},
        timeout_s=job.timeout_s,
        budget=job.budget,
        caller={"program": Path(sys.argv[0]).name, "pid": os.getpid()},
        trace=trace,
    )


def report(client: BusClient, run: str) -> dict[str, Any]:
    """Return the document that says what became of a run."""
    return job_report(run, client.read(run=run), client.blobs.load)
