"""Doing the built-in job from the outside: finding or starting what it runs on, submitting it, reporting it.

Which agents it needs stands in `built_in`; what it runs on is `ground`'s; what a job is, stands in `agents/job.py`;
what the command line shows of it, in `cli/run.py`.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from .agent_environment import pinned
from .agent_errors import AgentsGone
from .agents.job import Request, job_plan
from .agents.job_report import job_report
from .built_in import JOB_QUEUES as JOB_QUEUES
from .built_in import lines_for
from .bus.client import BusClient
from .bus.endpoints import endpoints
from .eventstore.event import Event
from .ground import require_agents as wait_for_agents
from .ground import stand
from .left_alone import Watchman
from .orchestration import submit
from .orchestration.errors import RunWaitTimedOut
from .orchestration.plan import plan_from
from .settings import Settings, load_settings

#: How long a run may take to be cancelled that nobody works on.
CANCEL_WITHIN_S = 30.0


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for: an issue's name and text, the repository as it was found, and how to go about it."""

    issue_name: str
    issue_text: str
    request: Request
    engine: str = "auto"
    test_command: str | None = None
    allow_untested: bool = False
    timeout_s: float | None = None
    budget: Mapping[str, float] = {}
    path: str | None = None
    command: str | None = None
    #: What the run's id is derived from: the same key gives the same run.
    key: str = ""
    #: For what a draft pull request is asked (see `agents/issue_saga.JobTask`); None for none.
    offer: Mapping[str, Any] | None = None
    notes: Sequence[str] = ()
    #: What has set it off, where that is more than a person's command.
    trigger: Mapping[str, Any] = {}

    @property
    def queues(self) -> tuple[str, ...]:
        """The queues of the agents that it needs."""
        return JOB_QUEUES if self.offer is None else (*JOB_QUEUES, "pull_request")


def ground(settings: Settings, environ: Mapping[str, str], queues: Sequence[str] = JOB_QUEUES) -> bool:
    """See to it that something runs which does the job's work; tell whether it belongs to nobody.

    An `up` of the home is used as it is; without one, a supervisor that belongs to nobody is joined or started, with
    the built-in agents that serve `queues`.
    """
    lines, counts = lines_for(queues)
    return stand(settings, environ, lines, counts)


def connect(settings: Settings, timeout_s: float | None = None) -> BusClient:
    """Return a client of the home's bus."""
    places = endpoints(settings.home, settings.runtime_dir)
    return BusClient(places, timeout_s=settings.timeout_s if timeout_s is None else timeout_s)


def require_agents(client: BusClient, settings: Settings, *, owned: bool, queues: Sequence[str] = JOB_QUEUES) -> None:
    """Wait until each of the queues has a member, as `ground.require_agents` does; raises AgentsMissing, AgentsGone."""
    watchman = Watchman(client, settings)
    wait_for_agents(client, settings.home, owned=owned, queues=queues, look=watchman.look_for)


def caller_of(settings: Settings) -> dict[str, Any]:
    """Return what a run's request says of the one who asks: which program, by which settings and prompts of agents."""
    from .agents.prompt import prompt_hashes

    hashes = prompt_hashes(settings.prompts)
    return {"program": Path(sys.argv[0]).name, "pid": os.getpid(), "settings": pinned(settings), "prompts": hashes}


def start(client: BusClient, job: Job, trace: str = "") -> str:
    """Submit a job and return the run's id, once that is durable."""
    plan = job_plan(
        issue_name=job.issue_name,
        issue_text=job.issue_text,
        repo=job.request.repo,
        base=job.request.base,
        engine=job.engine,
        test_command=job.test_command,
        allow_untested=job.allow_untested,
        path=job.path,
        command=job.command,
        offer=job.offer,
    )
    return submit.submit(
        client,
        plan_from(plan),
        key=job.key,
        input={"notes": [*job.request.notes(), *job.notes]},
        labels={"job": "issue", "issue": job.issue_name, "repo": job.request.repo},
        timeout_s=job.timeout_s,
        budget=job.budget,
        caller=caller_of(load_settings()) | dict(job.trigger),
        trace=trace,
    )


def follow(client: BusClient, run: str, settings: Settings, *, owned: bool) -> Iterator[Event]:
    """Yield the events of a run until it ends or rests; raises AgentsGone where nobody is left to do its work.

    The run is cancelled then if what it runs on belongs to nobody (`owned`): there, nobody would ever start others.
    """
    try:
        yield from submit.follow(client, run, on_idle=Watchman(client, settings, run).look)
    except AgentsGone as gone:
        if owned:
            submit.cancel(client, run, "agents are gone")
            with contextlib.suppress(RunWaitTimedOut):
                gone.cancelled = submit.wait(client, run, CANCEL_WITHIN_S).ended
        raise


def report(client: BusClient, run: str) -> dict[str, Any]:
    """Return the document that says what became of a run."""
    return job_report(run, client.read(run=run), client.blobs.load)
