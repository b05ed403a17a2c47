"""What work stands on: the home's running supervisor, or one that is started for it and belongs to nobody.

Owns who is joined, what is started, and what is added to what runs already. Which agents a piece of work needs is its
own business (`jobs`, `hierarchy`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from .agent_environment import agent_environment
from .agent_errors import AgentsMissing
from .bus.client import BusClient
from .home import make_home
from .orchestration.control import ControlRequest, ask
from .orchestration.errors import NotUp
from .orchestration.home_lock import holder_of
from .orchestration.procfile import ProcfileLine
from .orchestration.supervising import join_or_start
from .orchestration.supervisor_plan import SupervisorPlan
from .settings import Settings
from .tracing.line import with_exporter

#: Seconds after which a supervisor that belongs to nobody ends, counted from the last open run and client.
IDLE_S = 10.0
#: How long a starting `up` has for its agents to say hello.
HELLO_WITHIN_S = 10.0
#: The same for agents that are started for the work itself, on a machine that may be very busy: nobody has to act.
START_WITHIN_S = 300.0


def stand(
    settings: Settings,
    environ: Mapping[str, str],
    lines: Sequence[ProcfileLine],
    counts: Mapping[str, int],
    *,
    add_to_up: bool = False,
) -> bool:
    """See to it that something runs which has these lines, so many of each; tell whether it belongs to nobody.

    An `up` of the home is used as it is, unless `add_to_up`: then it takes in what it lacks. Without one, a supervisor
    that belongs to nobody is joined, or started. Raises SupervisorRefused where a line's name is another line's.
    """
    make_home(settings.home)
    holder = holder_of(settings.home)
    if holder is not None and not holder.ephemeral and not add_to_up:
        return False
    environ = agent_environment(settings, environ)
    plan = SupervisorPlan(
        home=str(settings.home),
        runtime_dir=str(settings.runtime_dir) if settings.runtime_dir is not None else None,
        cwd=str(settings.home),
        environ=dict(environ),
        lines=with_exporter(lines, environ),
        formation=dict(counts),
        port=settings.port,
        stop_timeout_s=settings.stop_timeout_s,
        idle_s=IDLE_S,
    )
    request = ControlRequest("add", lines=tuple(lines), counts=dict(counts))
    while True:
        _, started = join_or_start(plan)
        holder = holder_of(settings.home)
        owned = holder is None or holder.ephemeral
        if started or not (owned or add_to_up):
            return owned
        try:
            ask(settings.home, settings.runtime_dir, request, timeout_s=START_WITHIN_S)
        except NotUp:
            continue  # it ended just then
        return owned


def require_agents(
    client: BusClient,
    home: Path,
    *,
    owned: bool,
    queues: Sequence[str],
    look: Callable[[Sequence[str]], None] | None = None,
) -> None:
    """Wait until each of the queues has a member; raises AgentsMissing, as the run would wait for ever.

    An `up` gets a moment for that. What belongs to nobody (`owned`, as `stand` says) has these agents for certain, so
    it gets the time that it needs. `look` is called meanwhile with the queues that nobody serves yet.
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
        if look is not None:
            look(missing)
        # Those who wait for long leave the processor to what they wait for.
        time.sleep(0.1 if waited_s < 3 else 0.5)
