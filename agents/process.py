"""The agent process: from a command line to an agent that works until it is asked to stop.

Owns the process's entry, and what is done once before any agent is forked. What it does while it lives is `working`'s.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from ..bus.client import BusClient
from ..bus.endpoints import Endpoints, endpoints
from ..eventstore.errors import TwelvefoldError
from ..orchestration.private_folders import empty_private, remove_abandoned
from .agent_settings import AgentSettings, agent_settings
from .base import queue_name
from .code_version import code_version
from .errors import AgentUsage, RehearsalFailed
from .faults import whole
from .journal import AgentPlaces
from .loading import keep_compiled, load_agent
from .sandbox.agent import contain_agent, let_go, prepare, rehearsed
from .working import BROKEN, AgentProcess

log = logging.getLogger("twelvefold.agent")


def run_agent(
    target: str,
    *,
    home: Path,
    runtime_dir: Path | None = None,
    folder: Path = Path(),
    name: str = "",
    only: bool = False,
    instance: str = "",
    stop_timeout_s: float = 5.0,
    timeout_s: float = 30.0,
    settings: AgentSettings | None = None,
) -> int:
    """Run one agent, MODULE:CLASS importable from `folder`, until it is asked to stop; return its exit status.

    `name` is the queue it takes tasks from (its class's own where empty), beside those of its capabilities, unless
    `only`. `instance` is what its supervisor calls this
    process; without a supervisor it is empty. Only for a process of its own, on its main thread: it takes SIGTERM and
    SIGINT, and sets up logging to standard error. Raises AgentNotLoadable, InvalidTool, BusNotRunning within
    `timeout_s`, NotContained, WritableMissing, and what the bus refuses the agent with.

    From here on the process is bound to the file rules that `settings` ask for, and HOME and TMPDIR are its own.
    """
    _log_to_stderr()
    settings = settings or AgentSettings()
    where = _endpoints_of(str(home), None if runtime_dir is None else str(runtime_dir))
    called = instance or _own_name(home, name or target)
    # Before anybody's code is imported, a thread begun or a socket opened.
    keep_compiled(target, folder)
    containment = contain_agent(target, folder, home, called, settings)
    before = len(sys.modules)
    agent = load_agent(target, folder)
    own_queue = name or queue_name(type(agent))
    client = BusClient(
        where,
        instance=called,
        role="agent",
        timeout_s=timeout_s,
        supervised=bool(instance),
        keeper=False,
    )
    queues = (own_queue,) if only else tuple(dict.fromkeys((own_queue, *agent.capabilities)))
    process = AgentProcess(agent, client, queues, AgentPlaces(home), stop_timeout_s)
    process.settings = settings
    process.contained, process.renewable = containment.contained, bool(instance)
    process.code = str(code_version(target, type(agent), folder, before))
    try:
        return process.run()
    finally:
        if process.busy:
            # No goodbye, which would hand the task to another instance while its handler still runs here.
            log.critical("ending in the middle of a task")
            sys.stderr.flush()
            os._exit(BROKEN)
        client.close()
        if not instance:
            empty_private(home, called)  # nobody else looks after it


def _own_name(home: Path, word: str) -> str:
    """Return a name for an instance that has no supervisor, by which `private_folders` knows it; make room for it."""
    remove_abandoned(home)
    kept = "".join(letter for letter in word.rpartition(":")[2].lower() if letter.isalnum() or letter == "_")
    return f"{kept or 'agent'}-{os.getpid()}-{os.urandom(4).hex()}"


def _log_to_stderr() -> None:
    if not logging.root.handlers:
        logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")


@cache
def _endpoints_of(home: str, runtime_dir: str | None) -> Endpoints:
    """Return the endpoints of a home; worked out once, before agents are forked, as that touches much memory."""
    return endpoints(Path(home), None if runtime_dir is None else Path(runtime_dir))


def main(arguments: list[str], environ: Mapping[str, str] = os.environ) -> int:
    """Run `MODULE:CLASS [--name QUEUE] [--only] [--folder DIR]` and return the exit status.

    The rest is in the environment, where the supervisor put it.
    """
    try:
        target, name, folder, only = _parsed(arguments)
        home = environ.get("TWELVEFOLD_HOME")
        if not home:
            raise AgentUsage("TWELVEFOLD_HOME isn't set")
        runtime_dir = environ.get("TWELVEFOLD_RUNTIME_DIR")
        return run_agent(
            target,
            home=Path(home),
            runtime_dir=Path(runtime_dir) if runtime_dir else None,
            folder=Path(folder),
            name=name,
            only=only,
            instance=environ.get("TWELVEFOLD_INSTANCE", ""),
            stop_timeout_s=float(environ.get("TWELVEFOLD_STOP_TIMEOUT_S") or 5.0),
            timeout_s=float(environ.get("TWELVEFOLD_TIMEOUT_S") or 30.0),
            settings=agent_settings(environ),
        )
    except TwelvefoldError as error:
        sys.stderr.write(f"error[{error.code}]: {error.message()}\n")
        if error.help():
            sys.stderr.write(f"  help: {error.help()}\n")
        return error.exit_code


def _parsed(arguments: list[str]) -> tuple[str, str, str, bool]:
    """Return target, name, folder, and whether it serves its own queue only.

    By hand, as argparse would cost each agent memory.
    """
    words: list[str] = []
    only = False
    given = {"--name": "", "--folder": ""}
    rest = iter(arguments)
    for word in rest:
        option, equals, value = word.partition("=")
        if option in given:
            given[option] = value if equals else next(rest, "")
            if not given[option]:
                raise AgentUsage(f"{option} needs a {'queue' if option == '--name' else 'folder'}'s name")
        elif word == "--only":
            only = True
        elif word.startswith("-"):
            raise AgentUsage(f"there is no option {word}")
        else:
            words.append(word)
    if len(words) != 1:
        raise AgentUsage(f"one MODULE:CLASS is needed, {len(words)} were given")
    return words[0], given["--name"], given["--folder"], only


def warm_up() -> None:
    """Go through whole lives of agents before any is forked, so that forks share the memory that this touches."""
    import asyncio  # noqa: F401

    from .rehearsal import rehearse

    _log_to_stderr()
    try:
        with rehearsed():
            rehearse(_life)
    except (RehearsalFailed, OSError) as error:
        log.warning("agents will need more memory than usual, as they could not be rehearsed: %s", whole(error))
    _endpoints_of.cache_clear()
    let_go()
    if home := os.environ.get("TWELVEFOLD_HOME"):
        _endpoints_of(home, os.environ.get("TWELVEFOLD_RUNTIME_DIR"))
        _prepare(home)


def _life(arguments: list[str]) -> int:
    """Be an agent of the rehearsal, with what is made ready once for all agents of its home."""
    _prepare(os.environ["TWELVEFOLD_HOME"])
    return main(arguments)


def _prepare(home: str) -> None:
    with contextlib.suppress(OSError):  # each agent will find out by itself why there are no rules
        prepare(Path(home), Path())
