"""One line of a Procfile, run once in the foreground with the environment that `up` would give it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec

from .command_line import own_environment, sandbox_environment, shared_environment, shell_arguments
from .limiting import available_cores
from .limits import Limits
from .spawning import bind_or_end
from .supervisor_plan import SupervisorPlan, places


def run_line(plan: SupervisorPlan, name: str) -> int:
    """Run the line with this terminal as its own; return its exit status, 128 and the signal's number if one ended it.

    It is nobody's instance: no supervisor answers for it, and it has the PORT of the line's first process. Of its
    limits it has what the kernel binds (`limiting`); what a supervisor would watch, nobody does.
    """
    spec = next(spec for spec in places(plan) if spec.name == name)
    environ = shared_environment(
        plan.environ,
        home=plan.home,
        runtime_dir=plan.runtime_dir,
        incarnation="",
        scripts=str(Path(sys.executable).parent),
    )
    own = own_environment(spec.key, "", spec.port)
    own |= sandbox_environment(spec.sandbox, spec.writable, environ)
    for mark in ("TWELVEFOLD_INSTANCE", "TWELVEFOLD_INCARNATION"):
        own.pop(mark, None)
        environ.pop(mark, None)
    # Ctrl-C goes to it as well, as to every program of the terminal; we wait for what it makes of it.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        process = subprocess.Popen(
            shell_arguments(spec.command),
            env={**environ, **own},
            cwd=plan.cwd,
            preexec_fn=lambda: _settle_in(spec.limits),
        )
        previous = signal.signal(signal.SIGTERM, lambda number, frame: os.kill(process.pid, number))
        status = process.wait()
        signal.signal(signal.SIGTERM, previous)
    finally:
        signal.signal(signal.SIGINT, before)
    return status if status >= 0 else 128 - status


def _settle_in(limits: Limits) -> None:
    """In the new process: take the terminal's signals, and the limits that need no supervisor."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if isinstance(limits.cpus, int):
        limits = msgspec.structs.replace(limits, cpus=available_cores()[: limits.cpus])
    if limits:
        bind_or_end(limits, "", execs=True)
