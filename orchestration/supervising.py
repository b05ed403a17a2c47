"""A supervisor as a process: in the foreground, detached (`up -d`), or shared by runs that have no `up`.

Owns the home's lock for as long as a supervisor lives, and the way in which a detached one tells its parent that it
has begun. A detached one is this module run by a new interpreter, its plan on stdin.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import IO

import msgspec

from ..bus.endpoints import endpoints
from ..eventstore.errors import TwelvefoldError, error_classes
from ..eventstore.ids import uuid7
from .command_line import OWN_VARIABLES, shared_environment
from .control import ControlRequest, ask
from .errors import AlreadyUp, NotUp, StartFailed, SupervisorRefused
from .home_lock import Holder, HomeLock, holder_of
from .process_output import Console
from .supervisor import Supervisor
from .supervisor_plan import SupervisorPlan

_JOIN_WITHIN_S = 30.0


class Begun(msgspec.Struct, frozen=True):
    """What a detached supervisor tells its parent: its pid, or the error that kept it from beginning."""

    pid: int = 0
    code: str = ""
    facts: dict[str, object] = {}


def supervise(plan: SupervisorPlan, console: Console | None, begun: IO[bytes] | None = None) -> int:
    """Run a plan in this process until it ends; return the exit status. Raises AlreadyUp.

    The home exists. `begun`, where given, is told once the home's lock is held, and closed.
    """
    incarnation = uuid7(time.time_ns() // 1_000_000, os.urandom(10)).hex()
    sockets = endpoints(Path(plan.home), Path(plan.runtime_dir) if plan.runtime_dir else None).folder.parent
    holder = Holder(os.getpid(), incarnation, plan.idle_s is not None, str(sockets))
    lock = HomeLock.acquire(Path(plan.home), holder)
    environ = shared_environment(
        plan.environ,
        home=plan.home,
        runtime_dir=plan.runtime_dir,
        incarnation=incarnation,
        scripts=str(Path(sys.executable).parent),
    )
    try:
        supervisor = Supervisor(plan, incarnation, environ, console)
        if begun is not None:
            begun.write(msgspec.json.encode(Begun(os.getpid())))
            begun.close()
        return supervisor.run()
    finally:
        lock.release()
        if console is not None:
            console.close(timeout_s=2.0)


def launch(plan: SupervisorPlan) -> int:
    """Start a detached supervisor and return its pid once it holds the home; raises AlreadyUp or StartFailed.

    It outlives this process and its terminal; what it says goes to `logs/supervisor.log`.
    """
    logs = Path(plan.home) / "logs"
    logs.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Marks of an outer supervisor are left out: the new one belongs to nobody.
    environ = {name: value for name, value in plan.environ.items() if name not in OWN_VARIABLES}
    with (logs / "supervisor.log").open("ab") as errors:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "twelvefold.orchestration.supervising"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,
            env=environ,
        )
    assert process.stdin is not None
    assert process.stdout is not None
    with process.stdin, process.stdout:
        # The environment goes the usual way, as it may hold what is no text.
        process.stdin.write(msgspec.json.encode(msgspec.structs.replace(plan, environ={})))
        process.stdin.close()
        answer = process.stdout.read()
    process.returncode = 0  # it is not waited for: it goes on when we end
    if not answer:
        raise StartFailed("the supervisor", f"it ended at once; see {logs / 'supervisor.log'}")
    begun = msgspec.json.decode(answer, type=Begun)
    if begun.code:
        raise _rebuilt(begun)
    return begun.pid


def join_or_start(plan: SupervisorPlan) -> tuple[int, bool]:
    """Return the pid of the home's supervisor, and whether this call started it (with this plan, which has an idle_s).

    Whoever calls at the same moment gets the same one. A supervisor that is just ending is waited for and replaced.
    """
    home, runtime_dir = Path(plan.home), Path(plan.runtime_dir) if plan.runtime_dir else None
    deadline = time.monotonic() + _JOIN_WITHIN_S
    while True:
        try:
            if holder_of(home) is not None:
                return int(ask(home, runtime_dir, ControlRequest("join"))), False
            return launch(plan), True
        except (NotUp, SupervisorRefused, AlreadyUp):
            # It ended while we asked, is about to end, or somebody else was quicker.
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def _rebuilt(begun: Begun) -> TwelvefoldError:
    cls = error_classes().get(begun.code)
    return StartFailed("the supervisor", begun.code) if cls is None else cls(**begun.facts)


def main() -> int:
    """Be a detached supervisor: plan on stdin, `Begun` on stdout."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    plan = msgspec.json.decode(sys.stdin.buffer.read(), type=SupervisorPlan)
    plan = msgspec.structs.replace(plan, environ=dict(os.environ))
    begun = os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    os.chdir("/")  # keep no folder busy; children start in the plan's
    try:
        return supervise(plan, None, begun)
    except TwelvefoldError as error:
        if not begun.closed:
            begun.write(msgspec.json.encode(Begun(code=error.code, facts=error.facts())))
            begun.close()
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
